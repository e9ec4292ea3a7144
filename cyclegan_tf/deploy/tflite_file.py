"""Runs a TFLite file of a generator.

Imports no network, so that the verification runs a file without our layers.
"""

import os
import pathlib
import struct
import warnings

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from cyclegan_tf.messages import UserError, reason


class TFLiteGenerator:
    """A generator in a TFLite file.

    Args:
      source: Path of the file, or its bytes.
      num_threads: Threads of the interpreter.

    Attributes:
      size: (height, width) of the file's image, or None if it takes any.

    Raises:
      UserError: it is no TFLite file, or does not map an image to an image.
    """

    def __init__(self, source: str | os.PathLike | bytes, num_threads: int = 2):
        is_bytes = isinstance(source, bytes)
        name = "The TFLite content" if is_bytes else os.fspath(source)
        try:
            content = source if is_bytes else pathlib.Path(source).read_bytes()
            _check_whole(content)
            self._interpreter = interpreter(content, num_threads)
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{name} is no TFLite file that runs here: {reason(error)}"
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
        """Describes the file's `input` and `output` for its callers.

        Returns:
          For each `shape` (-1: any), `dtype`, `scale` and `zero_point`. A stored value
          stands for (stored - zero_point) * scale, a float in [-1, 1].
        """
        return {"input": _described(self._input), "output": _described(self._output)}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Translates one image, float32 [1, height, width, 3] in [-1, 1]."""
        index = self._input["index"]
        if self.size is None:
            self._interpreter.resize_tensor_input(index, images.shape, strict=True)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, _to_stored(images, self._input))
        self._interpreter.invoke()
        stored = self._interpreter.get_tensor(self._output["index"])
        if stored.dtype == np.float32:
            return stored
        scale, zero_point = map(np.float32, _quantization(self._output))
        return (stored.astype(np.float32) - zero_point) * scale


def interpreter(content: bytes, num_threads: int) -> tf.lite.Interpreter:
    """An interpreter of a file's content."""
    with warnings.catch_warnings():
        # TensorFlow's interpreter warns that it moves to the package LiteRT.
        warnings.simplefilter("ignore", UserWarning)
        return tf.lite.Interpreter(model_content=content, num_threads=num_threads)


def _described(details: dict) -> dict:
    scale, zero_point = _quantization(details)
    return {
        "shape": [int(n) for n in details["shape_signature"]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scale),
        "zero_point": float(zero_point),
    }


def _to_stored(images: np.ndarray, details: dict) -> np.ndarray:
    """Floats in [-1, 1] as a tensor's type: floats, pixels, or quantised."""
    if details["dtype"] == np.float32:
        return images.astype(np.float32)
    limits = np.iinfo(details["dtype"])
    scale, zero_point = _quantization(details)
    # Pixels lie halfway between two values of an `int8` file. A little up, and each is
    # stored as itself, as on a phone.
    stored = np.rint(images / scale + zero_point + 1e-3)
    return np.clip(stored, limits.min, limits.max).astype(details["dtype"])


def _quantization(details: dict) -> tuple[float, float]:
    """Scale and zero point; integers without a scale are pixels in [0, 255]."""
    if details["dtype"] == np.float32:
        return 1.0, 0.0
    scale, zero_point = details["quantization"]
    return (scale, zero_point) if scale else (1 / 127.5, 127.5)


def _check_whole(content: bytes) -> None:
    """Refuses a file that is cut off: TensorFlow 2.15 crashes on some."""
    if content[4:8] != b"TFL3":
        raise ValueError("it does not begin as one.")
    try:
        schema.ModelT.InitFromPackedBuf(content, 0)
    except struct.error as error:
        raise ValueError("it is cut off.") from error
