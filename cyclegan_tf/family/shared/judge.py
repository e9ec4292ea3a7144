"""A judge of drawn pictures: a classifier trained once, asked what generated ones show.

It says which class a picture shows and how it was drawn, and its features are what
distances are measured in. Its accuracy belongs beside every number that rests on it.
"""

import dataclasses
import pathlib
import zipfile

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.adam import Adam
from cyclegan_tf.files import written_whole

NUM_STEPS, _BATCH, _RATE = 1_000, 128, 1e-3
_ASK_BATCH = 500


@dataclasses.dataclass(frozen=True)
class Judge:
    """A trained classifier.

    Attributes:
      network: From float [batch, height, width, channels] in [-1, 1] to logits, factors
        and features.
      accuracy: Share of the test pictures whose class it names.
    """

    network: keras.Model
    accuracy: float

    def ask(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classes [number], factors and features of pictures in [-1, 1]."""
        logits, factors, features = _asked(self.network, pictures)
        return logits.argmax(axis=1), factors, features


def prepared(network: keras.Model, folder: str, load, seed: int = 0) -> Judge:
    """Loads the judge of a data set from a run; trains and saves it if it is missing.

    Args:
      network: To be trained, from pictures to logits, factors and features; its present
        weights do not matter.
      folder: The run's.
      load: Returns `pictures` (in [-1, 1]), `labels` and `factors` of the part `train`,
        to learn, or `test`, to measure the accuracy.
      seed: Of its weights and the order of its pictures.

    Returns:
      The judge; always the same one for the same pictures, on one machine.
    """
    path = pathlib.Path(folder) / f"judge_{seed}.npz"
    if not _load(network, path):
        print("Training a judge. The run stores it.", flush=True)
        _fit(network, load("train"), seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, *network.get_weights())
    test = load("test")
    logits, _, _ = _asked(network, test.pictures)
    return Judge(network, float((logits.argmax(axis=1) == test.labels).mean()))


def _fit(network: keras.Model, train, seed: int) -> None:
    """Trains from weights that its own seed decides, whatever was drawn before."""
    random = np.random.default_rng(seed)
    for weight in network.trainable_variables:
        shape = tuple(weight.shape)
        scale = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.0
        weight.assign(scale * random.normal(size=shape))
    variables = network.trainable_variables
    adam = Adam(variables, lambda step: _RATE * (1 - step / NUM_STEPS))
    images, factors = tf.constant(train.pictures), tf.constant(train.factors)
    labels = tf.constant(train.labels)

    @tf.function
    def step(chosen):
        with tf.GradientTape() as tape:
            logits, told, _ = network(tf.gather(images, chosen), training=True)
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(labels, chosen), logits
            )
            error = tf.square(told - tf.gather(factors, chosen))
            loss = tf.reduce_mean(entropy) + tf.reduce_mean(error)
        adam.apply(tape.gradient(loss, variables))

    for _ in range(NUM_STEPS):
        step(tf.constant(random.integers(len(train.labels), size=_BATCH)))


def _asked(network: keras.Model, pictures) -> list[np.ndarray]:
    answers = []
    for start in range(0, len(pictures), _ASK_BATCH):
        batch = tf.convert_to_tensor(pictures[start : start + _ASK_BATCH])
        answers.append([x.numpy() for x in network(batch, training=False)])
    return [np.concatenate(x) for x in zip(*answers, strict=True)]


def _load(network: keras.Model, path: pathlib.Path) -> bool:
    """Gives a network the weights of a file, if there is one that can be read."""
    try:
        with np.load(path, allow_pickle=False) as held:
            network.set_weights([held[name] for name in held.files])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False
    return True
