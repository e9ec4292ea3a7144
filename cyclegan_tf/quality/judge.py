"""A judge: a small classifier that tells domain Y from domain X, trained here.

A CycleGAN can fool a classifier with noise that no eye sees (adversarial examples), so
the judge is trained on pictures that were blurred, made noisy, compressed or rounded at
random, then changed by a few levels in the direction that misleads it most (Goodfellow
et al., arXiv 1412.6572). It is asked about four views of a picture and averages.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain
from cyclegan_tf.files import written_whole
from cyclegan_tf.process import progress_bar
from cyclegan_tf.quality import corruptions
from cyclegan_tf.validation import UserError

MAX_SIDE = 128
NUM_STEPS = 1600
_BATCH = 32
_MAX_PICTURES = 2000
_LEARNING_RATE = 2e-3
_LABEL_SMOOTHING = 0.1
_WIDTHS = (32, 64, 128, 128)
_ADVERSARIAL_LEVELS = 3.0  # Of 255: what the worst noise in training may do.
_MARGIN = 8  # A crop of 64 pixels is taken from 72.
_RECIPE = 1  # Counted up when a change here makes other judges.
_ASK_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Judge:
    """A trained classifier.

    Attributes:
      network: From floats [number, side, side, 3] in [-1, 1] to log-odds of domain Y
        [number, 1] and features [number, `NUM_FEATURES`].
      side: Side of the pictures it looks at; others are resized (bicubic).
      fingerprint: Of the pictures it was trained on, its size and its seed.
      digest: Of its weights.
    """

    network: keras.Model
    side: int
    fingerprint: str
    digest: str

    def ask(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it makes of pictures: means over `corruptions.VIEWS`.

        Args:
          pictures: uint8 [number, height, width, 3].

        Returns:
          The log-odds of domain Y, float64 [number], and features, float32 [number,
          `NUM_FEATURES`].
        """
        resized = np.stack([images.resize(p, self.side) for p in pictures])
        answers = []
        for start in range(0, len(resized), _ASK_BATCH):
            batch = tf.constant(resized[start : start + _ASK_BATCH])
            answers.append([x.numpy() for x in _asked(self.network, batch)])
        log_odds, features = (np.concatenate(x) for x in zip(*answers, strict=True))
        return log_odds[:, 0].astype(np.float64), features


NUM_FEATURES = _WIDTHS[-1]


def cache_folder() -> pathlib.Path:
    """Where judges are kept: `cyclegan_tf` in the user's folder of caches."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(root) / "cyclegan_tf"


def prepare(
    domain_x: Domain,
    domain_y: Domain,
    image_size: int,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Judge:
    """The judge of two domains: from the cache, else trained and kept there.

    Args:
      domain_x: Training pictures of X; of very many, some are taken.
      domain_y: Training pictures of Y.
      image_size: Side of the pictures to be judged; it looks at `MAX_SIDE` at most.
      seed: Of its weights, and of the order of its pictures.
      say: Told that a judge is trained, and why.

    Returns:
      The judge; the same for the same arguments.

    Raises:
      UserError: a domain has no pictures.
    """
    side = min(image_size, MAX_SIDE)
    pictures = [_spread(d, side + side * _MARGIN // 64) for d in (domain_x, domain_y)]
    fingerprint = _fingerprint(pictures, side, seed)
    path = cache_folder() / f"judge-{side}px-{fingerprint}.npz"
    network = build(side, seed)
    problem = _load(network, path)
    if problem:
        say(f"{problem}: training one on {len(pictures[0])} + {len(pictures[1])}.")
        fit(network, *pictures, seed, NUM_STEPS)
        _save(network, path, say)
    return Judge(network, side, fingerprint, digest(network.get_weights()))


def digest(arrays: list[np.ndarray]) -> str:
    """Eight hexadecimal digits that stand for some weights."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:8]


def build(side: int, seed: int) -> keras.Model:
    """A judge's network, with random weights that the seed decides."""
    inputs = x = keras.Input((side, side, 3))
    for i, width in enumerate(_WIDTHS):
        initializer = keras.initializers.HeNormal(seed=seed + i)
        last = i == len(_WIDTHS) - 1
        x = keras.layers.Conv2D(
            width,
            5 if i == 0 else 3,
            strides=1 if last else 2,
            padding="same",
            use_bias=False,
            kernel_initializer=initializer,
        )(x)
        x = keras.layers.GroupNormalization(groups=8)(x)
        x = keras.layers.ReLU()(x)
    features = keras.layers.GlobalAveragePooling2D()(x)
    log_odds = keras.layers.Dense(
        1, kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 9)
    )(features)
    return keras.Model(inputs, [log_odds, features], name="judge")


