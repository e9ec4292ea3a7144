"""What tests of data sets share."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from cyclegan_tf.data import datasets, images

TRAIN_SIZES = {"trainA": 4, "trainB": 3}


ALL_SIZES = {**TRAIN_SIZES, "testA": 2, "testB": 2}


def picture(number: int, height: int = 40, width: int = 44) -> Image.Image:
    """A picture of its own colour, with a ramp that a resize keeps."""
    random = np.random.default_rng(number)
    ramp = np.linspace(0, 60, width)[None, :, None]
    pixels = np.broadcast_to(random.uniform(0, 190, 3) + ramp, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def fill(root: pathlib.Path, sizes: dict[str, int], ending: str = ".jpg") -> None:
    """Writes pictures named 00.jpg, 01.jpg, ... into each split's folder."""
    for part, (split, number) in enumerate(sizes.items()):
        (root / split).mkdir(parents=True)
        for i in range(number):
            picture(100 * part + i).save(root / split / f"{i:02}{ending}")


def read_all(domain: datasets.Domain) -> list[np.ndarray]:
    return [domain.read(i) for i in range(len(domain))]


def resized(path: pathlib.Path, size: int) -> np.ndarray:
    return images.resize(images.decode(path), size)


def prepare(source: pathlib.Path, data_dir: pathlib.Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tfds.download.DownloadManager,
            "download_and_extract",
            lambda self, url: str(source),
        )
        tfds.builder("cycle_gan/horse2zebra", data_dir=data_dir).download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )


def truncated_jpeg() -> bytes:
    file = io.BytesIO()
    picture(0).save(file, "JPEG")
    return file.getvalue()[:-200]


def assert_same_pictures(one: datasets.Domain, other: datasets.Domain) -> None:
    assert list(one.names) == list(other.names)
    for a, b in zip(read_all(one), read_all(other), strict=True):
        np.testing.assert_array_equal(a, b)
