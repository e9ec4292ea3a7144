"""Runs a TFLite file of ours on images in [-1, 1], whatever types it takes and gives.

Imports no network, so that a file is tried as it will be used: alone.
"""

import os
import warnings

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import UserError


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
            with warnings.catch_warnings():
                # TensorFlow's own interpreter announces its end in favour of LiteRT.
                warnings.simplefilter("ignore", UserWarning)
                self._interpreter = tf.lite.Interpreter(
                    **content, num_threads=num_threads
                )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
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