def fit(
    network: keras.Model,
    pictures_x: np.ndarray,
    pictures_y: np.ndarray,
    seed: int,
    num_steps: int,
    corrupted: bool = True,
) -> None:
    """Trains a judge, in place.

    Args:
      network: As `build` gives it.
      pictures_x: uint8 [number, height, width, 3], a ninth larger than it looks at.
      pictures_y: As many or others of the other domain.
      seed: Of the order, the crops and the corruptions.
      num_steps: Steps of 16 + 16 pictures.
      corrupted: Whether pictures suffer `corruptions.at_random`. Without, this is the
        plain classifier that invisible noise fools.
    """
    step = _training_step(network, num_steps, corrupted)
    orders = [_Order(len(p), (seed, i)) for i, p in enumerate((pictures_x, pictures_y))]
    bar = progress_bar(
        range(num_steps), desc="Training the judge", unit="step", leave=False
    )
    for number in bar:
        batch = [
            pictures[order.take(_BATCH // 2)]
            for pictures, order in zip((pictures_x, pictures_y), orders, strict=True)
        ]
        seeds = [[seed, 3 * number + i] for i in range(3)]
        step(tf.constant(np.concatenate(batch)), tf.constant(seeds))


def _training_step(network: keras.Model, num_steps: int, corrupted: bool) -> Callable:
    """From a batch of uint8 pictures, one half of each domain, and three seeds."""
    side = network.input_shape[1]
    rate = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, num_steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(network.trainable_variables)
    labels = tf.concat([tf.zeros([_BATCH // 2, 1]), tf.ones([_BATCH // 2, 1])], 0)

    def loss_of(batch):
        log_odds, _ = network(batch / 127.5 - 1.0, training=True)
        return tf.reduce_mean(
            keras.losses.binary_crossentropy(
                labels, log_odds, from_logits=True, label_smoothing=_LABEL_SMOOTHING
            )
        )

    @tf.function(autograph=False)
    def step(batch, seeds):
        batch = _augmented(tf.cast(batch, tf.float32), side, seeds[0])
        if corrupted:
            batch = corruptions.at_random(batch, seeds[1])
            with tf.GradientTape() as tape:
                tape.watch(batch)
                loss = loss_of(batch)
            strength = tf.random.stateless_uniform(
                [_BATCH, 1, 1, 1], seeds[2], 0.0, _ADVERSARIAL_LEVELS
            )
            batch += strength * tf.sign(tape.gradient(loss, batch))
        with tf.GradientTape() as tape:
            loss = loss_of(batch)
        weights = network.trainable_variables
        gradients = tape.gradient(loss, weights)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))

    return step


class _Order:
    """Numbers of pictures, each as often as any other, in an order by chance."""

    def __init__(self, number: int, seed: tuple[int, ...]):
        self._random, self._number = np.random.default_rng(seed), number
        self._waiting = np.zeros(0, int)

    def take(self, number: int) -> np.ndarray:
        while len(self._waiting) < number:
            more = self._random.permutation(self._number)
            self._waiting = np.concatenate([self._waiting, more])
        taken, self._waiting = self._waiting[:number], self._waiting[number:]
        return taken


def _augmented(batch: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Crops at a place that the whole batch shares, and mirrors half of it."""
    seeds = tf.unstack(tf.random.split(seed, 2), num=2)
    batch = tf.image.stateless_random_crop(
        batch, [_BATCH, side, side, 3], seed=seeds[0]
    )
    mirrored = tf.random.stateless_uniform([_BATCH, 1, 1, 1], seeds[1]) < 0.5
    return tf.where(mirrored, tf.reverse(batch, [2]), batch)


@tf.function(autograph=False, reduce_retracing=True)
def _asked(network: keras.Model, pictures: tf.Tensor) -> list[tf.Tensor]:
    views = [
        network(corruptions.view(pictures, name, i) / 127.5 - 1.0, training=False)
        for i, name in enumerate(corruptions.VIEWS)
    ]
    return [tf.reduce_mean(tf.stack(x), 0) for x in zip(*views, strict=True)]


def _spread(domain: Domain, side: int) -> np.ndarray:
    """Pictures spread evenly over a domain, uint8 [number, side, side, 3]."""
    if not len(domain):
        raise UserError("The judge needs pictures of both domains to train on.")
    number = min(len(domain), _MAX_PICTURES)
    places = np.linspace(0, len(domain) - 1, number).round().astype(int)
    return np.stack([images.resize(domain.read(int(i)), side) for i in places])


# --- The cache


def _fingerprint(pictures: list[np.ndarray], side: int, seed: int) -> str:
    recipe = [_RECIPE, side, seed, NUM_STEPS, [p.shape for p in pictures]]
    sha = hashlib.sha256(json.dumps(recipe).encode())
    for array in pictures:
        sha.update(array.tobytes())
    return sha.hexdigest()[:12]


def _load(network: keras.Model, path: pathlib.Path) -> str:
    """Gives a network the weights of a file; or tells why it has none."""
    try:
        with np.load(path, allow_pickle=False) as held:
            network.set_weights([held[f"{i:02d}"] for i in range(len(held.files))])
    except FileNotFoundError:
        return "No judge of these pictures yet"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return f"{path} is damaged"
    return ""


def _save(network: keras.Model, path: pathlib.Path, say) -> None:
    arrays = {f"{i:02d}": w for i, w in enumerate(network.get_weights())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        say(f"The judge can't be kept in {path.parent}: {error.strerror or error}.")
