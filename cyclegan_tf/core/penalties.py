"""Gradient penalties of discriminators: R1, and WGAN-GP's."""

from collections.abc import Callable

import tensorflow as tf


def gradient_penalty(discriminator: Callable, real: tf.Tensor) -> tf.Tensor:
    """R1: half the squared gradient of the logits at real images (arXiv 1801.04406).

    It keeps generators from circling around the real images: training converges
    locally.

    Args:
      discriminator: From images to logits; called with `training=True`.
      real: Float tensor [batch, height, width, channels].

    Returns:
      A scalar, at least 0: the mean over the batch, for the sum of an image's logits,
      divided by their number.
    """
    with tf.GradientTape() as tape:
        tape.watch(real)
        logits = discriminator(real, training=True)
        total = tf.reduce_sum(logits)
    squares = tf.square(tape.gradient(total, real))
    return 0.5 * tf.reduce_sum(squares) / tf.cast(tf.size(logits), squares.dtype)


def interpolation_penalty(
    critic: Callable, real: tf.Tensor, fake: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """WGAN-GP's penalty on a critic's slope (arXiv 1704.00028, section 4).

    A critic with a slope of at most 1 measures the Wasserstein distance. The best one
    has slope 1 on the lines between real and fake samples.

    Args:
      critic: From samples to scores; called with `training=True`.
      real: Float tensor [batch, ...].
      fake: As many fakes.
      seed: Integer tensor [2], for the positions on the lines.

    Returns:
      A scalar, at least 0: the mean of (norm - 1)**2, for the gradient of the mean of a
      sample's scores. (The official CycleGAN code takes their sum. But the loss uses
      the mean, so a critic of 36 patches could only have a 36th of the slope, and
      generators would learn from the cycle loss alone.)
    """
    shape = [real.shape[0]] + [1] * (real.shape.rank - 1)
    place = tf.random.stateless_uniform(shape, seed, dtype=real.dtype)
    between = fake + place * (real - fake)
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = critic(between, training=True)
        means = tf.reduce_mean(tf.reshape(scores, [real.shape[0], -1]), axis=1)
        total = tf.reduce_sum(means)
    gradient = tape.gradient(total, between)
    axes = list(range(1, real.shape.rank))
    # The root has no gradient at 0.
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=axes) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1))
