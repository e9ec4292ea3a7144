"""Random changes of a training picture, each a function of the picture and a seed."""

import tensorflow as tf


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
