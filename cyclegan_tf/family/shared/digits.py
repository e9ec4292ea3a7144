"""Drawn digits: ten classes in the fonts that matplotlib ships, from a seed.

Small enough for two cores, and all that decides a picture is known: digit, font,
rotation, size, place and noise. The ground is -1 and the digit 1, as in MNIST; in the
domain `textured` it stands on stripes that are nearly as bright as it.
"""

import dataclasses
import functools
import pathlib

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from cyclegan_tf.messages import UserError

SIZE = 28
NUM_CLASSES = 10
NUM_TRAIN, NUM_TEST = 10_000, 2_000
DOMAINS = ("plain", "textured")

# Upright and slanted, with and without serifs, thin and bold: 18 faces.
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmss10", "cmtt10"),
)

# What else differs from digit to digit, each from -1 to 1.
FACTORS = ("rotation", "height", "right", "up")
_MAX_ROTATION, _HEIGHT, _HEIGHT_RANGE, _MAX_SHIFT = 15.0, 17.0, 3.0, 2.0
_MAX_NOISE = 12.0  # Levels of 255, a standard deviation.


@dataclasses.dataclass(frozen=True)
class Digits:
    """Drawn digits.

    Attributes:
      images: uint8 [number, 28, 28, 1].
      labels: int32 [number], 0 to 9; as many of each.
      factors: float32 [number, 4], `FACTORS` of each, in [-1, 1].
    """

    images: np.ndarray
    labels: np.ndarray
    factors: np.ndarray

    @functools.cached_property
    def pictures(self) -> np.ndarray:
        """The images as float32 in [-1, 1]."""
        return self.images.astype(np.float32) / 127.5 - 1.0


@functools.cache
def load(part: str, domain: str = "plain") -> Digits:
    """Always the same digits, whatever the seed of a run.

    Args:
      part: `train` (10,000) or `test` (2,000).
      domain: `plain`, or `textured`; no digit of one is a digit of the other.
    """
    number = {"train": NUM_TRAIN, "test": NUM_TEST}[part]
    return draw(number, (("train", "test").index(part), DOMAINS.index(domain)), domain)


def draw(number: int, seed: tuple[int, ...], domain: str = "plain") -> Digits:
    """Draws digits.

    Args:
      number: How many.
      seed: Decides all about them.
      domain: `plain` or `textured`.
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(number) % NUM_CLASSES).astype(np.int32)
    fonts = random.integers(len(FONTS), size=number)
    factors = random.uniform(-1, 1, (number, len(FACTORS))).astype(np.float32)
    renderer = RendererAgg(SIZE, SIZE, 72)
    inks = np.stack(
        [_ink(renderer, *row) for row in zip(labels, fonts, factors, strict=True)]
    )
    if domain == "textured":
        inks = _textured(random, inks)
    noise = random.uniform(0, _MAX_NOISE, (number, 1, 1))
    noise = noise * random.normal(size=inks.shape)
    images = np.clip(np.rint(255 * inks + noise), 0, 255).astype(np.uint8)
    return Digits(images[..., np.newaxis], labels, factors)


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Lays out digits row by row, uint8 [1, rows * 28, columns * 28, 3].

    Args:
      images: uint8 [number, 28, 28, 1], a multiple of `columns`.
      columns: Digits in a row.
    """
    rows = images.reshape(-1, columns, SIZE, SIZE).transpose(0, 2, 1, 3)
    return np.repeat(rows.reshape(1, -1, columns * SIZE, 1), 3, axis=-1)


def _ink(renderer: RendererAgg, label: int, font: int, factors) -> np.ndarray:
    """How much of each pixel a digit covers, float64 [28, 28]."""
    rotation, height, right, up = factors
    path, centre, tall = _outline(str(label), FONTS[font])
    place = Affine2D().translate(*-centre)
    place.scale((_HEIGHT + _HEIGHT_RANGE * height) / tall)
    place.rotate_deg(_MAX_ROTATION * rotation)
    place.translate(SIZE / 2 + _MAX_SHIFT * right, SIZE / 2 + _MAX_SHIFT * up)
    renderer.clear()
    context = renderer.new_gc()
    context.set_linewidth(0)
    renderer.draw_path(context, path, place, (0.0, 0.0, 0.0, 1.0))
    return np.asarray(renderer.buffer_rgba())[..., 3] / 255


@functools.cache
def _outline(text: str, font: str) -> tuple[TextPath, np.ndarray, float]:
    """The outline of a character, its centre and its height."""
    file = pathlib.Path(matplotlib.get_data_path(), "fonts/ttf", f"{font}.ttf")
    path = TextPath((0, 0), text, size=100, prop=FontProperties(fname=file))
    box = path.get_extents()
    return path, np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2, box.height


def _textured(random, inks: np.ndarray) -> np.ndarray:
    """Digits on stripes of any direction, width and brightness, nearly as bright."""
    number = len(inks)
    y, x = np.mgrid[:SIZE, :SIZE]
    angle, phase = random.uniform(0, 2 * np.pi, (2, number, 1, 1))
    frequency, level, depth = (
        random.uniform(low, high, (number, 1, 1))
        for low, high in ((0.2, 0.7), (0.45, 0.7), (0.05, 0.25))
    )
    waves = np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return np.maximum(inks, np.clip(level + depth * waves, 0, 1))


def labelled(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Indices of the labelled digits: equally many per class, chosen by a seed.

    Args:
      labels: Of all, integers.
      number: Number of labelled digits.
      seed: Of the choice.

    Raises:
      UserError: `number` is no multiple of the classes, or there are not so many.
    """
    each = number // NUM_CLASSES
    fewest = np.bincount(labels, minlength=NUM_CLASSES).min()
    if number % NUM_CLASSES or each > fewest:
        most = NUM_CLASSES * fewest
        raise UserError(
            f"`num_labels` must be a multiple of {NUM_CLASSES}, at most {most}. "
            f"Received: {number}."
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.concatenate(
        [order[labels[order] == label][:each] for label in range(NUM_CLASSES)]
    )


def moved(images: tf.Tensor, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Images turned, scaled and shifted at random, each in its own way.

    Args:
      images: [batch, height, width, channels].
      most: Of 15 degrees, of a fifth, and of 2 pixels.
      seed: Integer tensor [2].

    Returns:
      Likewise; what comes in from outside is black.
    """
    number, height, width, _ = images.shape
    turn, scale, right, up = tf.unstack(
        most * tf.random.stateless_uniform([4, number], seed, -1, 1)
    )
    angle, scale = turn * np.pi / 12, 1 + 0.2 * scale
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    zero = tf.zeros_like(turn)
    rows = [
        *(cos, -sin, x - cos * x + sin * y + 2 * right),
        *(sin, cos, y - sin * x - cos * y + 2 * up),
        *(zero, zero),
    ]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
