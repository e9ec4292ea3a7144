"""Reading, scaling and laying out pictures, against Pillow and hand-made bytes."""

import io

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
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.data.images import ImageError, decode


def grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def assert_decodes_to(data: bytes, pixels: np.ndarray) -> None:
    decoded = decode(data)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)


# --- Formats


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_lossless_formats_give_their_pixels_back(file_format):
    pixels = noise()
    assert_decodes_to(encoded(Image.fromarray(pixels), file_format), pixels)


def test_jpeg_is_close_to_what_was_saved():
    pixels = smooth()
    decoded = decode(encoded(Image.fromarray(pixels), "JPEG", quality=95))
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).max() <= 12
    assert np.abs(decoded.astype(int) - pixels).mean() <= 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_equals_pillow(options):
    data = encoded(Image.fromarray(smooth()), "JPEG", **options)
    assert_decodes_to(data, np.asarray(Image.open(io.BytesIO(data))))


def test_first_frame_of_gif_is_read():
    red, blue = (Image.new("RGB", (9, 5), c) for c in ("#ff0000", "#0000ff"))
    data = encoded(red, "GIF", save_all=True, append_images=[blue], duration=50)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert_decodes_to(data, np.full((5, 9, 3), (255, 0, 0), np.uint8))


def test_first_picture_of_mpo_is_read():
    first, second = Image.fromarray(smooth()), Image.new("RGB", (24, 16))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    decoded = decode(data)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.abs(decoded.astype(int) - smooth()).mean() < 10


def test_path_and_bytes_decode_alike(tmp_path):
    data = encoded(Image.fromarray(noise()), "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(decode(path), decode(data))
    np.testing.assert_array_equal(decode(str(path)), decode(data))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_uncompressed_tiff_is_turned_whether_path_or_bytes(tmp_path, mode):
    # Pillow maps such a file into memory, and leaves it as it is.
    exif = Image.Exif()
    exif[274] = 6
    image = Image.fromarray(noise()).convert(mode)
    path = tmp_path / "picture.tif"
    image.save(path, exif=exif, compression="raw")
    np.testing.assert_array_equal(decode(path), np.rot90(image.convert("RGB"), k=-1))


def test_content_decides_the_format_not_the_ending(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded(Image.fromarray(noise()), "PNG"))
    np.testing.assert_array_equal(decode(path), noise())


# --- Modes


def test_8_bit_grey_becomes_three_equal_channels():
    grey = noise()[..., 0]
    assert_decodes_to(encoded(Image.fromarray(grey), "PNG"), grey_to_rgb(grey))
    assert_decodes_to(png(grey, colour_type=0, bits=8), grey_to_rgb(grey))


def test_16_bit_grey_is_scaled_not_clipped():
    levels = np.arange(256).reshape(16, 16)
    data = png(257 * levels, colour_type=0, bits=16)
    assert_decodes_to(data, grey_to_rgb(levels.astype(np.uint8)))


def test_16_bit_grey_goes_to_the_nearest_level():
    grey = np.array([[0, 128, 129, 385, 386, 65535]])
    nearest = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)
    assert_decodes_to(png(grey, colour_type=0, bits=16), grey_to_rgb(nearest))


@pytest.mark.parametrize("colour_type, channels", [(2, 3), (6, 4)], ids=["RGB", "RGBA"])
def test_16_bit_colour_is_scaled(colour_type, channels):
    pixels = np.concatenate([noise(), noise(seed=1)[..., :1]], axis=-1)
    data = png(257 * pixels[..., :channels].astype(int), colour_type, bits=16)
    assert_decodes_to(data, pixels[..., :3])


def test_16_bit_grey_with_alpha_is_scaled():
    grey_alpha = noise()[..., :2]
    data = png(257 * grey_alpha.astype(int), colour_type=4, bits=16)
    assert_decodes_to(data, grey_to_rgb(grey_alpha[..., 0]))


