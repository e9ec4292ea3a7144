"""Gradient penalties of discriminators: R1, and WGAN-GP's."""

from collections.abc import Callable

import tensorflow as tf


def gradient_penalty(discriminator: Callable, real: tf.Tensor) -> tf.Tensor:
    """R1: half the squared gradient of the logits at real images (arXiv 1801.04406).

    A discriminator that is steep at real images drives generators around them in
    circles; with this they meet.

    Args:
      discriminator: From images to logits; called with `training=True`.
      real: Float tensor [batch, height, width, channels].

    Returns:
      A scalar, at least 0: of the sum of the logits of an image, over their number,
      mean over the batch.
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
    """How far a critic's slope between real and fake is from 1 (arXiv 1704.00028, 4).

    A critic of slope at most 1 measures the Wasserstein distance; the best one has
    slope 1 on the lines between samples of both sides.

    Args:
      critic: From samples to scores; called with `training=True`.
      real: Float tensor [batch, ...].
      fake: As many.
      seed: Integer tensor [2], of the places on the lines.

    Returns:
      A scalar, at least 0: mean of (norm - 1)**2, the norm of the gradient of the mean
      of a sample's scores. (The official CycleGAN code takes their sum. The loss is of
      the mean, so that a critic of 36 patches may then be but a 36th as steep, and
      generators hear the cycle alone.)
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
    # The root has no slope at 0, where a critic is flat.
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=axes) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1))
