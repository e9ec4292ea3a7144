"""Decoding in a graph, against Pillow, and everything that it must refuse."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from helpers.encoded_pictures import (
    bmp32,
    encoded,
    noise,
    palette_picture,
    png,
    smooth,
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

from cyclegan_tf.data import images


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


def assert_as_pillow(data: bytes, atol: int = 0) -> None:
    decoded, expected = decode(data), images.decode(data)
    assert decoded.dtype == np.uint8
    assert decoded.shape == expected.shape
    np.testing.assert_allclose(decoded.astype(int), expected, rtol=0, atol=atol)


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(smooth()).convert(mode)


# --- What is read


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_equals_pillow(mode):
    data = encoded(Image.fromarray(noise()).convert(mode), "PNG")
    # The colour type: grey, RGB, palette, grey with alpha, RGBA.
    assert data[25] == {"1": 0, "L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}[mode]
    assert_as_pillow(data)


@pytest.mark.parametrize(
    "transparency", [3, bytes([0, 128, 255, 7])], ids=["one colour", "table"]
)
def test_palette_png_keeps_colours_where_it_is_transparent(transparency):
    image, pixels = palette_picture()
    data = encoded(image, "PNG", transparency=transparency)
    assert b"tRNS" in data
    np.testing.assert_array_equal(decode(data), pixels)


@pytest.mark.parametrize("colour_type, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_is_scaled_to_8_bits(colour_type, channels):
    pixels = np.concatenate([noise(), noise(seed=1)], axis=-1)[..., :channels]
    data = png(257 * pixels.astype(int), colour_type, bits=16)
    colours = pixels[..., :3] if channels > 2 else pixels[..., [0, 0, 0]]
    np.testing.assert_array_equal(decode(data), colours)


def test_16_bit_png_between_levels_is_within_a_level_of_pillow():
    deep = np.arange(0, 65536, 110)[:588].reshape(21, 28)
    assert_as_pillow(png(deep, colour_type=0, bits=16), atol=1)


def test_24_and_32_bit_bmp_equal_pillow():
    assert_as_pillow(encoded(Image.fromarray(noise()), "BMP"))
    assert_as_pillow(bmp32(noise()))


def test_grey_bmp_equals_pillow():
    assert_as_pillow(encoded(picture("L"), "BMP"))


def test_bmp_of_negative_height_has_its_top_row_first():
    data = bytearray(encoded(Image.fromarray(noise()), "BMP"))
    struct.pack_into("<i", data, 22, -12)
    np.testing.assert_array_equal(decode(bytes(data)), noise()[::-1])
    assert_as_pillow(bytes(data))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("interlace", [0, 1])
def test_gif_equals_pillow(mode, interlace):
    data = encoded(Image.fromarray(noise()).convert(mode), "GIF", interlace=interlace)
    assert_as_pillow(data)


@pytest.mark.parametrize("version", [b"GIF87a", b"GIF89a"])
def test_gif_by_hand_has_the_colours_of_its_table(version):
    data = version + gif(12, 10, frame())[6:]
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])
    assert_as_pillow(data)


def test_gif_with_a_local_colour_table_uses_it():
    own = noise(1, 256, seed=8)[0]
    larger = frame(noise(50, 40, seed=7)[..., 0])
    for data in (
        gif(12, 10, frame(colours=own)),
        gif(12, 10, frame(colours=own), colours=None),
        gif(12, 10, frame(colours=own), larger),
    ):
        np.testing.assert_array_equal(decode(data), own[INDICES])


def test_extensions_before_the_frame_are_passed_over():
    comment = extension(0xFE, b"made of , and ; and ! " * 40)
    short = extension(0xFE, b",,,,,,!!!!!!;;;;;;", length=1)
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    data = gif(12, 10, comment, short, loop, frame())
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_first_frame_of_an_animation_is_read():
    frames = [Image.fromarray(noise(seed=i)) for i in range(4)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 4
    assert_as_pillow(data)


def test_what_follows_the_first_frame_is_not_read():
    other = noise(50, 40, seed=7)[..., 0]
    assert other.size > LIMIT
    for rest in (frame(other), b"nonsense", frame()[:-9], extension(0xFE, b"end")):
        data = gif(12, 10, frame(), rest)
        np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_gif_may_end_with_its_first_frame():
    data = gif(12, 10, frame())[:-1]
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_first_frame_of_a_gif_may_be_larger_than_its_screen():
    data = gif(5, 4, frame())
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])
    assert_as_pillow(data)


def test_gif_keeps_colours_where_it_is_transparent():
    control = b"\x21\xf9\x04\x01\0\0" + INDICES[0, :1].tobytes() + b"\0"
    data = gif(12, 10, control, frame())
    assert "transparency" in Image.open(io.BytesIO(data)).info
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_palette_bmp_has_its_colours():
    data = encoded(palette_picture()[0], "BMP")
    np.testing.assert_array_equal(decode(data), images.decode(data))


@pytest.mark.parametrize("left, top", [(0, 0), (3, 4), (8, 14)])
def test_frame_smaller_than_its_screen_is_refused(left, top):
    # TensorFlow would give a picture of the frame's size, a part of it black.
    with pytest.raises(tf.errors.InvalidArgumentError, match="a part of it free"):
        decode(gif(20, 24, frame(left=left, top=top)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_within_three_levels_of_pillow(mode, options):
    assert_as_pillow(encoded(picture(mode), "JPEG", **options), atol=3)


def test_first_picture_of_mpo_is_read():
    other = Image.new("RGB", (24, 16))
    data = encoded(picture(), "MPO", save_all=True, append_images=[other])
    assert_as_pillow(data, atol=3)


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


@pytest.mark.parametrize("file_format", ["WEBP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(file_format):
    said = refusal(encoded(picture(), file_format))
    assert said == "is neither JPEG, PNG, BMP nor GIF"


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"not a picture at all", bytes(1000), b"\xff\xd8", b"B", b"GIF9"]
    + [b"\x89PNG\r\n"],
)
def test_garbage_is_refused(data):
    assert refusal(data) == "is neither JPEG, PNG, BMP nor GIF"


def test_refusal_has_the_name_that_was_given():
    assert refusal(b"text", name="image_bytes[0]") == refusal(b"text", name="picture")


@pytest.mark.parametrize(
    "start",
    [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"BM", b"GIF89a"],
    ids=FORMATS,
)
def test_start_alone_is_a_damaged_header(start):
    assert refusal(start).endswith("be decoded: its header is damaged")


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_truncation_is_refused(file_format):
    data = encoded(Image.fromarray(noise()), file_format)
    # Without its last byte a GIF still has a whole frame.
    last = len(data) - 1 - (file_format == "GIF")
    for end in (*range(16, last - 20, 11), *range(last - 20, last + 1)):
        assert "be decoded" in refusal(data[:end])


@pytest.mark.parametrize("file_format", FORMATS)
def test_half_a_file_is_cut_off(file_format):
    data = encoded(Image.fromarray(noise()), file_format)
    said = refusal(data[: -len(data) // 8])
    assert said.endswith("be decoded: it is damaged or cut off")


def test_gif_without_a_frame_is_a_damaged_header():
    for data in (gif(12, 10), gif(12, 10, extension(0xFE, b"only a comment"))):
        assert refusal(data).endswith("be decoded: its header is damaged")


def test_unknown_block_before_the_frame_is_a_damaged_header():
    said = refusal(gif(12, 10, b"\x22", frame()))
    assert said.endswith("be decoded: its header is damaged")
