"""The only place that knows how pixels are stored: files, uint8, and [-1, 1].

Networks work on float32 in [-1, 1]; files and data in memory are uint8 in [0, 255].
"""

import io
import os
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

# JPEG covers the MPO of some phones.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
FORMAT_NAMES = "JPEG, PNG, BMP, GIF, WebP or TIFF"
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

# What Pillow's readers are known to raise on damaged files.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class ImageError(ValueError):
    """A file or bytes that hold no whole picture of a format we read."""


def decode(source: bytes | str | os.PathLike) -> np.ndarray:
    """Reads a picture: JPEG, PNG, BMP, TIFF, WebP or GIF, the first of several frames.

    Grey and palette pictures become RGB, 16 bits become 8, alpha is dropped, and the
    orientation that cameras note in the file is applied (the official code ignores it).

    Args:
      source: The file's bytes, or its path.

    Returns:
      uint8 [height, width, 3].

    Raises:
      ImageError: the picture is truncated, damaged or of another format.
    """
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:
            if image.mode == "F":
                raise ImageError("its pixels are floating point numbers")
            image.load()
            return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except _DAMAGE as error:
        raise ImageError(str(error) or type(error).__name__) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16 bit grey at 255 instead of scaling it.
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def resize(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resizes with Pillow's bicubic filter, as the official code does.

    Args:
      image: uint8 [height, width, 3].
      size: Side of a square, or height and width, in pixels.

    Returns:
      uint8 [height, width, 3] of that size.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """uint8 in [0, 255] to float32 in [-1, 1], of any shape."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Floats in [-1, 1] to the nearest uint8 in [0, 255]; values outside are cut."""
    scaled = tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5)
    return tf.cast(tf.clip_by_value(scaled, 0.0, 255.0), tf.uint8)


def tile(columns: list[np.ndarray], gap: int = 2) -> np.ndarray:
    """Lays out images in a grid on white.

    Args:
      columns: For each column, uint8 [rows, height, width, 3]; all of one shape.
      gap: Pixels between images.

    Returns:
      uint8 [grid height, grid width, 3].
    """
    cells = np.stack(columns, axis=1)
    sides = ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0))
    cells = np.pad(cells, sides, constant_values=255)
    rows, num_columns, height, width, channels = cells.shape
    grid = cells.transpose(0, 2, 1, 3, 4)
    grid = grid.reshape(rows * height, num_columns * width, channels)
    return grid[: rows * height - gap, : num_columns * width - gap]
