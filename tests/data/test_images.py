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

ORIENTATION = 0x0112


def grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def assert_decodes_to(data: bytes, pixels: np.ndarray, case=None) -> None:
    decoded = decode(data)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels, str(case))


def assert_near(decoded: np.ndarray, pixels: np.ndarray, mean: float, most=255) -> None:
    assert decoded.shape == pixels.shape
    apart = np.abs(decoded.astype(int) - pixels)
    assert apart.max() <= most and apart.mean() <= mean


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


# --- Formats


def test_lossless_formats_give_their_pixels_back():
    image = Image.fromarray(noise())
    for file_format, options in (
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "raw"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ):
        data = encoded(image, file_format, **options)
        assert_decodes_to(data, noise(), (file_format, options))


def test_lossy_formats_are_close_to_what_was_saved():
    image = Image.fromarray(smooth())
    decoded = decode(encoded(image, "JPEG", quality=95))
    assert_near(decoded, smooth(), mean=2, most=12)
    decoded = decode(encoded(image, "WEBP", quality=90))
    assert_near(decoded, smooth(), mean=24, most=24)
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        data = encoded(image, "JPEG", **options)
        assert_decodes_to(data, np.asarray(Image.open(io.BytesIO(data))), options)


def test_first_of_several_frames_is_read():
    red, blue = (Image.new("RGB", (9, 5), c) for c in ("#ff0000", "#0000ff"))
    for file_format, options in (
        ("GIF", {"duration": 50}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("MPO", {}),
    ):
        options = {"save_all": True, "append_images": [blue], **options}
        data = encoded(red, file_format, **options)
        assert Image.open(io.BytesIO(data)).n_frames == 2
        mean = 10 if file_format == "MPO" else 0
        assert_near(decode(data), np.full((5, 9, 3), (255, 0, 0), np.uint8), mean)


def test_path_and_bytes_decode_alike_and_content_decides_not_the_ending(tmp_path):
    data = encoded(Image.fromarray(noise()), "PNG")
    for name in ("picture.png", "picture.jpg"):
        path = tmp_path / name
        path.write_bytes(data)
        for source in (data, path, str(path)):
            np.testing.assert_array_equal(decode(source), noise())


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_uncompressed_tiff_is_turned_whether_path_or_bytes(tmp_path, mode):
    # Pillow maps such a file into memory, and leaves it as it is.
    image = Image.fromarray(noise()).convert(mode)
    path = tmp_path / "picture.tif"
    image.save(path, exif=exif_of(6), compression="raw")
    np.testing.assert_array_equal(decode(path), np.rot90(image.convert("RGB"), k=-1))


# --- Modes


def test_8_bit_grey_becomes_three_equal_channels():
    grey = noise()[..., 0]
    assert_decodes_to(encoded(Image.fromarray(grey), "PNG"), grey_to_rgb(grey))
    assert_decodes_to(png(grey, colour_type=0, bits=8), grey_to_rgb(grey))


def test_16_bits_are_scaled_to_the_nearest_level_not_clipped():
    levels = np.arange(256).reshape(16, 16)
    rgb = grey_to_rgb(levels.astype(np.uint8))
    assert_decodes_to(png(257 * levels, colour_type=0, bits=16), rgb)
    tiff = encoded(Image.fromarray((257 * levels).astype(np.uint16)), "TIFF")
    assert_decodes_to(tiff, rgb)
    grey = np.array([[0, 128, 129, 385, 386, 65535]])
    nearest = np.array([[0, 0, 1, 1, 2, 255]], np.uint8)
    assert_decodes_to(png(grey, colour_type=0, bits=16), grey_to_rgb(nearest))
    colours = np.concatenate([noise(), noise(seed=1)[..., :1]], axis=-1)
    for colour_type, channels, expected in (
        (2, 3, colours[..., :3]),
        (6, 4, colours[..., :3]),
        (4, 2, grey_to_rgb(colours[..., 0])),
    ):
        deep = 257 * colours[..., :channels].astype(int)
        assert_decodes_to(png(deep, colour_type, bits=16), expected, colour_type)


def test_palette_becomes_its_colours_also_where_it_is_transparent():
    image, pixels = palette_picture()
    assert image.mode == "P"
    assert_decodes_to(encoded(image, "PNG"), pixels)
    for transparency in (3, bytes([0, 128, 255, 7])):
        data = encoded(image, "PNG", transparency=transparency)
        assert "transparency" in Image.open(io.BytesIO(data)).info
        assert_decodes_to(data, pixels, transparency)


def test_alpha_is_dropped():
    pixels = np.concatenate([noise(), noise(seed=1)[..., :1]], axis=-1)
    pixels[0, :, 3] = 0
    assert_decodes_to(encoded(Image.fromarray(pixels), "PNG"), pixels[..., :3])
    data = encoded(Image.fromarray(pixels[..., 2:]), "PNG")
    assert Image.open(io.BytesIO(data)).mode == "LA"
    assert_decodes_to(data, grey_to_rgb(pixels[..., 2]))
    assert_decodes_to(bmp32(noise()), noise())


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


def test_tiff_of_every_mode_becomes_rgb_but_floats_are_refused():
    for mode in ("1", "L", "P", "RGBA", "CMYK", "LA"):
        image = Image.fromarray(smooth()).convert(mode)
        assert_decodes_to(
            encoded(image, "TIFF"), np.asarray(image.convert("RGB")), mode
        )
    data = encoded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF")
    with pytest.raises(ImageError, match="floating point"):
        decode(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(file_format):
    image = Image.fromarray(smooth())
    options = {"lossless": True} if file_format == "WEBP" else {}
    upright = decode(encoded(image, file_format, **options))
    for orientation, turned in (
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, 1)),
    ):
        data = encoded(image, file_format, exif=exif_of(orientation), **options)
        assert_decodes_to(data, turned(upright), orientation)


