"""Decoding in a graph, against Pillow, and everything that it must refuse."""

import functools
import re
import struct
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
    png,
    smooth,
)
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.deploy import saved_model

FORMATS = ("JPEG", "PNG", "BMP")
LIMIT = 600


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


@functools.cache
def decoder(max_pixels: int):
    scalar = tf.TensorSpec([], tf.string)
    return tf.function(
        lambda data, name: saved_model.decode(data, name, max_pixels),
        input_signature=[scalar, scalar],
        autograph=False,
    )


def decode(data: bytes, max_pixels: int = LIMIT) -> np.ndarray:
    return decoder(max_pixels)(data, "image_bytes[7]").numpy()


def refusal(data: bytes, name: str = "image_bytes[7]") -> str:
    """What an error says, which must name the picture first."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decoder(LIMIT)(data, name)
    said = re.search(r"assertion failed: \[(.*)\]$", caught.value.message, re.M)
    assert said, caught.value.message
    assert said[1].startswith(name + " ")
    return said[1].removeprefix(name + " ")


def assert_as_pillow(data: bytes, atol: int = 0, message="") -> None:
    decoded, expected = decode(data), images.decode(data)
    assert decoded.dtype == np.uint8
    assert decoded.shape == expected.shape, message
    difference = np.abs(decoded.astype(int) - expected)
    assert difference.max() <= atol, message


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(smooth()).convert(mode)


# --- What is read


@pytest.mark.stack
def test_png_equals_pillow():
    # The colour type: grey, RGB, palette, grey with alpha, RGBA.
    types = {"1": 0, "L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}
    for mode, colour_type in types.items():
        data = encoded(Image.fromarray(noise()).convert(mode), "PNG")
        assert data[25] == colour_type
        assert_as_pillow(data, message=mode)


@pytest.mark.stack
def test_palette_png_keeps_colours_where_it_is_transparent():
    image, pixels = palette_picture()
    for transparency in (3, bytes([0, 128, 255, 7])):  # One colour; a table.
        data = encoded(image, "PNG", transparency=transparency)
        assert b"tRNS" in data
        np.testing.assert_array_equal(decode(data), pixels)


@pytest.mark.stack
def test_16_bit_png_is_scaled_to_8_bits():
    for colour_type, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        pixels = np.concatenate([noise(), noise(seed=1)], axis=-1)[..., :channels]
        data = png(257 * pixels.astype(int), colour_type, bits=16)
        colours = pixels[..., :3] if channels > 2 else pixels[..., [0, 0, 0]]
        np.testing.assert_array_equal(decode(data), colours)
    between_levels = np.arange(0, 65536, 110)[:588].reshape(21, 28)
    assert_as_pillow(png(between_levels, colour_type=0, bits=16), atol=1)


@pytest.mark.stack
def test_bmp_without_a_palette_equals_pillow():
    assert_as_pillow(encoded(Image.fromarray(noise()), "BMP"))
    assert_as_pillow(bmp32(noise()))


@pytest.mark.stack
def test_bmp_of_negative_height_has_its_top_row_first():
    data = bytearray(encoded(Image.fromarray(noise()), "BMP"))
    struct.pack_into("<i", data, 22, -12)
    np.testing.assert_array_equal(decode(bytes(data)), noise()[::-1])
    assert_as_pillow(bytes(data))


@pytest.mark.stack
def test_jpeg_is_within_three_levels_of_pillow():
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"subsampling": 0}):
            data = encoded(picture(mode), "JPEG", **options)
            assert_as_pillow(data, atol=3, message=(mode, options))
    # Of several pictures in a file, the first one.
    others = {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}
    assert_as_pillow(encoded(picture(), "MPO", **others), atol=3)


def test_orientation_in_a_jpeg_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(), "JPEG", exif=exif)
    assert images.decode(data).shape == (24, 16, 3)
    np.testing.assert_array_equal(decode(data), decode(encoded(picture(), "JPEG")))


def test_result_has_three_channels_before_it_runs():
    result = decoder(LIMIT).get_concrete_function().output_shapes
    assert result.as_list() == [None, None, 3]


# --- What is refused


def test_what_is_no_picture_is_refused_by_its_name():
    kinds = ("WEBP", "TIFF", "PPM", "ICO", "GIF")
    others = [encoded(picture(), name) for name in kinds]
    # TensorFlow would give the indices of a palette as greys.
    others += [encoded(image, "BMP") for image in (picture("L"), palette_picture()[0])]
    starts = [b"", b"\0", b"\xff\xd8", b"B", b"GIF9", b"\x89PNG\r\n"]
    for data in (*others, *starts, b"not a picture at all", bytes(1000)):
        assert "neither JPEG" in refusal(data), data
    assert refusal(b"text", name="image_bytes[0]") == refusal(b"text", name="picture")


@pytest.mark.stack
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_truncation_is_refused(file_format):
    data = encoded(Image.fromarray(noise()), file_format)
    last = len(data) - 1
    for end in (*range(30, last - 20, 11), *range(last - 20, last + 1)):
        assert "be decoded" in refusal(data[:end])
    assert "cut off" in refusal(data[: -len(data) // 8])


# --- Sizes


def claiming(file_format: str, width: int, height: int) -> bytes:
    """A small file with another size in its header."""
    data = bytearray(encoded(Image.fromarray(noise(4, 4)), file_format))
    if file_format == "PNG":
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif file_format == "BMP":
        struct.pack_into("<ii", data, 18, width, height)
    else:
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("file_format", FORMATS)
def test_limit_is_the_most_pixels_that_pass(file_format):
    for height, width in ((20, 30), (600, 1), (1, 600), (1, 1)):
        image = Image.fromarray(noise(height, width))
        assert decode(encoded(image, file_format)).shape == (height, width, 3)
    for height, width in ((601, 1), (1, 601), (25, 25)):
        image = Image.fromarray(noise(height, width))
        assert_too_large(encoded(image, file_format), width, height)
    # By the header, before anything is decoded.
    assert_too_large(claiming(file_format, 60_000, 50_000), 60_000, 50_000)


def assert_too_large(data: bytes, width: int, height: int) -> None:
    assert refusal(data) == f"has {width}x{height} pixels; the limit is {LIMIT}"


def test_limit_holds_for_negative_and_huge_sides():
    assert_too_large(claiming("BMP", 31, -20), 31, 20)
    assert_too_large(claiming("BMP", 4, -(2**31)), 4, 2**31)
    for side in (2**31 - 1, 2**31 - 2**15):
        for size in ((side, side), (side, 1), (1, side)):
            assert_too_large(claiming("PNG", *size), *size)
    # More than the format allows.
    for size in ((2**31, 1), (2**32 - 1, 1), (2**32 - 4, 4), (2**32 - 1, 2**32 - 1)):
        assert "header is damaged" in refusal(claiming("PNG", *size))


def test_header_without_a_size_is_damaged():
    starts = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]
    zero_sides = [
        claiming(file_format, *size)
        for file_format in ("JPEG", "PNG", "BMP")
        for size in ((0, 4), (4, 0), (0, 0))
    ]
    for data in (*starts, *zero_sides):
        assert "header is damaged" in refusal(data), data


def test_limit_holds_where_another_chunk_is_before_the_header():
    data = encoded(Image.fromarray(noise(50, 40)), "PNG")
    chunk = b"abCd" + struct.pack(">II", 5, 5)
    first = struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk))
    refusal(data[:8] + first + data[8:])


# --- Damage


def fuzzed_files() -> dict[str, bytes]:
    image = Image.fromarray(noise(10, 14))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "JPEG": encoded(image, "JPEG", exif=exif),
        "progressive JPEG": encoded(image, "JPEG", progressive=True),
        "PNG": encoded(image, "PNG"),
        "palette PNG": encoded(palette_picture()[0], "PNG", transparency=3),
        "BMP": encoded(image, "BMP"),
        "32 bit BMP": bmp32(noise(10, 14)),
    }


def headers_damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Replaces one or two of the first bytes, which hold sizes and tables."""
    broken = np.frombuffer(data, np.uint8).copy()
    places = random.integers(0, 40, random.integers(1, 3))
    broken[places] = random.choice([0, 1, 127, 128, 255], places.size)
    return broken.tobytes()


@pytest.mark.stack
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
