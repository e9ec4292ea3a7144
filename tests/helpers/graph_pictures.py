"""What tests of pictures in a graph share."""

import functools
import re
import struct

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.exporting import picture_bytes
from helpers.encoded_pictures import (
    noise,
)

FORMATS = ("JPEG", "PNG", "BMP", "GIF")


LIMIT = 600


@functools.cache
def decoder(max_pixels: int):
    scalar = tf.TensorSpec([], tf.string)
    return tf.function(
        lambda data, name: picture_bytes.decode(data, name, max_pixels),
        input_signature=[scalar, scalar],
        autograph=False,
    )


def decode(data: bytes, max_pixels: int = LIMIT) -> np.ndarray:
    return decoder(max_pixels)(data, "image_bytes[7]").numpy()


def refusal(data: bytes, max_pixels: int = LIMIT, name: str = "image_bytes[7]") -> str:
    """What an error says, which must name the picture first."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decoder(max_pixels)(data, name)
    said = re.search(r"assertion failed: \[(.*)\]$", caught.value.message, re.M)
    assert said, caught.value.message
    assert said[1].startswith(name + " ")
    return said[1].removeprefix(name + " ")


COLOURS = noise(1, 256, seed=5)[0]


INDICES = noise(10, 12, seed=6)[..., 0]


def gif(width: int, height: int, *blocks: bytes, colours=COLOURS) -> bytes:
    flags, table = (0, b"") if colours is None else (0xF7, colours.tobytes())
    screen = struct.pack("<HHBBB", width, height, flags, 0, 0)
    return b"GIF89a" + screen + table + b"".join(blocks) + b";"


def frame(indices: np.ndarray = INDICES, left=0, top=0, colours=None) -> bytes:
    """An image descriptor, its colours, and codes of 9 bits that compress nothing."""
    height, width = indices.shape
    flags, table = (0, b"") if colours is None else (0x87, colours.tobytes())
    # A decoder that is told to clear its table often enough stays at 9 bits.
    codes = [256]
    for i, index in enumerate(indices.ravel().tolist(), 1):
        codes += [index] + [256] * (i % 100 == 0)
    bits = "".join(f"{code:09b}"[::-1] for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    descriptor = struct.pack("<BHHHHB", 0x2C, left, top, width, height, flags)
    return descriptor + table + b"\x08" + blocks_of(data)


def blocks_of(data: bytes, length: int = 255) -> bytes:
    parts = [data[i : i + length] for i in range(0, len(data), length)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def extension(label: int, data: bytes, length: int = 255) -> bytes:
    return bytes([0x21, label]) + blocks_of(data, length)