def test_palette_becomes_its_colours():
    image, pixels = palette_picture()
    assert image.mode == "P"
    assert_decodes_to(encoded(image, "PNG"), pixels)


@pytest.mark.parametrize(
    "transparency", [3, bytes([0, 128, 255, 7])], ids=["one colour", "table"]
)
def test_palette_keeps_colours_where_it_is_transparent(transparency):
    image, pixels = palette_picture()
    data = encoded(image, "PNG", transparency=transparency)
    assert "transparency" in Image.open(io.BytesIO(data)).info
    assert_decodes_to(data, pixels)


def test_alpha_of_rgba_is_dropped():
    pixels = np.concatenate([noise(), noise(seed=1)[..., :1]], axis=-1)
    pixels[0, :, 3] = 0
    assert_decodes_to(encoded(Image.fromarray(pixels), "PNG"), pixels[..., :3])


def test_alpha_of_grey_is_dropped():
    grey_alpha = noise()[..., :2]
    grey_alpha[0, :, 1] = 0
    data = encoded(Image.fromarray(grey_alpha), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "LA"
    assert_decodes_to(data, grey_to_rgb(grey_alpha[..., 0]))


def test_cmyk_jpeg_becomes_rgb():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    decoded = decode(encoded(cmyk, "JPEG", quality=95))
    assert decoded.shape == (16, 16, 3)
    np.testing.assert_allclose(decoded, np.full_like(decoded, (255, 0, 0)), atol=4)


def test_1_bit_becomes_black_and_white():
    bits = noise()[..., 0] > 127
    data = encoded(Image.fromarray(bits), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "1"
    assert_decodes_to(data, grey_to_rgb(np.where(bits, 255, 0)))


def test_32_bit_bmp_loses_its_fourth_byte():
    assert_decodes_to(bmp32(noise()), noise())


@pytest.mark.parametrize(
    "orientation, turned",
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(file_format, orientation, turned):
    image = Image.fromarray(smooth())
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(encoded(image, file_format))
    assert_decodes_to(encoded(image, file_format, exif=exif), turned(upright))


# --- Damage


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
def test_truncated_file_is_refused(file_format, part):
    data = encoded(Image.fromarray(noise(64, 64)), file_format)
    with pytest.raises(ImageError):
        decode(data[: int(part * len(data))])


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"not a picture at all", bytes(1000), b"\xff\xd8\xff", b"BM", b"GIF"],
    ids=["empty", "byte", "text", "zeros", "JPEG start", "BMP start", "GIF start"],
)
def test_garbage_is_refused_with_a_reason(data):
    with pytest.raises(ImageError, match="cannot identify"):
        decode(data)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}])
def test_webp_is_read(options):
    image = Image.fromarray(smooth())
    made = decode(encoded(image, "WEBP", **options)).astype(int)
    assert np.abs(made - smooth()).max() <= (0 if "lossless" in options else 24)


def test_first_frame_of_an_animated_webp_is_read():
    frames = [Image.fromarray(noise(seed=i)) for i in range(3)]
    options = {"save_all": True, "append_images": frames[1:], "lossless": True}
    np.testing.assert_array_equal(
        decode(encoded(frames[0], "WEBP", **options)), noise(seed=0)
    )


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_is_read_whatever_its_compression(compression):
    data = encoded(Image.fromarray(noise()), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode(data), noise())


