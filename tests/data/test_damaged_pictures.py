"""Thousands of damaged files: a picture or refused, in little time and memory."""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import damaged_pictures
from helpers.encoded_pictures import encoded, noise
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.data.images import ImageError, decode

ROOT = pathlib.Path(__file__).parents[2]
NUMBER = 2200


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    made = dict(damaged_pictures.files(NUMBER))
    assert len(made) == NUMBER
    return made


def decoded(data: bytes) -> np.ndarray | None:
    try:
        return decode(data)
    except ImageError as error:
        assert str(error) and "\n" not in str(error)
        return None


def test_damaged_files_are_refused_or_give_a_picture(files, capfd):
    """Libtiff may print to stderr."""
    for name, data in damaged_pictures.pictures().items():
        assert decode(data).shape[2] == 3, name
    refused = 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # pytest resets the filter.
        for data in files.values():
            picture = decoded(data)
            refused += picture is None
            if picture is not None:
                assert picture.dtype == np.uint8
                assert picture.ndim == 3 and picture.shape[2] == 3
                assert images.resize(picture, 36).shape == (36, 36, 3)
    assert NUMBER / 2 < refused < NUMBER
    assert capfd.readouterr().out == ""


def test_picture_that_pillow_warns_of_is_read():
    no_frames = damaged_pictures.png_chunk(b"acTL", bytes(8))
    with pytest.warns(UserWarning, match="Invalid APNG"):
        assert decode(damaged_pictures.with_chunks(no_frames)).shape == (8, 8, 3)


# --- Limits


def test_large_sizes_in_small_files_are_refused():
    for side in (60_000, 9000):
        sized = damaged_pictures.with_size(side, side)
        assert len(sized) == 9
        for name, data in sized.items():
            assert len(data) < 3000
            most = "40" if name.endswith(("webp", "tif")) else "64"
            told = f"^has 81,000,000 pixels; at most {most},000,000 are read$"
            with pytest.raises(ImageError, match="pixels" if side > 9000 else told):
                decode(data)
    with pytest.raises(ImageError, match="^has 676,000,000 pixels"):
        # A tile that is larger than its picture.
        decode(damaged_pictures.bombs()["tile.tif"])


def test_pictures_have_a_limit_of_pixels(monkeypatch):
    for file_format in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"):
        copied = file_format in ("WEBP", "TIFF")
        limit = "MAX_PIXELS_COPIED" if copied else "MAX_PIXELS"
        data = encoded(Image.fromarray(noise(10, 20)), file_format)
        monkeypatch.setattr(images, limit, 200)
        assert decode(data).shape == (10, 20, 3)
        monkeypatch.setattr(images, limit, 199)
        with pytest.raises(ImageError, match="^has 200 pixels; at most 199 are read$"):
            decode(data)


def test_files_have_a_limit_of_bytes(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(Image.fromarray(noise()), "PNG"))
    size = path.stat().st_size
    monkeypatch.setattr(images, "MAX_BYTES", size)
    np.testing.assert_array_equal(decode(path), noise())
    monkeypatch.setattr(images, "MAX_BYTES", size - 1)
    with pytest.raises(ImageError, match=f"^has {size} bytes; at most {size - 1} are"):
        decode(path)


def test_progressive_jpegs_have_a_limit_of_scans():
    once = encoded(Image.new("L", (16, 16)), "JPEG", progressive=True)
    scans = once.count(b"\xff\xda")
    assert scans == 6  # And no such bytes elsewhere.
    decode(damaged_pictures.many_scans(16, images.MAX_SCANS - scans))
    with pytest.raises(ImageError, match="^has more than 100 scans$"):
        decode(damaged_pictures.many_scans(16, images.MAX_SCANS - scans + 1))


@pytest.mark.parametrize("shape", [(1030, 1500), (3, 2**20)])
def test_large_pictures_are_converted_strip_by_strip_without_a_seam(shape):
    grey = (np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape)
    levels = np.rint(grey / 257).astype(np.uint8)
    made = decode(encoded(Image.fromarray(grey), "PNG", compress_level=1))
    np.testing.assert_array_equal(made, np.stack([levels] * 3, axis=-1))
    image = Image.fromarray(levels)
    image.putpalette(np.random.default_rng(0).bytes(768))
    data = encoded(image, "PNG", transparency=bytes(range(256)), compress_level=1)
    np.testing.assert_array_equal(decode(data), image.convert("RGB"))


@pytest.mark.slow
def test_no_picture_within_the_limits_nor_a_damaged_one_takes_a_gigabyte(tmp_path):
    """The costliest modes, and the megabytes of which we know."""
    least = {
        "cmyk.jpg": 12 * 64,
        "grey16.png": 5 * 64,
        "turned.webp": 16 * 40,
        "deep.tif": 15 * 40,
        str(NUMBER): 0,
    }
    made = subprocess.run(
        [sys.executable, "-m", "helpers.large_pictures", str(tmp_path), *least],
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    for name, taken in json.loads(made.stdout.splitlines()[-1]).items():
        assert least.pop(name) < taken < 1000, name
    assert not least
