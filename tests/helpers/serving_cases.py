"""What tests of the serving client share."""

import dataclasses
import functools
import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan_tf.deploy import serving_client

MODEL = "horse2zebra_A2B"
SPEAK = {
    "grpc": serving_client.translate_grpc,
    "rest": serving_client.translate_rest,
}


@dataclasses.dataclass
class Served:
    addresses: dict[str, str | None]
    model: str
    folder: pathlib.Path | None

    def translate(self, protocol: str, pictures: list[bytes], **options) -> list[bytes]:
        options = {"model": self.model, **options}
        return SPEAK[protocol](self.address(protocol), pictures=pictures, **options)

    def address(self, protocol: str) -> str:
        if not self.addresses[protocol]:
            pytest.skip(f"no real {protocol} server is named")
        return self.addresses[protocol]

    @functools.cached_property
    def _loaded(self):
        return tf.saved_model.load(str(self.folder))

    def run(self, pictures: list[bytes]) -> list[bytes]:
        """What the SavedModel gives in Python."""
        if not self.folder:
            pytest.skip("the real server's SavedModel is not named")
        signature = self._loaded.signatures["serving_default"]
        return list(signature(tf.constant(pictures))["image_bytes"].numpy())


def encoded(width=20, height=30, kind="PNG", mode="RGB", **options) -> bytes:
    random = np.random.default_rng(width + height)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


ORIENTATION = 0x0112


def turned(orientation: int, kind="JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(40, 20, kind, exif=exif, **options)
