"""Training batches whose order and augmentation depend on (seed, step) alone.

A resumed run sees the pictures of an unbroken one, and no state needs to be saved.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from cyclegan_tf.compat import num_cores
from cyclegan_tf.config import Config
from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.data.reader import Domain
from cyclegan_tf.messages import UserError


def steps_per_epoch(num_x: int, num_y: int, batch_size: int) -> int:
    """Steps that show every picture of the longer domain at least once."""
    return -(-max(num_x, num_y) // batch_size)


def picture_index(
    seed: int, domain: int, position: int, num_pictures: int, epoch_size: int
) -> int:
    """The index of the picture at a position, step * batch_size + place in the batch.

    Each epoch, of `epoch_size` positions, goes through a new permutation of the domain
    (0 for X, 1 for Y), and through further ones if the other domain is longer. (The
    official code draws pictures of the other domain at random, and may leave some out.)
    """
    epoch, within = divmod(position, epoch_size)
    lap, place = divmod(within, num_pictures)
    return int(_permutation(seed, domain, epoch, lap, num_pictures)[place])


@functools.lru_cache(maxsize=8)
def _permutation(seed, domain, epoch, lap, num_pictures) -> np.ndarray:
    random = np.random.default_rng((seed, domain, epoch, lap))
    return random.permutation(num_pictures)


# --- Two domains


def training_batches(
    data: UnpairedData,
    config: Config,
    strategy: tf.distribute.Strategy,
    start_step: int,
    num_steps: int,
):
    """The batches of the steps from `start_step`, from 0, to before `num_steps`.

    Returns:
      An iterable of (real_x, real_y), float32 [batch_size / replicas, image_size,
      image_size, 3] in [-1, 1], on the GPU if there is one; see `batches_of`.
    """
    domains, epoch_size = _domains(data, config)
    pair = sampler(domains, config, epoch_size, config.flip)
    batches = batches_of(pair, config.batch_size, strategy, start_step, num_steps)
    gpus = tf.config.list_logical_devices("GPU")
    if gpus and strategy.num_replicas_in_sync == 1:
        # Several replicas get theirs on their devices anyway.
        prefetched = tf.data.experimental.prefetch_to_device(gpus[0].name, 2)
        batches = batches.apply(prefetched)
    return batches


def names_of_step(data: UnpairedData, config: Config, step: int) -> list[str]:
    """Names of the pictures of a step, from 0; those of X first."""
    domains, epoch_size = _domains(data, config)
    return names_at(domains, config, epoch_size, step)


def _domains(data: UnpairedData, config: Config) -> tuple[tuple[Domain, Domain], int]:
    """X and Y, and the positions in an epoch."""
    x, y, size = data.train_x, data.train_y, config.batch_size
    return (x, y), size * steps_per_epoch(len(x), len(y), size)


# --- Any number of domains


def names_at(domains: Sequence[Domain], options, epoch_size: int, step: int) -> list:
    """Names of the pictures of a step, from 0, domain by domain."""
    seed, first = options.seed, step * options.batch_size
    return [
        domain.names[picture_index(seed, i, position, len(domain), epoch_size)]
        for i, domain in enumerate(domains)
        for position in range(first, first + options.batch_size)
    ]


def sampler(
    domains: Sequence[Domain], options, epoch_size: int, flip: bool, channels: int = 3
) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Makes a function that reads and augments one picture of each domain.

    It maps a position of training to a tuple of float32 [image_size, image_size,
    channels] in [-1, 1]. `options` has the seed and the size.
    """
    seed, size = options.seed, options.image_size

    def read(i, position) -> np.ndarray:
        domain, place = domains[i], int(position)
        return domain.read(picture_index(seed, int(i), place, len(domain), epoch_size))

    def picture(i: int, position: tf.Tensor) -> tf.Tensor:
        image = tf.numpy_function(read, [i, position], tf.uint8)
        image.set_shape((None, None, channels))
        image = augment(image, size, flip, tf.random.fold_in((seed, i), position))
        return images.to_float(tf.ensure_shape(image, (size, size, channels)))

    return lambda position: tuple(picture(i, position) for i in range(len(domains)))


def batches_of(
    sample: Callable[[tf.Tensor], tuple],
    batch_size: int,
    strategy: tf.distribute.Strategy,
    start_step: int,
    num_steps: int,
):
    """Batches of the steps from `start_step`, from 0, to before `num_steps`.

    `sample` maps a position of training to a sample. Each replica gets its part of a
    batch, and each worker reads its own part. With several replicas the result is a
    distributed data set.
    """
    replicas = strategy.num_replicas_in_sync
    options = tf.data.Options()
    # Closing the data set would wait for autotune's thread, which sleeps about as long
    # as the steps took: 36 s after 50 s (TF 2.21).
    options.autotune.enabled = False

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        part = batch_size // workers
        first = part * context.input_pipeline_id
        return (
            tf.data.Dataset.range(start_step * part, num_steps * part)
            .map(lambda index: index // part * batch_size + first + index % part)
            .map(sample, num_parallel_calls=num_cores())
            .batch(batch_size // replicas, drop_remainder=True)
            .prefetch(2 * replicas // workers)
            .with_options(options)
        )

    return strategy.distribute_datasets_from_function(make)


def with_user_errors(batches: Iterable[tuple]) -> Iterator[tuple]:
    """Yields the batches; raises the `UserError` inside an error of TensorFlow."""
    try:
        yield from batches
    except tf.errors.OpError as error:
        found = re.search(r"\bUserError: (.*)", error.message)
        if not found:
            raise
        raise UserError(found[1]) from error


def augment(image: tf.Tensor, size: int, flip: bool, seed: tf.Tensor) -> tf.Tensor:
    """Random square crop, then random flip (arXiv 1703.10593, section 7.1).

    Args:
      image: [height, width, channels], sides at least `size`.
      size: Side of the crop, in pixels; every place is equally likely.
      flip: Whether to mirror left and right, with probability 0.5.
      seed: Integer tensor [2]; it determines crop and flip.
    """
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
    shape = [size, size, image.shape[-1]]
    image = tf.image.stateless_random_crop(image, shape, crop_seed)
    if not flip:
        return image
    return tf.image.stateless_random_flip_left_right(image, flip_seed)
