"""What is in a TFLite file: its operations and tensors, and a description put there.

The description is JSON under the metadata name `CYCLEGAN_TF`, and a file beside. The
schema that Android Studio shows (`TFLITE_METADATA`) is not written: the library for it,
tflite-support, ended in 2023 with Python 3.11, and MediaPipe, which carries a copy, is
a large package for a few strings.
"""

import contextlib
import io
import json

import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

METADATA_NAME = "CYCLEGAN_TF"

# What the GPU delegate knows (tensorflow/lite/tools/versioning/gpu_compatibility.cc);
# tanh and the transposed convolution among them in the versions that we write.
_GPU_OPS = {
    "ADD",
    "CONCATENATION",
    "CONV_2D",
    "DEQUANTIZE",
    "LEAKY_RELU",
    "MEAN",
    "MIRROR_PAD",
    "MUL",
    "PAD",
    "QUANTIZE",
    "RELU",
    "RSQRT",
    "STRIDED_SLICE",
    "SUB",
    "TANH",
    "TRANSPOSE_CONV",
}

# Every phone's runtime has these built in; no Flex, no variables, no custom ones.
_FIXED_SIZE_OPS = _GPU_OPS | {"CAST", "MINIMUM", "ROUND"}
_ANY_SIZE_OPS = {
    "FLOOR_DIV",
    "FLOOR_MOD",
    "GATHER",
    "MAXIMUM",
    "PACK",
    "RANGE",
    "SHAPE",
}


def operations(content: bytes) -> dict[str, int]:
    """How often each operation stands in a TFLite file, by name, sorted."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    counts = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = _operation_name(code)
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _operation_name(code) -> str:
    if code.customCode:
        return code.customCode.decode()
    # Old readers knew a byte only; codes above 127 stand in the wider field.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if k.isupper()}
    return names[number]


def problems(content: bytes, fixed_size: bool) -> list[str]:
    """What would keep a file from running on phones.

    Args:
      content: A TFLite file.
      fixed_size: Whether no dimension may be open.

    Returns:
      A sentence for each problem; empty if there is none.
    """
    allowed = _FIXED_SIZE_OPS | (set() if fixed_size else _ANY_SIZE_OPS)
    return [
        *_other_operations(content, allowed),
        *_shape_problems(content, fixed_size),
    ]


def gpu_problems(content: bytes) -> list[str]:
    """What would keep a file, or a part of it, off a phone's GPU; as `problems`.

    Stands beside TensorFlow's analyzer, which looks at one operation at a time, and in
    the packages of 2.21 at none.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    types = [
        f"tensor {tensor.name.decode()} is of int16"
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT16
    ]
    return [
        *_other_operations(content, _GPU_OPS),
        *_shape_problems(content, fixed_size=True),
        *types[:1],
    ]


def _other_operations(content: bytes, allowed: set[str]) -> list[str]:
    return [
        f"operation {name} is not in the list of those allowed"
        for name in operations(content)
        if name not in allowed
    ]


def _shape_problems(content: bytes, fixed_size: bool) -> list[str]:
    found = []
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            name = tensor.name.decode()
            shape = [] if tensor.shape is None else list(tensor.shape)
            signature = tensor.shapeSignature
            if len(shape) > 4:
                found.append(f"tensor {name} has {len(shape)} dimensions")
            if fixed_size and signature is not None and -1 in list(signature):
                found.append(f"tensor {name} has an open dimension")
    return found


def analyzer_passes(content: bytes) -> bool:
    """What TensorFlow's analyzer says of the GPU delegate. That of 2.21 passes all."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        tf.lite.experimental.Analyzer.analyze(
            model_content=content, gpu_compatibility=True
        )
    return "looks compatible with GPU delegate" in printed.getvalue()


def with_metadata(content: bytes, metadata: dict) -> bytes:
    """A TFLite file with a description inside.

    Args:
      content: The file.
      metadata: What JSON can hold.

    Returns:
      The file; it computes the same. A description that it had is replaced.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    others = [e for e in model.metadata or [] if e.name.decode() != METADATA_NAME]
    buffer = schema.BufferT()
    buffer.data = json.dumps(metadata).encode()
    entry = schema.MetadataT()
    entry.name = METADATA_NAME
    entry.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*others, entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def read_metadata(content: bytes) -> dict | None:
    """The description inside a TFLite file, or None."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    for entry in model.metadata or []:
        if entry.name.decode() == METADATA_NAME:
            return json.loads(bytes(model.buffers[entry.buffer].data))
    return None
