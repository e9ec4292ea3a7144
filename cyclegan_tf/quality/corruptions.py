"""What a picture goes through on its way to others: blur, noise, JPEG, 8 bits.

Seen by eye, such pictures stay what they are. What changes under them was not in the
picture but in its lowest bits.
"""

import numpy as np
import tensorflow as tf

# Each is a way in which the judge is shown a picture; see `judge.py`.
VIEWS = ("plain", "blur", "noise", "jpeg")
_BLUR_SIGMA = 0.8
_NOISE_SIGMA = 6.0
_JPEG_QUALITY = 75


def view(pictures: tf.Tensor, name: str, seed: int) -> tf.Tensor:
    """Pictures as one of `VIEWS` shows them: always the same for a seed.

    Args:
      pictures: uint8 [number, height, width, 3].
      name: One of `VIEWS`.
      seed: Of the noise.

    Returns:
      Floats of the same shape, whole numbers in [0, 255].
    """
    pictures = tf.cast(pictures, tf.float32)
    if name == "blur":
        pictures = blurred(pictures, _BLUR_SIGMA)
    elif name == "noise":
        random = tf.random.stateless_normal(tf.shape(pictures)[1:], [seed, 1])
        pictures = pictures + _NOISE_SIGMA * random
    elif name == "jpeg":
        pictures = as_jpeg(pictures, tf.fill(tf.shape(pictures)[:1], _JPEG_QUALITY))
    return rounded(pictures)


def at_random(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pictures of which each suffers some of all that `VIEWS` has, more or less of it.

    Args:
      pictures: Floats [number, height, width, 3] in [0, 255].
      seed: Two integers.

    Returns:
      Floats of the same shape, whole numbers in [0, 255].
    """
    seeds = tf.unstack(tf.random.split(seed, 7), num=7)
    number = tf.shape(pictures)[0]

    def chosen(seed):
        drawn = tf.random.stateless_uniform([number], seed)
        return tf.reshape(drawn < 0.5, [-1, 1, 1, 1])

    sigma = tf.random.stateless_uniform([], seeds[0], 0.4, 1.2)
    pictures = tf.where(chosen(seeds[1]), blurred(pictures, sigma), pictures)
    sigma = tf.random.stateless_uniform([number, 1, 1, 1], seeds[2], 0.0, 12.0)
    noise = sigma * tf.random.stateless_normal(tf.shape(pictures), seeds[3])
    pictures = tf.where(chosen(seeds[4]), pictures + noise, pictures)
    quality = tf.random.stateless_uniform([number], seeds[5], 50, 96, tf.int32)
    compressed = as_jpeg(pictures, quality)
    return rounded(tf.where(chosen(seeds[6]), compressed, pictures))


def blurred(pictures: tf.Tensor, sigma: float | tf.Tensor) -> tf.Tensor:
    """Convolves with a Gaussian of 7x7; what lies outside mirrors what is inside.

    Args:
      pictures: Floats [number, height, width, 3], sides of 4 or more.
      sigma: Standard deviation in pixels, above 0.
    """
    places = tf.range(-3, 4, dtype=tf.float32)
    weights = tf.exp(-0.5 * tf.square(places / sigma))
    weights /= tf.reduce_sum(weights)
    padded = tf.pad(pictures, [[0, 0], [3, 3], [3, 3], [0, 0]], mode="REFLECT")
    down = tf.tile(weights[:, None, None, None], [1, 1, 3, 1])
    across = tf.tile(weights[None, :, None, None], [1, 1, 3, 1])
    for kernel in (down, across):
        padded = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    return padded


def as_jpeg(pictures: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Pictures after JPEG compression.

    Args:
      pictures: Floats [number, height, width, 3] in [0, 255].
      quality: Integers [number] in [1, 100].
    """

    def compressed(pair):
        picture, quality = pair
        return tf.image.adjust_jpeg_quality(picture, quality)

    bytes_ = tf.cast(rounded(pictures), tf.uint8)
    qualities = tf.cast(quality, tf.int32)
    done = tf.map_fn(compressed, (bytes_, qualities), fn_output_signature=tf.uint8)
    done = tf.ensure_shape(done, pictures.shape)
    return tf.cast(done, tf.float32)


def rounded(pictures: tf.Tensor) -> tf.Tensor:
    """Floats as 8 bits would keep them: whole numbers in [0, 255]."""
    return tf.clip_by_value(tf.round(pictures), 0.0, 255.0)


def slightly_blurred(pictures: np.ndarray) -> np.ndarray:
    """Pictures after a blur that an eye hardly sees, and 8 bits; uint8."""
    soft = blurred(pictures.astype(np.float32), 0.5)
    return rounded(soft).numpy().astype(np.uint8)