def test_first_page_of_a_tiff_is_read():
    pages = [Image.fromarray(noise(seed=i)) for i in range(2)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(decode(data), noise(seed=0))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LA"])
def test_tiff_of_every_mode_becomes_rgb(mode):
    image = Image.fromarray(smooth()).convert(mode)
    expected = image.convert("RGB")
    np.testing.assert_array_equal(decode(encoded(image, "TIFF")), expected)


def test_16_bit_tiff_is_scaled_to_8():
    grey = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    made = decode(encoded(Image.fromarray(grey), "TIFF"))
    np.testing.assert_array_equal(made[..., 0], grey // 257)


def test_tiff_of_floats_is_refused():
    data = encoded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF")
    with pytest.raises(ImageError, match="floating point"):
        decode(data)


@pytest.mark.parametrize("file_format", ["TIFF", "WEBP"])
def test_noted_orientation_of_the_other_formats_is_applied(file_format):
    image = Image.fromarray(noise())
    exif = Image.Exif()
    exif[274] = 6  # To be turned by a quarter.
    options = {"lossless": True} if file_format == "WEBP" else {}
    made = decode(encoded(image, file_format, exif=exif, **options))
    np.testing.assert_array_equal(made, np.rot90(noise(), k=-1))


@pytest.mark.parametrize("file_format", ["TIFF", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_cut_off_files_of_the_other_formats_are_refused(file_format, part):
    data = encoded(Image.fromarray(noise(40, 50)), file_format)
    with pytest.raises(ImageError):
        decode(data[: int(part * len(data))])


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "TGA"])
def test_other_formats_are_refused(file_format):
    data = encoded(Image.fromarray(noise(16, 16)), file_format)
    assert Image.open(io.BytesIO(data)).format == file_format
    with pytest.raises(ImageError, match="cannot identify"):
        decode(data)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        decode(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="Is a directory"):
        decode(tmp_path)


# --- Sizes and ranges


@pytest.mark.parametrize("shape", [(40, 60), (20, 10), (31, 32)])
def test_resize_equals_pillow_bicubic(shape):
    pixels = noise(*shape)
    expected = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
    resized = images.resize(pixels, 32)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.asarray(expected))


def test_resize_changes_nothing_at_the_size():
    pixels = noise(32, 32)
    np.testing.assert_array_equal(images.resize(pixels, 32), pixels)


def test_every_level_survives_the_round_trip():
    levels = tf.range(256)[None, :, None]
    floats = images.to_float(tf.cast(levels, tf.uint8))
    assert floats.dtype == tf.float32
    np.testing.assert_array_equal(images.to_uint8(floats), levels)


def test_float_range_is_minus_one_to_one():
    floats = images.to_float(tf.constant([0, 51, 255], tf.uint8))
    np.testing.assert_allclose(floats, [-1.0, -0.6, 1.0], atol=1e-7)
    assert floats[0] == -1.0 and floats[2] == 1.0


def test_to_uint8_cuts_and_rounds():
    floats = tf.constant([-3.0, -1.001, -1.0, -1.0 + 0.9 / 127.5, 0.999, 1.2])
    levels = images.to_uint8(floats)
    assert levels.dtype == tf.uint8
    np.testing.assert_array_equal(levels, [0, 0, 0, 1, 255, 255])


def test_to_uint8_takes_half_precision():
    levels = images.to_uint8(tf.constant([-1.0, 0.5, 1.0], tf.float16))
    np.testing.assert_array_equal(levels, [0, 191, 255])


def test_tile_equals_a_grid_made_by_hand():
    left = np.arange(2 * 1 * 2 * 3, dtype=np.uint8).reshape(2, 1, 2, 3)
    right = left + 100
    expected = np.full((4, 6, 3), 255, np.uint8)
    expected[0:1, 0:2], expected[0:1, 4:6] = left[0], right[0]
    expected[3:4, 0:2], expected[3:4, 4:6] = left[1], right[1]
    grid = images.tile([left, right])
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid, expected)


def test_tile_without_gap_joins_pictures():
    column = np.stack([noise(4, 5), noise(4, 5, seed=1)])
    grid = images.tile([column, column], gap=0)
    whole = np.concatenate([column[0], column[1]])
    np.testing.assert_array_equal(grid, np.concatenate([whole, whole], axis=1))


def test_tile_of_one_picture_is_the_picture():
    np.testing.assert_array_equal(images.tile([noise()[None]], gap=3), noise())
