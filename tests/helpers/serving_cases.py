"""What tests of the serving client share."""

import dataclasses
import io
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan_tf.exporting import serving_client

MODEL = "horse2zebra_A2B"


GRPC, REST = "TF_SERVING_ADDRESS", "TF_SERVING_REST_URL"
REAL = GRPC in os.environ or REST in os.environ


@dataclasses.dataclass
class Served:
    addresses: dict[str, str | None]
    model: str
    folder: pathlib.Path | None

    def translate(self, protocol: str, pictures: list[bytes], **options) -> list[bytes]:
        options = {"model": self.model, **options}
        speak = {
            "grpc": serving_client.translate_grpc,
            "rest": serving_client.translate_rest,
        }[protocol]
        return speak(self.address(protocol), pictures=pictures, **options)

    def address(self, protocol: str) -> str:
        if not self.addresses[protocol]:
            pytest.skip(f"no real {protocol} server is named")
        return self.addresses[protocol]

    def run(self, signature: str, value) -> np.ndarray:
        """What the SavedModel gives in Python."""
        if not self.folder:
            pytest.skip("the real server's SavedModel is not named")
        loaded = tf.saved_model.load(str(self.folder))
        (output,) = loaded.signatures[signature](tf.constant(value)).values()
        return output.numpy()


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(width + height)
    return random.integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(width=20, height=30, kind="PNG", mode="RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(width, height)).convert(mode).save(file, kind, **options)
    return file.getvalue()


ORIENTATION = 0x0112


def turned(orientation: int, kind="JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(40, 20, kind, exif=exif, **options)
