"""Pictures in many encodings, whole and damaged."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def noise(height: int = 12, width: int = 17, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int = 16, width: int = 24) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([8 * x, 9 * y, 60 + 3 * (x + y)], axis=-1).astype(np.uint8)


def png(pixels: np.ndarray, colour_type: int, bits: int) -> bytes:
    """A PNG written without Pillow; pixels are [height, width] or [..., channels]."""
    rows = pixels.astype(">u2" if bits == 16 else np.uint8)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(body)),
            (b"IEND", b""),
        )
    )


def bmp32(pixels: np.ndarray) -> bytes:
    """A 32 bit BMP (bottom row first, blue first, one unused byte)."""
    height, width = pixels.shape[:2]
    unused = np.zeros((height, width, 1), np.uint8)
    body = np.concatenate([pixels[::-1, :, ::-1], unused], axis=-1).tobytes()
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 32, 0, len(body), 0, 0, 0, 0
    )
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + info + body


def palette_picture() -> tuple[Image.Image, np.ndarray]:
    colours = noise(1, 8, seed=2)[0]
    indices = np.random.default_rng(3).integers(0, 8, (6, 7), np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    return image, colours[indices]


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    broken = np.frombuffer(data, np.uint8).copy()
    places = random.integers(0, broken.size, random.integers(1, 6))
    broken[places] = random.integers(0, 256, places.size)
    if random.random() < 0.3:
        broken = broken[: random.integers(0, broken.size)]
    return broken.tobytes()
