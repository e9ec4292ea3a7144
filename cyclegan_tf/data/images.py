"""The only place that knows how pixels are stored: files, uint8, and [-1, 1].

Networks work on float32 in [-1, 1]; files and data in memory are uint8 in [0, 255].
"""

import contextlib
import ctypes
import io
import logging
import math
import os
import pathlib
import re
import warnings

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

# JPEG covers the MPO of some phones.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
FORMAT_NAMES = "JPEG, PNG, BMP, GIF, WebP or TIFF"
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")

# With these no picture takes a gigabyte to decode: at most 12 bytes a pixel beside the
# file, and 16 in the two formats whose decoders keep whole copies.
MAX_PIXELS = 64_000_000
MAX_PIXELS_COPIED = 40_000_000
MAX_BYTES = 160_000_000
_COPIED = ("WEBP", "TIFF")

# Encoders write about ten. Thousands in few bytes would take hours.
MAX_SCANS = 100

# Of a JPEG, any but those inside a scan's data.
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA

# Tags of a TIFF.
_TILE_SIDES = (322, 323)

# As `warnings.filterwarnings("ignore", module="PIL")` makes it.
_IGNORE_PILLOW = ("ignore", None, Warning, re.compile("PIL"), 0)

# Of damaged TIFFs, Pillow logs what it also raises, and its libtiff prints to stderr.
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
with contextlib.suppress(OSError, AttributeError):  # Some builds hide libtiff.
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


class ImageError(ValueError):
    """A file or bytes that hold no whole picture of a format we read."""


def decode(source: bytes | str | os.PathLike) -> np.ndarray:
    """Reads a picture: JPEG, PNG, BMP, TIFF, WebP or GIF, the first of several frames.

    Grey and palette pictures become RGB, 16 bits become 8, alpha is dropped, and the
    orientation that cameras note in the file is applied (the official code ignores it).
    Threads may call it at once.

    Args:
      source: The file's bytes, or its path.

    Returns:
      uint8 [height, width, 3].

    Raises:
      ImageError: the picture is truncated, damaged, of another format, or so large that
        it would take a gigabyte of memory.
    """
    data = source if isinstance(source, bytes) else file_bytes(source)
    try:
        with (
            _without_warnings(),
            Image.open(io.BytesIO(data), formats=FORMATS) as image,
        ):
            _check(image, data)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except Exception as error:  # On damaged files Pillow raises whatever it meets.
        raise ImageError(_reason(error)) from error


def file_bytes(path: str | os.PathLike) -> bytes:
    """The bytes of a picture's file.

    Pillow gets these and not the path: some files it would map into memory, where one
    that is cut off meanwhile kills the process, and uncompressed TIFFs it turns wrong.

    Raises:
      ImageError: it can't be read, or has more than MAX_BYTES.
    """
    try:
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise ImageError(f"has {size:,} bytes; at most {MAX_BYTES:,} are read")
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ImageError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What an error says, in a line."""
    if isinstance(error, UnidentifiedImageError):
        return f"cannot identify it as {FORMAT_NAMES}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:200]


@contextlib.contextmanager
def _without_warnings():
    """Ignores Pillow's warnings, in all threads.

    Unlike with `warnings.catch_warnings`, which restores a list of filters that other
    threads may have changed, each thread takes away what it has put there.
    """
    warnings.filters.insert(0, _IGNORE_PILLOW)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            warnings.filters.remove(_IGNORE_PILLOW)


def _check(image: Image.Image, data: bytes) -> None:
    """Refuses what Pillow would take hours or gigabytes to load, or scale wrong."""
    if image.mode == "F":
        raise ImageError("its pixels are floating point numbers")
    most = MAX_PIXELS_COPIED if image.format in _COPIED else MAX_PIXELS
    pixels = max(math.prod(image.size), _tile_pixels(image))
    if pixels > most:
        raise ImageError(f"has {pixels:,} pixels; at most {most:,} are read")
    progressive = image.format in ("JPEG", "MPO") and "progressive" in image.info
    if progressive and _num_scans(data) > MAX_SCANS:
        raise ImageError(f"has more than {MAX_SCANS} scans")


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of a TIFF's tile, which may be larger than the picture; 0 without any."""
    if image.format != "TIFF":
        return 0
    sides = (image.tag_v2.get(tag, 0) for tag in _TILE_SIDES)
    return math.prod(map(int, sides))


def _num_scans(jpeg: bytes) -> int:
    """How often a progressive JPEG goes over its pixels, each time a little finer."""
    scans, place = 0, 2
    while match := _JPEG_MARKER.search(jpeg, place):
        (marker,) = match[1]
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        # Two bytes tell how far the segment goes, themselves counted.
        place = match.end() + int.from_bytes(jpeg[match.end() : match.end() + 2], "big")
    return scans


def _to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 [height, width, 3], converted strip by strip so as to need no copies."""
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(1, 2**20 // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        rgb[top:bottom] = _strip_to_rgb(image.crop((0, top, width, bottom)))
    return rgb


def _strip_to_rgb(image: Image.Image) -> Image.Image:
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
