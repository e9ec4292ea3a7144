"""What a traced function consists of: floating point operations, graph operations."""

from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.python.eager import context

# The place of the kernel, and of a tensor of the convolution's smaller side or None for
# the result. Each product of the kernel with a pixel there counts.
_CONVOLUTIONS = {
    "Conv2D": (1, None),
    "Conv2DBackpropInput": (1, 2),
    "Conv2DBackpropFilter": (None, 2),
}


def count_flops(concrete) -> int:
    """Floating point operations of a traced function's convolutions and products.

    A multiplication and an addition count as two. Other operations do not count: they
    are below a hundredth in our networks; nor does what is computed in some calls only,
    as R1 is in one of eight.

    Args:
      concrete: A concrete function whose shapes are known.

    Raises:
      ValueError: a shape is not known.
    """
    graph = concrete.graph
    return sum(_flops(operation) for operation in _operations(graph, graph))


def _operations(graph, outer) -> Iterator[tf.Operation]:
    """Operations whose results are used, those of called functions once for each call.

    Tapes also write down gradients that nobody asked for; TensorFlow drops them.
    """
    waiting = [*(t.op for t in graph.outputs), *graph.control_outputs]
    seen = set(waiting)
    while waiting:
        operation = waiting.pop()
        before = {*(t.op for t in operation.inputs), *operation.control_inputs} - seen
        seen |= before
        waiting += before
        yield operation
        if operation.type in ("PartitionedCall", "StatefulPartitionedCall"):
            name = operation.get_attr("f").name
            called = graph._functions.get(name) or outer._functions[name]
            yield from _operations(called.graph, outer)


def _flops(operation: tf.Operation) -> int:
    kind = operation.type
    if kind in _CONVOLUTIONS:
        kernel_at, pixels_at = _CONVOLUTIONS[kind]
        inputs, result = operation.inputs, operation.outputs[0]
        kernel = result if kernel_at is None else inputs[kernel_at]
        pixels = result if pixels_at is None else inputs[pixels_at]
        batch, height, width = _known(pixels)[:3]
        size = tf.TensorShape(_known(kernel)).num_elements()
        return 2 * size * batch * height * width
    if kind in ("MatMul", "BatchMatMulV2"):
        shape = _known(operation.inputs[0])
        transposed = "transpose_a" if kind == "MatMul" else "adj_x"
        inner = shape[-2] if operation.get_attr(transposed) else shape[-1]
        return 2 * inner * tf.TensorShape(_known(operation.outputs[0])).num_elements()
    return 0


def _known(tensor: tf.Tensor) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"{tensor.name} has the shape {tensor.shape}.")
    return tensor.shape.as_list()


def count_operations(call: Callable[[], object]) -> int:
    """Operations of a function's graph after TensorFlow has optimised it.

    Args:
      call: Runs the traced function; what it does is done.

    Returns:
      The number of nodes of the optimised graphs, calls of functions and constants
      among them.
    """
    return sum(len(run.post_optimization_graph.node) for run in graphs_of(call))


def graphs_of(call: Callable[[], object]) -> list:
    """What TensorFlow made of the graphs of functions that a call runs.

    Args:
      call: Runs traced functions; what it does is done.

    Returns:
      For each its graph before and after it was optimised, and a part a device:
      `pre_optimization_graph`, `post_optimization_graph`, `partition_graphs`.
    """
    context.context().enable_graph_collection()
    try:
        call()
        return list(context.context().export_run_metadata().function_graphs)
    finally:
        context.context().disable_graph_collection()
