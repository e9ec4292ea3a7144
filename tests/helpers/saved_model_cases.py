"""What tests of SavedModels share."""

import functools
import pathlib
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.networks import generators
from cyclegan_tf.networks.norms import is_instance_normalization
from helpers.encoded_pictures import bmp32, encoded, noise, palette_picture, png, smooth

FLOAT_TOLERANCE = 1e-5


MAX_PIXELS = 3000


GENERATORS = {
    "resnet": (functools.partial(generators.resnet, num_filters=4, num_blocks=1), 4),
    "unet": (functools.partial(generators.unet, num_filters=4, num_downs=3), 8),
    "skip": (
        functools.partial(
            generators.resnet,
            num_filters=4,
            num_blocks=1,
            output_skip=True,
            upsampling="resize",
        ),
        4,
    ),
}


def grey16() -> np.ndarray:
    return 257 * noise(9, 7, seed=3)[..., 0].astype(int)


def animation() -> bytes:
    first, second = (Image.fromarray(noise(11, 13, seed=i)) for i in (4, 5))
    return encoded(first, "GIF", save_all=True, append_images=[second])


KINDS = {
    "PNG": encoded(Image.fromarray(noise()), "PNG"),
    "grey PNG": encoded(Image.fromarray(noise()).convert("L"), "PNG"),
    "grey and alpha PNG": encoded(Image.fromarray(noise()).convert("LA"), "PNG"),
    "RGBA PNG": encoded(Image.fromarray(noise(8, 9)).convert("RGBA"), "PNG"),
    "palette PNG": encoded(palette_picture()[0], "PNG", transparency=2),
    "1 bit PNG": encoded(Image.fromarray(noise()).convert("1"), "PNG"),
    "16 bit PNG": png(grey16(), colour_type=0, bits=16),
    "BMP": encoded(Image.fromarray(noise(10, 9)), "BMP"),
    "32 bit BMP": bmp32(noise(10, 9)),
    "GIF": encoded(Image.fromarray(noise(7, 12)), "GIF"),
    "animated GIF": animation(),
    "JPEG": encoded(Image.fromarray(smooth()), "JPEG"),
    "grey JPEG": encoded(Image.fromarray(smooth()).convert("L"), "JPEG"),
    "CMYK JPEG": encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG"),
}


def pixels_of(data: bytes) -> np.ndarray:
    """By Pillow; but two JPEG decoders differ by some levels."""
    if data.startswith(b"\xff\xd8"):
        return tf.io.decode_jpeg(data, channels=3).numpy()
    return images.decode(data)


def to_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(127.5) - 1


class Exported(NamedTuple):
    """A generator, what its sides must be a multiple of, and its version's folder."""

    generator: keras.Model
    multiple: int
    folder: pathlib.Path

    def translated(self, pixels: np.ndarray) -> np.ndarray:
        """By Keras: uint8 [batch, height, width, 3] to floats."""
        floats = to_floats(pixels)
        return generators.translate(self.generator, floats, self.multiple).numpy()

    def levels(self, pixels: np.ndarray) -> np.ndarray:
        """The same as 0 to 255, unrounded."""
        return np.clip((self.translated(pixels) + 1) * 127.5, 0, 255)


def made(name: str) -> tuple[keras.Model, int]:
    """A generator that gives strong colours, and the multiple of its sides."""
    random = np.random.default_rng(0)
    build, multiple = GENERATORS[name]
    generator = build()
    for layer in generator.layers:
        layer.set_weights([random.normal(0, 0.2, w.shape) for w in layer.get_weights()])
        if is_instance_normalization(layer):
            # A single pixel, mirrored, is the same all over: its norms divide by
            # epsilon alone, and 1e-5 would make colours of rounding errors.
            layer.epsilon = 1.0
    return generator, multiple


every_model = pytest.mark.parametrize("name", GENERATORS)


def assert_nearest(result: np.ndarray, levels: np.ndarray) -> None:
    """The level next to each; where two are about as near, either."""
    assert result.shape == levels.shape
    atol = 0.5 + 127.5 * FLOAT_TOLERANCE
    np.testing.assert_allclose(result, levels, rtol=0, atol=atol)
