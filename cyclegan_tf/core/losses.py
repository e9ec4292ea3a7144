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


def hinge(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
    """mean(max(0, 1 - logits)) for real, mean(max(0, 1 + logits)) for fake.

    (arXiv 1705.02894.) A discriminator's loss: generators learn by `wasserstein`.

    Args:
      logits: Float tensor of any shape.
      is_real: What the discriminator should have said.

    Returns:
      A scalar, at least 0.
    """
    return tf.reduce_mean(tf.nn.relu(1 - logits if is_real else 1 + logits))


ADVERSARIAL_LOSSES: dict[str, Callable[[tf.Tensor, bool], tf.Tensor]] = {
    "least_squares": least_squares,
    "binary_cross_entropy": binary_cross_entropy,
    "hinge": hinge,
    "wgan_gp": wasserstein,
}


def generator_loss(adversarial_loss: Callable, disc_fake: tf.Tensor) -> tf.Tensor:
    """How far a generator is from having its fakes taken for real.

    Args:
      adversarial_loss: A value of `ADVERSARIAL_LOSSES`.
      disc_fake: Logits of the fakes: a map, or a list of maps.

    Returns:
      A scalar.
    """
    loss = wasserstein if adversarial_loss is hinge else adversarial_loss
    return _mean_over_maps(loss, disc_fake, True)


def discriminator_loss(
    adversarial_loss: Callable, disc_real: tf.Tensor, disc_fake: tf.Tensor
) -> tf.Tensor:
    """How far a discriminator is from telling real from fake.

    Halved as CycleGAN's is (section 7.1), but for `hinge` and `wasserstein`, which are
    as their own papers have them.

    Args:
      adversarial_loss: A value of `ADVERSARIAL_LOSSES`.
      disc_real: Logits of real images: a map, or a list of maps.
      disc_fake: Logits of fakes, alike.

    Returns:
      A scalar.
    """
    real = _mean_over_maps(adversarial_loss, disc_real, True)
    fake = _mean_over_maps(adversarial_loss, disc_fake, False)
    return (1.0 if adversarial_loss in (hinge, wasserstein) else 0.5) * (real + fake)


def _mean_over_maps(adversarial_loss: Callable, logits, is_real: bool) -> tf.Tensor:
    """A loss of one map of logits, or its mean over the maps of several heads."""
    found = [adversarial_loss(part, is_real) for part in tf.nest.flatten(logits)]
    return tf.add_n(found) / len(found) if len(found) > 1 else found[0]


def range_loss(images: tf.Tensor, lambda_range: float) -> tf.Tensor:
    """lambda_range * mean(max(0, |images| - 1)**2): what lies outside of [-1, 1].

    Args:
      images: What a generator with a `linear` output makes in training.
      lambda_range: Weight.

    Returns:
      A scalar, at least 0.
    """
    outside = tf.nn.relu(tf.abs(images) - 1)
    return lambda_range * tf.reduce_mean(tf.square(outside))


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


def total(*losses: tf.Tensor) -> tf.Tensor:
    """Adds scalars, always in the same order.

    TensorFlow's optimizer makes an AddN of a + b + c, which begins with whatever is
    ready to be overwritten: a last bit would change from run to run.
    """
    return tf.reduce_sum(tf.stack(losses))
