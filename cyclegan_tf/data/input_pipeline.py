"""Training batches whose order and augmentation are functions of (seed, step) alone.

A run that stops and goes on sees what an unbroken one would have seen, and nothing
about the data needs to be saved.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cyclegan_tf.compat import num_cores
from cyclegan_tf.config import Config
from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData


def steps_per_epoch(num_x: int, num_y: int, batch_size: int) -> int:
    """Steps that show every picture of the longer domain at least once."""
    return -(-max(num_x, num_y) // batch_size)


def picture_index(
    seed: int, domain: int, position: int, num_pictures: int, epoch_size: int
) -> int:
    """Which picture of a domain stands at a position of training.

    Each epoch walks through a new permutation of the domain, and through further ones
    if the other domain is longer. (The official code draws the other domain's picture
    at random each time; here none is left out.)

    Args:
      seed: Seed of the run.
      domain: 0 for X, 1 for Y.
      position: Pictures of a domain seen before, step * batch_size + place.
      num_pictures: Pictures in this domain.
      epoch_size: Pictures of a domain shown in an epoch.

    Returns:
      An index in [0, num_pictures).
    """
    epoch, within = divmod(position, epoch_size)
    lap, place = divmod(within, num_pictures)
    return int(_permutation(seed, domain, epoch, lap, num_pictures)[place])


@functools.lru_cache(maxsize=8)
def _permutation(seed, domain, epoch, lap, num_pictures) -> np.ndarray:
    random = np.random.default_rng((seed, domain, epoch, lap))
    return random.permutation(num_pictures)


def batches_of(
    sample: Callable[[tf.Tensor], tuple],
    number: int,
    strategy: tf.distribute.Strategy,
    start_step: int,
    num_steps: int,
):
    """The batches of steps `start_step` to `num_steps`; each worker reads its own part.

    Args:
      sample: From a position of training to what is trained on.
      number: Positions of a step.
      strategy: Each of its replicas gets its part of a batch.
      start_step: The first step, from 0.
      num_steps: The step after the last one.

    Returns:
      An iterable of what `sample` gives, batched, distributed if there are several
      replicas.
    """
    replicas = strategy.num_replicas_in_sync
    options = tf.data.Options()
    # Its thread would be waited for at the end, asleep about as long as the steps took:
    # 36 s after 50 s of them (TF 2.21).
    options.autotune.enabled = False

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        part = number // workers
        first = part * context.input_pipeline_id
        return (
            tf.data.Dataset.range(start_step * part, num_steps * part)
            .map(lambda index: index // part * number + first + index % part)
            .map(sample, num_parallel_calls=num_cores())
            .batch(number // replicas, drop_remainder=True)
            .prefetch(2 * replicas // workers)
            .with_options(options)
        )

    return strategy.distribute_datasets_from_function(make)


def names_of_step(data: UnpairedData, config: Config, step: int) -> list[str]:
    """Names of the pictures that a step trains on, those of X first; from step 0."""
    number = config.batch_size
    epoch_size = number * steps_per_epoch(len(data.train_x), len(data.train_y), number)
    return [
        pictures.names[
            picture_index(config.seed, domain, position, len(pictures), epoch_size)
        ]
        for domain, pictures in enumerate((data.train_x, data.train_y))
        for position in range(step * number, (step + 1) * number)
    ]


def training_batches(
    data: UnpairedData,
    config: Config,
    strategy: tf.distribute.Strategy,
    start_step: int,
    num_steps: int,
):
    """The batches of steps `start_step` to `num_steps`.

    Args:
      data: The pictures.
      config: Seed, sizes and pictures of a step.
      strategy: Each of its replicas gets its part of a batch.
      start_step: The first step, from 0.
      num_steps: The step after the last one.

    Returns:
      An iterable of (real_x, real_y), float32 [batch_size / replicas,
      image_size, image_size, 3] in [-1, 1], on the GPU if there is one, distributed if
      there are several replicas.
    """
    number, pair = config.batch_size, _picture_pair(data, config)
    batches = batches_of(pair, number, strategy, start_step, num_steps)
    gpus = tf.config.list_logical_devices("GPU")
    if gpus and strategy.num_replicas_in_sync == 1:
        # Several replicas get theirs on their devices anyway.
        prefetched = tf.data.experimental.prefetch_to_device(gpus[0].name, 2)
        batches = batches.apply(prefetched)
    return batches


def _picture_pair(data: UnpairedData, config: Config):
    """From a position to one augmented picture of each domain."""
    domains = (data.train_x, data.train_y)
    size = config.image_size
    number = config.batch_size
    epoch_size = number * steps_per_epoch(len(data.train_x), len(data.train_y), number)

    def read(domain: int, position) -> np.ndarray:
        pictures: Domain = domains[domain]
        return pictures.read(
            picture_index(
                config.seed, int(domain), int(position), len(pictures), epoch_size
            )
        )

    def picture(domain: int, position: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(read, [domain, position], tf.uint8)
        image.set_shape((None, None, 3))
        seed = tf.random.fold_in((config.seed, domain), position)
        image = augment(image, size, config.flip, seed)
        return images.to_float(tf.ensure_shape(image, (size, size, 3)))

    return lambda position: (picture(0, position), picture(1, position))


# --- Random changes of a picture, each a function of the picture and a seed


def random_crop(image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """Cuts out a square at a place drawn evenly from all that fit.

    Args:
      image: [height, width, channels], sides at least `size`.
      size: Side of the square, in pixels.
      seed: Integer tensor [2].

    Returns:
      [size, size, channels].
    """
    return tf.image.stateless_random_crop(image, [size, size, image.shape[-1]], seed)


def random_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors left and right with probability 0.5.

    Args:
      image: [height, width, channels].
      seed: Integer tensor [2].

    Returns:
      A tensor of the same shape.
    """
    return tf.image.stateless_random_flip_left_right(image, seed)


def augment(image: tf.Tensor, size: int, flip: bool, seed: tf.Tensor) -> tf.Tensor:
    """Random crop, then random flip (arXiv 1703.10593, section 7.1).

    Args:
      image: [height, width, channels], sides at least `size`.
      size: Side of the crop, in pixels.
      flip: Whether to flip at all.
      seed: Integer tensor [2]; the same seed gives the same crop and flip.

    Returns:
      [size, size, channels].
    """
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
    image = random_crop(image, size, crop_seed)
    return random_flip(image, flip_seed) if flip else image
