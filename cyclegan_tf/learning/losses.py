"""Losses as pure functions of tensors (arXiv 1703.10593, sections 3.1, 3.2, 5.2).

Adversarial losses work on logits. Each loss is a mean over all elements, as in the
official code, so that its size does not depend on the size of the images.
"""

from collections.abc import Callable

import tensorflow as tf


def least_squares(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
    """mean((logits - 1)**2) for real, mean(logits**2) for fake (Mao et al. 2017).

    Args:
      logits: Float tensor of any shape.
      is_real: What the discriminator should have said.

    Returns:
      A scalar, at least 0.
    """
    return tf.reduce_mean(tf.square(logits - float(is_real)))


def binary_cross_entropy(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
    """-mean(log(p)) for real, -mean(log(1 - p)) for fake, p = sigmoid(logits).

    Args:
      logits: Float tensor of any shape.
      is_real: What the discriminator should have said.

    Returns:
      A scalar, at least 0.
    """
    labels = tf.fill(tf.shape(logits), tf.cast(is_real, logits.dtype))
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    )


def wasserstein(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
    """-mean(scores) for real, mean(scores) for fake (arXiv 1701.07875).

    Args:
      logits: A critic's scores, of any shape.
      is_real: What they should say.

    Returns:
      A scalar of either sign.
    """
    mean = tf.reduce_mean(logits)
    return -mean if is_real else mean


ADVERSARIAL_LOSSES: dict[str, Callable[[tf.Tensor, bool], tf.Tensor]] = {
    "least_squares": least_squares,
    "binary_cross_entropy": binary_cross_entropy,
}


def generator_loss(adversarial_loss: Callable, disc_fake: tf.Tensor) -> tf.Tensor:
    """How far a generator is from having its fakes taken for real.

    Args:
      adversarial_loss: A value of `ADVERSARIAL_LOSSES`.
      disc_fake: Logits of the fakes.

    Returns:
      A scalar.
    """
    return adversarial_loss(disc_fake, True)


def discriminator_loss(
    adversarial_loss: Callable, disc_real: tf.Tensor, disc_fake: tf.Tensor
) -> tf.Tensor:
    """How far a discriminator is from telling real from fake, halved (section 7.1).

    Args:
      adversarial_loss: A value of `ADVERSARIAL_LOSSES`.
      disc_real: Logits of real images.
      disc_fake: Logits of fakes.

    Returns:
      A scalar.
    """
    real = adversarial_loss(disc_real, True)
    fake = adversarial_loss(disc_fake, False)
    return 0.5 * (real + fake)


def cycle_loss(real: tf.Tensor, cycled: tf.Tensor, lambda_cycle: float) -> tf.Tensor:
    """lambda_cycle * mean(|real - cycled|) (equation 2).

    Args:
      real: Images in [-1, 1].
      cycled: The same images, there and back.
      lambda_cycle: Weight.

    Returns:
      A scalar.
    """
    return lambda_cycle * tf.reduce_mean(tf.abs(real - cycled))


def identity_loss(
    real: tf.Tensor, same: tf.Tensor, lambda_cycle: float, lambda_identity: float
) -> tf.Tensor:
    """lambda_cycle * lambda_identity * mean(|real - same|) (section 5.2).

    Args:
      real: Images in [-1, 1] of a generator's target domain.
      same: What that generator makes of them.
      lambda_cycle: Weight of the cycle loss.
      lambda_identity: Weight relative to it; the paper takes 0.5.

    Returns:
      A scalar.
    """
    return lambda_cycle * lambda_identity * tf.reduce_mean(tf.abs(real - same))


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
      A scalar, at least 0: mean of (norm - 1)**2, the norm of the gradient of the sum
      of a sample's scores.
    """
    shape = [real.shape[0]] + [1] * (real.shape.rank - 1)
    place = tf.random.stateless_uniform(shape, seed, dtype=real.dtype)
    between = fake + place * (real - fake)
    with tf.GradientTape() as tape:
        tape.watch(between)
        total = tf.reduce_sum(critic(between, training=True))
    gradient = tape.gradient(total, between)
    axes = list(range(1, real.shape.rank))
    # The root has no slope at 0, where a critic is flat.
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=axes) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1))
