"""Decodes, resizes and converts pictures.

Pictures in memory are uint8 in [0, 255]; networks work on float32 in [-1, 1].
"""

import contextlib
import io
import math
import os
import pathlib
import warnings
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from cyclegan_tf.messages import reason

# JPEG includes the MPO of some phones.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
FORMAT_NAMES = "JPEG, PNG, BMP, GIF, WebP or TIFF"
ENDINGS = tuple(
    ".jpg .jpeg .jpe .jfif .jfi .jif .pjpeg .pjp .mpo .png .apng .bmp .dib .gif .webp "
    ".tif .tiff .btf".split()
)

# Pillow's own limit allows several gigabytes. Within these limits a picture takes less
# than one: 12 bytes a pixel beside its file, 16 in the formats that copy it.
MAX_PIXELS = 64_000_000
MAX_PIXELS_COPIED = 40_000_000
MAX_BYTES = 160_000_000

# Encoders write about ten scans. Thousands, in a small file, would take hours.
MAX_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
_TIFF_TILE_SIDES = (322, 323)
_TIFF_SAMPLE_FORMAT = 339

# Damaged metadata do no harm, and damaged pixels raise errors.
warnings.filterwarnings("ignore", module="PIL")


class ImageError(ValueError):
    """The reason why a picture can't be read."""


class Loss(NamedTuple):
    """What a picture loses when it is read."""

    values: tuple[int, int] | None  # Lowest and highest; None with 8 bits.
    levels: tuple[int, int]  # Lowest and highest level, which replace the values.
    frames: bool  # It has further frames or pages.


def decode(source: bytes | str | os.PathLike) -> np.ndarray:
    """Reads a picture, uint8 [height, width, 3]; see `read`."""
    return read(source)[0]


def read(source: bytes | str | os.PathLike) -> tuple[np.ndarray, Loss | None]:
    """Reads a picture: JPEG, PNG, BMP, TIFF, WebP or GIF, the first of several frames.

    Grey and palette pictures become RGB, 16 bits become 8, alpha is dropped, and the
    EXIF orientation is applied (the official code ignores it). Thread-safe.

    Args:
      source: The file's bytes, or its path.

    Returns:
      uint8 [height, width, 3], and what was lost, if anything.

    Raises:
      ImageError: the picture is truncated, damaged, of another format, or needs a
        gigabyte of memory.
    """
    data = source if isinstance(source, bytes) else file_bytes(source)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image, data)
            deep = image.format in ("PNG", "TIFF") and ";16" in str(image.tile[:1])
            image.load()
            _check_type(image)
            ImageOps.exif_transpose(image, in_place=True)
            rgb, values = _to_rgb(image)
            levels = int(rgb.min()), int(rgb.max())
            if deep and not values:  # Pillow gives the high bytes of colours.
                values = levels[0] * 256, levels[1] * 256 + 255
            frames = _has_frames(image)
            return rgb, Loss(values, levels, frames) if values or frames else None
    except UnidentifiedImageError as error:
        raise ImageError(f"cannot identify it as {FORMAT_NAMES}") from error
    except Exception as error:  # On damaged files Pillow raises errors of any type.
        raise ImageError(reason(error)) from error


def file_bytes(path: str | os.PathLike) -> bytes:
    """Reads a picture's file; an `ImageError` if that fails or it exceeds MAX_BYTES.

    Pillow gets the bytes, not the path: it would map some files into memory, where
    truncation kills the process, and it would not rotate uncompressed TIFFs.
    """
    try:
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise ImageError(f"has {size:,} bytes; at most {MAX_BYTES:,} are read")
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ImageError(reason(error)) from error


def _check(image: Image.Image, data: bytes) -> None:
    """Refuses pictures that take hours or gigabytes."""
    most = MAX_PIXELS_COPIED if image.format in ("WEBP", "TIFF") else MAX_PIXELS
    pixels = math.prod(image.size)
    if image.format == "TIFF":  # A tile may be larger than its picture.
        tile = [int(image.tag_v2.get(tag, 0)) for tag in _TIFF_TILE_SIDES]
        pixels = max(pixels, math.prod(tile))
    if pixels > most:
        raise ImageError(f"has {pixels:,} pixels; at most {most:,} are read")
    if image.info.get("progressive") == 1 and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise ImageError(f"has more than {MAX_SCANS} scans")


def _check_type(image: Image.Image) -> None:
    """Refuses types of pixels that Pillow scales wrong."""
    if image.mode == "F":
        low, high = image.getextrema()
        kind = f"floating point numbers, {low:g} to {high:g}"
        raise ImageError(f"its pixels are {kind}; save it with 8 or 16 bits")
    signed = image.format == "TIFF" and 2 in image.tag_v2.get(_TIFF_SAMPLE_FORMAT, ())
    if signed and not image.mode.startswith("I"):
        raise ImageError("its pixels are signed 8 bit numbers; save it with unsigned")


def _has_frames(image: Image.Image) -> bool:
    """Whether a picture has further frames; MPO files of phones have previews."""
    with contextlib.suppress(Exception):  # Further frames may be damaged.
        return image.format != "MPO" and getattr(image, "is_animated", False)
    return False


def _to_rgb(image: Image.Image) -> tuple[np.ndarray, tuple[int, int] | None]:
    """uint8 [height, width, 3] and the range of 16 or 32 bit grey, in strips."""
    width, height = image.size
    rgb, ranges = np.empty((height, width, 3), np.uint8), []
    rows = max(1, 2**20 // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if strip.mode.startswith("I"):
            # Pillow would clip 16 bit grey at 255 instead of scaling it.
            grey = np.asarray(strip)
            ranges += [int(grey.min()), int(grey.max())]
            grey = np.rint(grey.astype(np.float64) / 257)
            strip = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
        elif strip.mode == "P" and "transparency" in strip.info:
            strip = strip.convert("RGBA")
        rgb[top : top + rows] = strip.convert("RGB")
    return rgb, (min(ranges), max(ranges)) if ranges else None


def resize(image: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resizes with Pillow's bicubic filter, as the official code does.

    `size` is the side of a square, or height and width, in pixels.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Converts uint8 in [0, 255] to float32 in [-1, 1], of any shape."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Converts floats in [-1, 1] to the nearest uint8 in [0, 255]; clips others."""
    scaled = tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5)
    return tf.cast(tf.clip_by_value(scaled, 0.0, 255.0), tf.uint8)


def tile(columns: list[np.ndarray], gap: int = 2) -> np.ndarray:
    """Arranges columns of images in a grid on white, with `gap` pixels between them.

    All columns have one shape, uint8 [rows, height, width, 3].
    """
    sides = ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0))
    cells = np.pad(np.stack(columns, axis=1), sides, constant_values=255)
    rows, num_columns, height, width, channels = cells.shape
    grid = cells.transpose(0, 2, 1, 3, 4)
    grid = grid.reshape(rows * height, num_columns * width, channels)
    return grid[: rows * height - gap, : num_columns * width - gap]
