"""The contract of every TFLite file of a generator, whatever its kind."""

import collections
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from cyclegan_tf.core.layers import ResizeConvolution2D, TransposedConvolution2D
from cyclegan_tf.deploy.conversion import lean_generator
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator
from helpers import tflite_samples as samples


class Kind(NamedTuple):
    """Types of the image, of the kernels, and of what is computed between."""

    image: str
    kernels: str
    activations: str


KINDS = {
    "float32": Kind("float32", "FLOAT32", "FLOAT32"),
    "float16": Kind("float32", "FLOAT16", "FLOAT32"),
    "dynamic_int8": Kind("uint8", "INT8", "FLOAT32"),
    "int8": Kind("uint8", "INT8", "INT8"),
}
FLOAT_BARS = {"float32": 1e-4, "float16": 0.02}

# Below the worst picture's PSNR against Keras, measured on x86 with AVX-512:
# resnet 41.0 and 19.7 dB, unet 54.2 and 33.5 dB; skip's stay above those of a skip
# that was cut, 37.9 and 17.6 dB less 3. Against Keras' output for
# another picture, resnet's has 11 dB at most, unet's 21 dB.
PSNR_FLOORS = {
    "resnet": {"dynamic_int8": 37, "int8": 17},
    "unet": {"dynamic_int8": 50, "int8": 30},
    "skip": {"dynamic_int8": 34, "int8": 15},
}

# All phones' runtimes have these operations.
FIXED_SIZE_OPS = set(
    (
        "ADD AVERAGE_POOL_2D CAST CONCATENATION CONV_2D DEQUANTIZE LEAKY_RELU MEAN "
        "MINIMUM MIRROR_PAD MUL PAD QUANTIZE RELU ROUND RSQRT STRIDED_SLICE SUB TANH "
        "TRANSPOSE_CONV"
    ).split()
)
ANY_SIZE_OPS = set("FLOOR_DIV FLOOR_MOD GATHER MAXIMUM PACK RANGE SHAPE".split())

# The converter leaves smaller arrays in float, where only weights are quantised.
SMALLEST_DYNAMIC = 1024
BYTES = {"FLOAT32": 4, "FLOAT16": 2, "INT8": 1}
TYPE_NAMES = {v: k for k, v in vars(schema.TensorType).items() if k.isupper()}


def check_file(network: str, kind: str, size: samples.Size | None) -> None:
    """Interface, operations, stored types and weights, and values against Keras.

    Args:
      network: A key of `samples.MULTIPLES`.
      kind: A key of `KINDS`.
      size: (height, width) that the file takes; None takes any.
    """
    content = samples.converted(network, kind, size)
    _check_interface(content, kind, size)
    _check_operations(content, network, size)
    _check_stored(content, network, kind, size)
    _check_values(content, network, kind, size)
    if size is None:
        _check_any_size(content, network)


def _check_interface(content: bytes, kind: str, size) -> None:
    """Signature, sizes and scales, of the interpreter and of `TFLiteGenerator`."""
    interpreter = tf.lite.Interpreter(model_content=content)
    assert interpreter.get_signature_list() == {
        "translate": {"inputs": ["image"], "outputs": ["image"]}
    }
    details = *interpreter.get_input_details(), *interpreter.get_output_details()
    runner = TFLiteGenerator(content)
    assert runner.size == size
    described = runner.tensors()
    assert list(described) == ["input", "output"]
    for told, detail in zip(described.values(), details, strict=True):
        shape = [1, *(size or (-1, -1)), 3]
        assert detail["shape_signature"].tolist() == shape
        scale, zero_point = detail["quantization"]
        if KINDS[kind].image == "float32":
            scale, zero_point = 1.0, 0.0
        elif KINDS[kind].activations == "FLOAT32":
            assert scale == 0
            scale, zero_point = 1 / 127.5, 127.5
        dtype = np.dtype(detail["dtype"]).name
        assert dtype == KINDS[kind].image
        assert told == {
            "shape": shape,
            "dtype": dtype,
            "scale": pytest.approx(scale),
            "zero_point": zero_point,
        }


def _check_operations(content: bytes, network: str, size) -> None:
    check_runs_on_phones(content, fixed_size=size is not None)
    names = set(operations(content))
    assert {"CONV_2D", "TRANSPOSE_CONV", "RSQRT"} <= names
    # A linear output is cut, by an operation of its own or as a part of the last sum.
    assert ("TANH" in names) == (network != "skip")


def operations(content: bytes) -> dict[str, int]:
    """How often each operation stands in a TFLite file, by name, sorted."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if k.isupper()}
    counts = collections.Counter()
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            assert not code.customCode
            # Old readers knew a byte only; codes above 127 stand in the wider field.
            counts[names[max(code.builtinCode, code.deprecatedBuiltinCode)]] += 1
    return dict(sorted(counts.items()))


def check_runs_on_phones(content: bytes, fixed_size: bool) -> None:
    """Known operations, four dimensions at most, and none open in a fixed size."""
    allowed = FIXED_SIZE_OPS | (set() if fixed_size else ANY_SIZE_OPS)
    assert set(operations(content)) <= allowed
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            assert tensor.shape is None or len(tensor.shape) <= 4
            open_ones = fixed_size and tensor.shapeSignature is not None
            assert not open_ones or -1 not in list(tensor.shapeSignature)


# --- What is stored


def parse(content: bytes):
    """The only graph of a file, its constants, and the types of what it computes.

    Constants are pairs of a tensor and its values. The image that is taken and the one
    that is given are not among the types.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    (graph,) = model.subgraphs
    constants, activations = [], set()
    for i, tensor in enumerate(graph.tensors):
        data, name = model.buffers[tensor.buffer].data, TYPE_NAMES[tensor.type]
        if data is not None and len(data):
            shape = [] if tensor.shape is None else tensor.shape
            values = np.frombuffer(bytes(data), name.lower()).reshape(shape)
            constants.append((tensor, values))
        elif data is None and i not in {*graph.inputs, *graph.outputs}:
            activations.add(name)
    return graph, constants, activations


