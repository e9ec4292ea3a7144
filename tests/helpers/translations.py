"""Pictures, and what a generator makes of them without a translator."""

import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image


def picture(height, width, seed=0):
    """Smooth, with some noise, so that it survives a change of size."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(5 * x + 3 * y + phase + seed) for phase in range(3)]
    levels = 128 + 100 * np.stack(waves, -1) + random.normal(0, 9, (height, width, 3))
    return np.clip(levels, 0, 255).astype(np.uint8)


def direct(generator, pixels, multiple=4):
    """The generator on one picture that NumPy mirrored at the bottom and right."""
    height, width = pixels.shape[:2]
    below, right = (max(8, -(-n // multiple) * multiple) - n for n in (height, width))
    padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="reflect")
    floats = tf.constant(padded[np.newaxis] / 127.5 - 1, tf.float32)
    made = generator(floats, training=False).numpy()[0, :height, :width]
    return np.clip(np.rint((made + 1) * 127.5), 0, 255).astype(np.uint8)


def assert_near(ours, expected, levels=1):
    """A value between two levels may go to either."""
    assert ours.dtype == np.uint8
    assert ours.shape == expected.shape
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= levels
    assert np.mean(difference > 0) <= 0.02 * levels


def save(folder: pathlib.Path, **pictures) -> pathlib.Path:
    """Writes pictures; in their names __ stands for a dot and _ for a slash."""
    for name, pixels in pictures.items():
        path = folder / name.replace("__", ".").replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def load(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def damage(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:60])
