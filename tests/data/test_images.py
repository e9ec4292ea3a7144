"""Reading, scaling and laying out pictures, against Pillow and hand-made bytes."""

import io

import numpy as np
import pytest
import tensorflow as tf
from helpers.damaged_pictures import tiff
from helpers.encoded_pictures import bmp32, encoded, noise, palette_picture, png, smooth
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.data.images import ImageError, decode


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
    exif[0x0112] = orientation
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
        ("PNG", {}),
        ("MPO", {}),
    ):
        options = {"save_all": True, "append_images": [blue], **options}
        data = encoded(red, file_format, **options)
        assert Image.open(io.BytesIO(data)).n_frames == 2
        loss = images.read(data)[1]
        # Further pictures in an MPO of a phone are previews.
        assert loss is None if file_format == "MPO" else loss.frames
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


def test_every_mode_becomes_rgb():
    rgb, levels = noise(), np.arange(256).reshape(16, 16)
    rgba = np.concatenate([rgb, noise(seed=1)[..., :1]], axis=-1)
    rgba[0, :, 3] = 0
    grey, bits = grey_to_rgb(rgb[..., 2]), rgb[..., 0] > 127
    palette, colours = palette_picture()
    deep, alphas = 257 * rgba.astype(int), bytes([0, 128, 255, 7])
    deep_tiff = Image.fromarray((257 * levels).astype(np.uint16))
    for mode, data, pixels in (
        ("grey", encoded(Image.fromarray(rgb[..., 2]), "PNG"), grey),
        ("grey, not by Pillow", png(rgb[..., 2], 0, bits=8), grey),
        ("grey and alpha", encoded(Image.fromarray(rgba[..., 2:]), "PNG"), grey),
        ("RGBA", encoded(Image.fromarray(rgba), "PNG"), rgb),
        ("RGB of 32 bits", bmp32(rgb), rgb),
        ("1 bit", encoded(Image.fromarray(bits), "PNG"), grey_to_rgb(255 * bits)),
        ("palette", encoded(palette, "PNG"), colours),
        ("transparent colour", encoded(palette, "PNG", transparency=3), colours),
        ("with a table", encoded(palette, "PNG", transparency=alphas), colours),
        ("RGB of 16 bits", png(deep[..., :3], 2, bits=16), rgb),
        ("RGBA of 16 bits", png(deep, 6, bits=16), rgb),
        ("grey and alpha of 16", png(deep[..., 2:], 4, bits=16), grey),
        ("grey of 16", png(257 * levels, 0, bits=16), grey_to_rgb(levels)),
        ("TIFF of 16", encoded(deep_tiff, "TIFF"), grey_to_rgb(levels)),
    ):
        assert_decodes_to(data, pixels, mode)
    for mode in ("1", "L", "P", "RGBA", "CMYK", "LA"):
        image = Image.fromarray(smooth()).convert(mode)
        assert_decodes_to(encoded(image, "TIFF"), image.convert("RGB"), mode)


def test_16_bit_grey_goes_to_the_nearest_level():
    grey = np.array([[0, 128, 129, 385, 386, 65535]])
    nearest = grey_to_rgb(np.array([[0, 0, 1, 1, 2, 255]]))
    assert_decodes_to(png(grey, colour_type=0, bits=16), nearest)


def tiff_of_signed(pixels: np.ndarray) -> bytes:
    """A grey TIFF of int8 or int16."""
    height, width = pixels.shape
    bits = 8 * pixels.itemsize
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits]), 259: (3, [1])}
    tags |= {
        262: (3, [1]),
        273: (4, [8]),
        278: (4, [height]),
        279: (4, [pixels.nbytes]),
    }
    return tiff(tags | {339: (3, [2])}, pixels.tobytes())


def test_more_than_8_bits_come_with_their_range():
    grey = np.linspace(0, 4095, 60).astype(np.uint16).reshape(5, 12)
    signed = grey.astype(np.int16) - 1000
    big_endian = grey.astype(">u2")
    for case, data, values, levels in (
        ("PNG", png(grey, 0, bits=16), (0, 4095), (0, 16)),
        ("TIFF", encoded(Image.fromarray(grey), "TIFF"), (0, 4095), (0, 16)),
        ("big end", encoded(Image.fromarray(big_endian), "TIFF"), (0, 4095), (0, 16)),
        ("int16", tiff_of_signed(signed), (-1000, 3095), (0, 12)),
        (
            "int32",
            encoded(Image.fromarray(100 * signed.astype(np.int32)), "TIFF"),
            (-100000, 309500),
            (0, 255),
        ),
        # Pillow reads the high bytes alone.
        ("RGB", png(np.stack([grey] * 3, -1), 2, bits=16), (0, 4095), (0, 15)),
        ("grey, alpha", png(np.stack([grey] * 2, -1), 4, bits=16), (0, 4095), (0, 15)),
    ):
        pixels, loss = images.read(data)
        assert loss == (values, levels, False), case
        assert (pixels.min(), pixels.max()) == levels, case
        np.testing.assert_array_equal(pixels, decode(data))
    for mode in ("L", "RGB", "P", "1"):
        for file_format in ("PNG", "TIFF", "BMP"):
            image = Image.fromarray(noise()).convert(mode)
            assert images.read(encoded(image, file_format))[1] is None


def test_cmyk_jpeg_becomes_rgb():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    decoded = decode(encoded(cmyk, "JPEG", quality=95))
    assert_near(decoded, np.full((16, 16, 3), (255, 0, 0)), mean=4, most=4)


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


def test_what_cannot_be_read_is_refused_with_a_reason(tmp_path):
    starts = [b"", b"\0", b"not a picture at all", bytes(1000)]
    for data in (*starts, b"\xff\xd8\xff", b"BM", b"GIF"):
        with pytest.raises(ImageError, match="cannot identify"):
            decode(data)
    for file_format in ("PPM", "ICO", "TGA"):
        data = encoded(Image.fromarray(noise(16, 16)), file_format)
        assert Image.open(io.BytesIO(data)).format == file_format
        with pytest.raises(ImageError, match="cannot identify"):
            decode(data)
    floats = np.linspace(-1000, 3071.5, 64, dtype=np.float32).reshape(8, 8)
    with pytest.raises(ImageError, match=r"floating point numbers, -1000 to 3071\.5"):
        decode(encoded(Image.fromarray(floats), "TIFF"))
    with pytest.raises(ImageError, match="signed 8 bit"):
        decode(tiff_of_signed(np.full((5, 5), -100, np.int8)))
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


def test_levels_become_minus_one_to_one_and_levels_again():
    levels = tf.range(256)[None, :, None]
    floats = images.to_float(tf.cast(levels, tf.uint8))
    assert floats.dtype == tf.float32
    np.testing.assert_array_equal(images.to_uint8(floats), levels)
    np.testing.assert_allclose(
        tf.gather(floats[0, :, 0], [0, 51, 255]), [-1.0, -0.6, 1.0], atol=1e-7
    )
    assert floats[0, 0, 0] == -1.0 and floats[0, 255, 0] == 1.0
    # It cuts and rounds, also half precision.
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
