"""A TFLite file: running it, what is in it, and a description put there.

Imports no network, so that a file is tried as it will be used: alone.

The description is JSON under the metadata name `CYCLEGAN_TF`, and a file beside. The
schema that Android Studio shows (`TFLITE_METADATA`) is not written: the library for it,
tflite-support, ended in 2023 with Python 3.11, and MediaPipe, which carries a copy, is
a large package for a few strings.
"""

import contextlib
import io
import json
import os
import pathlib
import struct
import warnings

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from cyclegan_tf.validation import UserError

METADATA_NAME = "CYCLEGAN_TF"

# What the GPU delegate knows (tensorflow/lite/tools/versioning/gpu_compatibility.cc);
# tanh and the transposed convolution among them in the versions that we write.
_GPU_OPS = set(
    (
        "ABS ADD CONCATENATION CONV_2D DEQUANTIZE LEAKY_RELU MEAN MIRROR_PAD MUL "
        "PAD QUANTIZE RELU RSQRT STRIDED_SLICE SUB TANH TRANSPOSE_CONV"
    ).split()
)

# Every phone's runtime has these built in; no Flex, no variables, no custom ones.
_FIXED_SIZE_OPS = _GPU_OPS | {"CAST", "MINIMUM", "ROUND"}
_ANY_SIZE_OPS = set(("FLOOR_DIV FLOOR_MOD GATHER MAXIMUM PACK RANGE SHAPE").split())


class TFLiteGenerator:
    """A generator in a TFLite file.

    Args:
      source: Path of the file, or its bytes.
      num_threads: Threads of the interpreter.

    Attributes:
      size: (height, width) that the file takes, or None if it takes any.

    Raises:
      UserError: it is no TFLite file, or not one that maps an image to an image.
    """

    def __init__(self, source: str | os.PathLike | bytes, num_threads: int = 2):
        name, content = "The TFLite content", {"model_content": source}
        if not isinstance(source, bytes):
            name = os.fspath(source)
            content = {"model_path": name}
        try:
            _check_whole(source)
            with warnings.catch_warnings():
                # TensorFlow's own interpreter announces its end in favour of LiteRT.
                warnings.simplefilter("ignore", UserWarning)
                self._interpreter = tf.lite.Interpreter(
                    **content, num_threads=num_threads
                )
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{name} is no TFLite file that runs here: {reason}"
            ) from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [details["shape_signature"] for details in (*inputs, *outputs)]
        images = [shape for shape in shapes if len(shape) == 4 and shape[-1] == 3]
        if not len(inputs) == len(outputs) == 1 or len(images) != 2:
            raise UserError(f"{name} does not map an image to an image.")
        self._input, self._output = inputs[0], outputs[0]
        height, width = (int(n) for n in self._input["shape_signature"][1:3])
        self.size = None if -1 in (height, width) else (height, width)

    def tensors(self) -> dict[str, dict]:
        """What a caller must know of the file's `input` and `output`.

        Returns:
          For each `name` in the signature, `shape` (-1: any), `dtype`, and how a stored
          value stands for a float in [-1, 1]: (stored - zero_point) * scale.
        """
        # Ours have one; of a file without, the tensors' own names are told.
        signatures = list(self._interpreter.get_signature_list().values())
        described = {}
        for role, details in (("input", self._input), ("output", self._output)):
            scale, zero_point = 1.0, 0.0
            if details["dtype"] != np.float32:
                scale, zero_point = _quantization(details)
            described[role] = {
                "name": signatures[0][f"{role}s"][0] if signatures else details["name"],
                "shape": [int(n) for n in details["shape_signature"]],
                "dtype": np.dtype(details["dtype"]).name,
                "scale": float(scale),
                "zero_point": float(zero_point),
            }
        return described

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Translates one image.

        Args:
          images: Float32 [1, height, width, 3] in [-1, 1].

        Returns:
          Float32 of the same shape.
        """
        self.set_input(images)
        self.invoke()
        return self.output()

    def set_input(self, images: np.ndarray) -> None:
        """Hands over an image, float32 [1, height, width, 3] in [-1, 1]."""
        index = self._input["index"]
        if self.size is None:
            self._interpreter.resize_tensor_input(index, images.shape, strict=True)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, _to_stored(images, self._input))

    def invoke(self) -> None:
        """Runs the network: what is timed."""
        self._interpreter.invoke()

    def output(self) -> np.ndarray:
        """The result, float32 [1, height, width, 3] in [-1, 1]."""
        return _from_stored(
            self._interpreter.get_tensor(self._output["index"]), self._output
        )


def _to_stored(images: np.ndarray, details: dict) -> np.ndarray:
    """Floats in [-1, 1] as a tensor's type: floats, pixels, or quantised."""
    if details["dtype"] == np.float32:
        return images.astype(np.float32)
    limits = np.iinfo(details["dtype"])
    scale, zero_point = _quantization(details)
    # A little up: pixels lie halfway between two values of an `int8` file, and so each
    # is stored as itself, as on a phone, and none is rounded by chance.
    stored = np.rint(images / scale + zero_point + 1e-3)
    return np.clip(stored, limits.min, limits.max).astype(details["dtype"])


def _from_stored(stored: np.ndarray, details: dict) -> np.ndarray:
    if details["dtype"] == np.float32:
        return stored
    scale, zero_point = _quantization(details)
    return (stored.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _quantization(details: dict) -> tuple[float, float]:
    """Scale and zero point; a tensor that has none holds pixels in [0, 255]."""
    scale, zero_point = details["quantization"]
    return (scale, zero_point) if scale else (1 / 127.5, 127.5)


def _check_whole(source: str | os.PathLike | bytes) -> None:
    """Refuses what is no such file, or cut off, on which TensorFlow 2.15's crashes."""
    content = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError("it does not begin as one.")
    try:
        schema.ModelT.InitFromPackedBuf(content, 0)
    except struct.error as error:
        raise ValueError("it is cut off.") from error


# --- Operations and tensors


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
    """What TensorFlow's analyzer says of GPUs; 2.15's looks, 2.21's passes all."""
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
