"""Sizes and damage of pictures that are decoded in a graph."""

import io
import resource
import struct
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.encoded_pictures import (
    bmp32,
    damaged,
    encoded,
    noise,
    palette_picture,
)
from helpers.graph_pictures import (
    COLOURS,
    FORMATS,
    INDICES,
    LIMIT,
    decode,
    decoder,
    extension,
    frame,
    gif,
    refusal,
)
from PIL import Image


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


def claiming(file_format: str, width: int, height: int) -> bytes:
    """A small file whose header tells another size."""
    data = bytearray(encoded(Image.fromarray(noise(4, 4)), file_format))
    if file_format == "PNG":
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif file_format == "BMP":
        struct.pack_into("<ii", data, 18, width, height)
    elif file_format == "GIF":
        struct.pack_into("<HH", data, 6, width, height)
    else:
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("file_format", FORMATS)
def test_limit_is_the_most_pixels_that_pass(file_format):
    for height, width in ((20, 30), (600, 1), (1, 600)):
        image = Image.fromarray(noise(height, width))
        assert decode(encoded(image, file_format)).shape == (height, width, 3)
    for height, width in ((601, 1), (1, 601), (25, 25)):
        said = refusal(encoded(Image.fromarray(noise(height, width)), file_format))
        assert said == f"has {width}x{height} pixels; the limit is 600"


@pytest.mark.parametrize("file_format", FORMATS)
def test_limit_is_held_against_the_header_before_decoding(file_format):
    said = refusal(claiming(file_format, 60_000, 50_000))
    assert said == "has 60000x50000 pixels; the limit is 600"


def test_limit_holds_for_bmp_of_negative_height():
    said = refusal(claiming("BMP", 31, -20))
    assert said == "has 31x20 pixels; the limit is 600"
    assert "has 4x2147483648 pixels" in refusal(claiming("BMP", 4, -(2**31)))


@pytest.mark.parametrize("side", [2**31, 2**31 - 1, 2**31 - 2**15])
def test_huge_png_does_not_overflow_the_count(side):
    for width, height in ((side, side), (side, 1), (1, side)):
        said = refusal(claiming("PNG", width, height))
        assert said == f"has {width}x{height} pixels; the limit is 600"


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (0, 0)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
def test_side_of_zero_is_a_damaged_header(file_format, size):
    said = refusal(claiming(file_format, *size))
    assert said.endswith("be decoded: its header is damaged")


@pytest.mark.parametrize("sides", [(2**32 - 1, 1), (2**32 - 4, 4)])
def test_png_sides_beyond_31_bits_are_refused(sides):
    assert "be decoded" in refusal(claiming("PNG", *sides))


def test_limit_holds_for_a_screen_larger_than_its_frame():
    assert refusal(gif(31, 20, frame())).startswith("has 31x20 pixels")
    assert refusal(gif(65_535, 65_535, frame())).startswith("has 65535x65535 pixels")


def test_limit_holds_for_a_frame_larger_than_its_screen():
    wide = frame(np.zeros((20, 31), np.uint8))
    assert refusal(gif(5, 5, wide)).startswith("has 31x20 pixels")
    behind_comment = gif(5, 5, extension(0xFE, b"x" * 600), wide)
    assert refusal(behind_comment).startswith("has 31x20 pixels")


def test_limit_holds_for_the_longer_sides_of_screen_and_frame():
    tall = frame(np.zeros((60, 4), np.uint8))
    assert refusal(gif(50, 4, tall)) == "has 50x60 pixels; the limit is 600"


def test_limit_holds_where_another_chunk_is_before_the_header():
    data = encoded(Image.fromarray(noise(50, 40)), "PNG")
    chunk = b"abCd" + struct.pack(">II", 5, 5)
    first = struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk))
    refusal(data[:8] + first + data[8:])


@pytest.mark.parametrize("whole", [True, False])
def test_limit_holds_behind_an_extension_without_blocks(whole):
    larger = encoded(Image.new("P", (40, 50)), "GIF")
    larger = larger[larger.index(b",", 13) : -1]
    # The decoder takes the comma after the extension for a length: 44 bytes of text.
    # Then it finds a second descriptor in what the first one calls its data.
    hidden = bytes(33) + b"\0" + larger
    length, end = (45, b"") if whole else (255, b";")
    small = struct.pack("<BHHHHBBB", 0x2C, 0, 0, 5, 5, 0, 8, length)
    data = gif(5, 5, extension(0xFE, b""), small + hidden + end)
    try:
        assert decode(data).shape == (5, 5, 3)
    except tf.errors.InvalidArgumentError:
        pass


def test_extension_without_blocks_is_passed_over():
    data = gif(12, 10, extension(0xFE, b""), frame())
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def peak_mib() -> float:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def test_animated_bomb_takes_the_memory_of_one_frame():
    side, num_frames = 1000, 300
    data = encoded(Image.new("P", (side, side)), "GIF")
    table_end = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    bomb = data[:-1] + data[table_end:-1] * (num_frames - 1) + b";"
    assert Image.open(io.BytesIO(bomb)).n_frames == num_frames
    decode(data, side**2)  # What tracing takes.
    before = peak_mib()
    assert decode(bomb, side**2).shape == (side, side, 3)
    # All frames are 860 MiB.
    assert peak_mib() - before < 100


def test_loops_over_the_blocks_of_a_gif_copy_no_data():
    # With a copy for each block, time grows with the square of the file.
    graph = decoder(LIMIT).get_concrete_function().graph.as_graph_def()
    loops = [f for f in graph.library.function if "while" in f.signature.name]
    assert loops
    ops = {node.op for loop in loops for node in loop.node_def}
    assert not ops & {"Pad", "PadV2", "ConcatV2", "DecodeRaw"}


# --- Damage


def fuzzed_files() -> dict[str, bytes]:
    image = Image.fromarray(noise(10, 14))
    more = Image.fromarray(noise(10, 14, seed=1))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "JPEG": encoded(image, "JPEG", exif=exif),
        "progressive JPEG": encoded(image, "JPEG", progressive=True),
        "PNG": encoded(image, "PNG"),
        "palette PNG": encoded(palette_picture()[0], "PNG", transparency=3),
        "BMP": encoded(image, "BMP"),
        "32 bit BMP": bmp32(noise(10, 14)),
        "GIF": encoded(image, "GIF", save_all=True, append_images=[more]),
        "GIF with extensions": gif(
            12, 10, extension(0xFE, b"text" * 99), frame(colours=COLOURS), frame()
        ),
    }


def headers_damaged(data: bytes, random: np.random.Generator) -> bytes:
    """One or two of the first bytes replaced, where sizes and tables are told."""
    broken = np.frombuffer(data, np.uint8).copy()
    places = random.integers(0, 40, random.integers(1, 3))
    broken[places] = random.choice([0, 1, 127, 128, 255], places.size)
    return broken.tobytes()


@pytest.mark.parametrize("kind", fuzzed_files())
def test_damaged_file_is_refused_by_name_or_gives_a_picture(kind):
    data, refused = fuzzed_files()[kind], []
    random = np.random.default_rng(0)
    for damage in (damaged, headers_damaged):
        for _ in range(45):
            try:
                pixels = decode(damage(data, random))
            except tf.errors.InvalidArgumentError as error:
                refused.append(error.message)
                continue
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3 and pixels.shape[2] == 3
            assert 0 < pixels.shape[0] * pixels.shape[1] <= LIMIT
    assert 10 < len(refused) <= 90
    assert all("assertion failed: [image_bytes[7] " in message for message in refused)