# --- Damage


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_truncated_file_is_refused(file_format):
    data = encoded(Image.fromarray(noise(64, 64)), file_format)
    for part in (0.1, 0.5, 0.9):
        with pytest.raises(ImageError):
            decode(data[: int(part * len(data))])


def test_garbage_and_other_formats_are_refused_with_a_reason():
    starts = [b"", b"\0", b"not a picture at all", bytes(1000)]
    for data in (*starts, b"\xff\xd8\xff", b"BM", b"GIF"):
        with pytest.raises(ImageError, match="cannot identify"):
            decode(data)
    for file_format in ("PPM", "ICO", "TGA"):
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


def test_resize_equals_pillow_bicubic():
    for shape in ((40, 60), (20, 10), (31, 32), (32, 32)):
        pixels = noise(*shape)
        expected = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
        resized = images.resize(pixels, 32)
        assert resized.dtype == np.uint8
        np.testing.assert_array_equal(resized, np.asarray(expected))
    np.testing.assert_array_equal(resized, pixels)


def test_every_level_survives_the_round_trip():
    levels = tf.range(256)[None, :, None]
    floats = images.to_float(tf.cast(levels, tf.uint8))
    assert floats.dtype == tf.float32
    np.testing.assert_array_equal(images.to_uint8(floats), levels)


def test_float_range_is_minus_one_to_one():
    floats = images.to_float(tf.constant([0, 51, 255], tf.uint8))
    np.testing.assert_allclose(floats, [-1.0, -0.6, 1.0], atol=1e-7)
    assert floats[0] == -1.0 and floats[2] == 1.0


def test_to_uint8_cuts_and_rounds_also_half_precision():
    floats = tf.constant([-3.0, -1.001, -1.0, -1.0 + 0.9 / 127.5, 0.999, 1.2])
    levels = images.to_uint8(floats)
    assert levels.dtype == tf.uint8
    np.testing.assert_array_equal(levels, [0, 0, 0, 1, 255, 255])
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
    column = np.stack([noise(4, 5), noise(4, 5, seed=1)])
    whole = np.concatenate(column)
    grid = images.tile([column, column], gap=0)
    np.testing.assert_array_equal(grid, np.concatenate([whole, whole], axis=1))
    np.testing.assert_array_equal(images.tile([noise()[None]], gap=3), noise())
