"""Drawn digits, and a judge: a classifier that measures generated digits.

A seed draws digits of ten classes in the fonts of matplotlib. They are small enough for
two cores, and the class, font, rotation, size, place and noise of each are known. As in
MNIST a digit is bright (1) and its ground dark (-1); in the domain `textured` the
ground has stripes that are nearly as bright as the digit.
"""

import dataclasses
import functools
import pathlib
import zipfile

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from cyclegan_tf.core.adam import Adam
from cyclegan_tf.data.images import to_uint8
from cyclegan_tf.evaluation.distances import Moments, frechet_distance
from cyclegan_tf.family.shared.networks import features
from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import LOG, UserError

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

# The other differences between digits, each from -1 to 1.
FACTORS = ("rotation", "height", "right", "up")
_MAX_ROTATION, _HEIGHT, _HEIGHT_RANGE, _MAX_SHIFT = 15.0, 17.0, 3.0, 2.0
_MAX_NOISE = 12.0  # Standard deviation, in levels of 255.

JUDGE_STEPS, _JUDGE_BATCH, _JUDGE_RATE = 1_000, 128, 1e-3
_PART = 500  # Rows that a network gets at once outside of training.


@dataclasses.dataclass(frozen=True)
class Digits:
    """Drawn digits.

    Attributes:
      images: uint8 [number, 28, 28, 1].
      labels: int32 [number], 0 to 9, equally many of each.
      factors: float32 [number, 4], the `FACTORS` of each, in [-1, 1].
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
    """Loads 10,000 digits (`part` is `train`) or 2,000 (`test`), the same in all runs.

    No digit is in both domains, `plain` and `textured`.
    """
    number = {"train": NUM_TRAIN, "test": NUM_TEST}[part]
    return draw(number, (("train", "test").index(part), DOMAINS.index(domain)), domain)


def draw(number: int, seed: tuple[int, ...], domain: str = "plain") -> Digits:
    """Draws digits from a seed."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(number) % NUM_CLASSES).astype(np.int32)
    fonts = random.integers(len(FONTS), size=number)
    factors = random.uniform(-1, 1, (number, len(FACTORS))).astype(np.float32)
    renderer = RendererAgg(SIZE, SIZE, 72)
    rows = zip(labels, fonts, factors, strict=True)
    inks = np.stack([_ink(renderer, *row) for row in rows])
    if domain == "textured":
        inks = _textured(random, inks)
    noise = random.uniform(0, _MAX_NOISE, (number, 1, 1))
    noise = noise * random.normal(size=inks.shape)
    images = np.clip(np.rint(255 * inks + noise), 0, 255).astype(np.uint8)
    return Digits(images[..., np.newaxis], labels, factors)


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Lays out digits row by row: a picture uint8 [1, rows * 28, columns * 28, 3].

    Args:
      images: uint8 [number, 28, 28, 1]; `number` is a multiple of `columns`.
      columns: Digits in a row.
    """
    rows = images.reshape(-1, columns, SIZE, SIZE).transpose(0, 2, 1, 3)
    return np.repeat(rows.reshape(1, -1, columns * SIZE, 1), 3, axis=-1)


def _ink(renderer: RendererAgg, label: int, font: int, factors) -> np.ndarray:
    """The share of each pixel that a digit covers, float64 [28, 28]."""
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
    """Puts digits on stripes of random direction, width and brightness."""
    number = len(inks)
    y, x = np.mgrid[:SIZE, :SIZE]
    angle, phase = random.uniform(0, 2 * np.pi, (2, number, 1, 1))
    frequency, level, depth = (
        random.uniform(low, high, (number, 1, 1))
        for low, high in ((0.2, 0.7), (0.45, 0.7), (0.05, 0.25))
    )
    waves = np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return np.maximum(inks, np.clip(level + depth * waves, 0, 1))


def fixed_latents(number: int, size: int) -> np.ndarray:
    """Standard normal latents, float32 [number, size], the same in all runs."""
    return tf.random.stateless_normal([number, size], (0, 0)).numpy()


def paths(
    generator: keras.Model, start: np.ndarray, end: np.ndarray, length: int
) -> np.ndarray:
    """A sheet with a row per pair of latents: `length` digits from start to end.

    Args:
      generator: From latents to digits in [-1, 1].
      start: Latents, [number, latent_size].
      end: Latents, [number, latent_size].
      length: Digits in a row.
    """
    share = np.linspace(0, 1, length, dtype=np.float32)[:, None]
    latents = start[:, None] + share * (end - start)[:, None]
    generated = in_parts(generator, latents.reshape(-1, latents.shape[-1]))
    return sheet(to_uint8(generated).numpy(), length)


def draw_rows(tensors, number: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Draws the same `number` rows of each tensor, with replacement."""
    rows = tf.random.stateless_uniform([number], seed, 0, len(tensors[0]), tf.int32)
    return [tf.gather(tensor, rows) for tensor in tensors]