def _check_stored(content: bytes, network: str, kind: str, size) -> None:
    """Each kernel once, in the type of the kind, and little beside."""
    (_, stored, activations), expected = parse(content), 0
    for kernel in _kernels(network):
        name = KINDS[kind].kernels
        if kind == "dynamic_int8" and kernel.size < SMALLEST_DYNAMIC:
            name = "FLOAT32"
        found = [1 for t, values in stored if _stands_for(t, values, name, kernel)]
        assert len(found) == 1, (kernel.shape, name)
        expected += BYTES[name] * kernel.size
    # Biases of 4 or 8 bytes, zeros where Keras has no bias, shapes and epsilon.
    assert expected < sum(values.nbytes for _, values in stored) < expected + 1500
    if size:
        assert activations == {KINDS[kind].activations}
    parameters = lean_generator(samples.generator(network)).count_params()
    share = expected / parameters / BYTES[KINDS[kind].kernels]
    if kind == "dynamic_int8":
        assert 1 < share < 2.1
    else:
        assert abs(share - 1) < 0.01


def _kernels(network: str) -> list[np.ndarray]:
    """Kernels as TFLite orders them: [filters, height, width, channels]."""
    found = []
    for layer in samples.generator(network).layers:
        if isinstance(layer, TransposedConvolution2D):
            found.append(layer.get_weights()[0].transpose(2, 0, 1, 3))
        elif isinstance(layer, ResizeConvolution2D):
            found.append(layer.transposed_kernel().numpy().transpose(2, 0, 1, 3))
        elif isinstance(layer, keras.layers.Conv2D):
            found.append(layer.get_weights()[0].transpose(3, 0, 1, 2))
    return found


def _stands_for(tensor, values, name: str, kernel: np.ndarray) -> bool:
    """Whether a constant is a kernel, in a type, with a scale for each filter."""
    if values.shape != kernel.shape or TYPE_NAMES[tensor.type] != name:
        return False
    if name != "INT8":
        return np.array_equal(values, kernel.astype(name.lower()))
    scales = np.reshape(tensor.quantization.scale, (-1, 1, 1, 1))
    best = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    return (
        scales.shape == best.shape
        and not np.any(tensor.quantization.zeroPoint)
        and np.allclose(scales, best, rtol=1e-3)
        and np.all(np.abs(values * scales - kernel) <= 0.501 * scales)
    )


# --- Values


def _check_values(content: bytes, network: str, kind: str, size) -> None:
    runner = TFLiteGenerator(content)
    for side in (size,) if size else ((32, 48), (33, 47)):
        pictures = map(samples.to_float, samples.drawn(side, number=4, seed=2))
        references = []
        for image in pictures:
            made, reference = runner(image), samples.translated(network, image)
            assert made.shape == reference.shape
            if kind in FLOAT_BARS:
                assert np.abs(made - reference).max() < FLOAT_BARS[kind]
            else:
                floor = PSNR_FLOORS[network][kind]
                assert samples.psnr(made, reference) > floor
                # The floor tells pictures apart.
                others = [samples.psnr(reference, other) for other in references]
                assert max(others, default=0) < floor - 4
            references.append(reference)
    for level in (0, 128, 255):  # Flat pictures, whose norms divide by epsilon.
        flat = np.full((*(size or samples.SQUARE), 3), level, np.uint8)
        made = runner(samples.to_float(flat))
        assert np.all(np.isfinite(made))
        assert np.abs(made).max() <= 1.01


def _check_any_size(content: bytes, network: str) -> None:
    """A picture is mirrored outwards and cut back."""
    is_uint8 = TFLiteGenerator(content).tensors()["input"]["dtype"] == "uint8"
    for side in ((1, 1), (3, 50), (33, 47), (16, 24)):
        (picture,) = samples.drawn((max(side), max(side)), number=1, seed=4)
        picture = picture[: side[0], : side[1]]
        stored = picture[np.newaxis] if is_uint8 else samples.to_float(picture)
        multiple = samples.MULTIPLES[network]
        padding = [max(-n % multiple, 8 - n) for n in side]
        # Mirrored by NumPy, as often as it takes; one pixel is repeated.
        padded = np.pad(stored, [(0, 0), *((0, n) for n in padding), (0, 0)], "reflect")
        made = samples.by_hand(content, stored)
        assert made.shape == stored.shape
        whole = samples.by_hand(content, padded)
        assert whole.shape == padded.shape
        cut = whole[:, : side[0], : side[1]]
        np.testing.assert_allclose(made, cut, rtol=0, atol=1e-6)