def choose_labelled(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Chooses the digits with a label, equally many per class; returns their indices.

    Args:
      labels: The labels of all digits.
      number: Number of digits with a label.
      seed: Seed of the choice.

    Raises:
      UserError: `number` is no multiple of the classes, or a class has too few digits.
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


def augment(images: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Rotates, scales and shifts each image at random; fills up with black.

    Args:
      images: [batch, height, width, channels].
      strength: 1 for up to 15 degrees, a fifth of the size, and 2 pixels.
      seed: Integer tensor [2].
    """
    number, height, width, _ = images.shape
    turn, scale, right, up = tf.unstack(
        strength * tf.random.stateless_uniform([4, number], seed, -1, 1)
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


# --- The judge


def in_parts(network: keras.Model, rows):
    """Applies a network outside of training to 500 rows at a time; returns arrays."""
    parts = np.split(np.asarray(rows), range(_PART, len(rows), _PART))
    outputs = [network(part, training=False) for part in parts]
    return tf.nest.map_structure(lambda *each: np.concatenate(each), *outputs)


@dataclasses.dataclass(frozen=True)
class Judge:
    """A classifier of digits. Report its accuracy beside each number from it.

    Attributes:
      network: A model from digits to logits, factors and features.
    """

    network: keras.Model

    def examine(self, pictures: np.ndarray) -> tuple[np.ndarray, ...]:
        """Classes [number], factors and features of digits in [-1, 1]."""
        logits, factors, found = in_parts(self.network, pictures)
        return logits.argmax(axis=1), factors, found

    @functools.cached_property
    def accuracy(self) -> float:
        """The accuracy on the test digits."""
        test = load("test")
        return float((self.examine(test.pictures)[0] == test.labels).mean())

    def measure(
        self, generator: keras.Model, latents: np.ndarray
    ) -> tuple[dict[str, float], list[str]]:
        """Compares generated digits with real ones; returns numbers, and a line.

        `sharpness` is the mean difference of neighbouring pixels over that of test
        digits. `rarest_digit` and `commonest_digit` are the shares of these digits. The
        last two numbers are of arithmetic on latents (arXiv 1511.06434, section 6.3.2):
        to each latent it adds the mean of those whose digits are rotated to the left,
        minus the mean of the others. `rotated` is the mean change of the rotation, of 2
        in all, and `same_digit` the share that still shows the same digit.

        Args:
          generator: From latents to digits in [-1, 1].
          latents: Standard normal, [number, latent_size].
        """
        generated = in_parts(generator, latents)
        classes, factors, _ = self.examine(generated)
        rotation = factors[:, FACTORS.index("rotation")]
        left = rotation > np.median(rotation)
        moved = latents + latents[left].mean(axis=0) - latents[~left].mean(axis=0)
        moved_classes, moved_factors, _ = self.examine(in_parts(generator, moved))
        change = moved_factors[:, FACTORS.index("rotation")] - rotation
        counts = np.bincount(classes, minlength=NUM_CLASSES) / len(classes)
        found = {
            "frechet_distance": self.frechet_distance(generated),
            "frechet_distance_of_real": self.distance_of_real,
            "sharpness": _steepness(generated) / _steepness(load("test").pictures),
            "rarest_digit": counts.min(),
            "commonest_digit": counts.max(),
            "rotated": change.mean(),
            "same_digit": (moved_classes == classes).mean(),
            "judge_accuracy": self.accuracy,
        }
        line = (
            f"Frechet distance {found['frechet_distance']:.1f}, of real digits "
            f"{self.distance_of_real:.1f}; {found['sharpness']:.0%} as sharp; "
            f"{counts.min():.1%} to {counts.max():.1%} of each digit (a judge with "
            f"{self.accuracy:.1%} accuracy)"
        )
        return {name: float(value) for name, value in found.items()}, [line]

    def frechet_distance(self, pictures: np.ndarray) -> float:
        """The Frechet distance of features between pictures and training digits."""
        return frechet_distance(self._moments(pictures), self._moments_of_real)

    @functools.cached_property
    def distance_of_real(self) -> float:
        """The Frechet distance of the test digits: the best possible one."""
        return self.frechet_distance(load("test").pictures)

    @functools.cached_property
    def _moments_of_real(self) -> Moments:
        return self._moments(load("train").pictures)

    def _moments(self, pictures: np.ndarray) -> Moments:
        moments = Moments()
        moments.add(self.examine(pictures)[2])
        return moments


def judge_of(run_dir: str, seed: int = 0) -> Judge:
    """Loads the judge of a run; trains and saves it if it is missing.

    Args:
      run_dir: The run directory, with `judge_SEED.npz`.
      seed: Seed of the weights and of the order of the digits. On one machine the same
        seed trains the same judge.
    """
    base = features(32, 64)
    logits = keras.layers.Dense(NUM_CLASSES, name="logits")(base.output)
    factors = keras.layers.Dense(len(FACTORS), name="factors")(base.output)
    network = keras.Model(base.input, [logits, factors, base.output], name="judge")
    path = pathlib.Path(run_dir) / f"judge_{seed}.npz"
    if not _load_weights(network, path):
        LOG.info("Training a judge. The run stores it.")
        _fit(network, load("train"), seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, *network.get_weights())
    return Judge(network)


def _fit(network: keras.Model, train: Digits, seed: int) -> None:
    random = np.random.default_rng(seed)
    for weight in network.trainable_variables:
        shape = tuple(weight.shape)
        scale = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.0
        weight.assign(scale * random.normal(size=shape))
    variables = network.trainable_variables
    adam = Adam(variables, lambda step: _JUDGE_RATE * (1 - step / JUDGE_STEPS))
    images, factors = tf.constant(train.pictures), tf.constant(train.factors)
    labels = tf.constant(train.labels)

    @tf.function
    def step(chosen):
        with tf.GradientTape() as tape:
            logits, predicted, _ = network(tf.gather(images, chosen), training=True)
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(labels, chosen), logits
            )
            error = tf.square(predicted - tf.gather(factors, chosen))
            loss = tf.reduce_mean(entropy) + tf.reduce_mean(error)
        adam.apply(tape.gradient(loss, variables))

    for _ in range(JUDGE_STEPS):
        step(tf.constant(random.integers(len(train.labels), size=_JUDGE_BATCH)))


def _load_weights(network: keras.Model, path: pathlib.Path) -> bool:
    """Loads the weights of a file; False if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            network.set_weights([stored[name] for name in stored.files])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False
    return True


def _steepness(pictures: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels along both axes."""
    return float(np.mean([np.abs(np.diff(pictures, axis=a)).mean() for a in (1, 2)]))
