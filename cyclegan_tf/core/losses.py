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
      is_real: Whether the logits are of real images.

    Returns:
      A scalar, at least 0.
    """
    return tf.reduce_mean(tf.square(logits - float(is_real)))


def binary_cross_entropy(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
    """-mean(log(p)) for real, -mean(log(1 - p)) for fake, p = sigmoid(logits).

    Args:
      logits: Float tensor of any shape.
      is_real: Whether the logits are of real images.

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
      is_real: Whether the scores are of real images.

    Returns:
      A scalar of either sign.
    """
    mean = tf.reduce_mean(logits)
    return -mean if is_real else mean


def hinge(logits: tf.Tensor, is_real: bool) -> tf.Tensor:
    """mean(max(0, 1 - logits)) for real, mean(max(0, 1 + logits)) for fake.

    (arXiv 1705.02894.) For discriminators; generators then use `wasserstein`.

    Args:
      logits: Float tensor of any shape.
      is_real: Whether the logits are of real images.

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
    """The adversarial loss of a generator: low if its fakes look real.

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
    """The loss of a discriminator: low if it separates real images from fakes.

    It is halved (section 7.1), except for `hinge` and `wasserstein`, whose papers do
    not halve it.

    Args:
      adversarial_loss: A value of `ADVERSARIAL_LOSSES`.
      disc_real: Logits of real images: a map, or a list of maps.
      disc_fake: Logits of fakes, of the same form.

    Returns:
      A scalar.
    """
    real = _mean_over_maps(adversarial_loss, disc_real, True)
    fake = _mean_over_maps(adversarial_loss, disc_fake, False)
    return (1.0 if adversarial_loss in (hinge, wasserstein) else 0.5) * (real + fake)


def _mean_over_maps(adversarial_loss: Callable, logits, is_real: bool) -> tf.Tensor:
    """The loss of a map of logits, or the mean over several maps."""
    found = [adversarial_loss(part, is_real) for part in tf.nest.flatten(logits)]
    return tf.add_n(found) / len(found) if len(found) > 1 else found[0]


def range_loss(images: tf.Tensor, lambda_range: float) -> tf.Tensor:
    """lambda_range * mean(max(0, |images| - 1)**2), 0 inside [-1, 1].

    Args:
      images: Training outputs of a generator with a `linear` output.
      lambda_range: Weight.

    Returns:
      A scalar, at least 0.
    """
    outside = tf.nn.relu(tf.abs(images) - 1)
    return lambda_range * tf.reduce_mean(tf.square(outside))


def cycle_loss(
    real: tf.Tensor, cycled: tf.Tensor, lambda_cycle: float, pooling: int = 1
) -> tf.Tensor:
    """lambda_cycle * mean(|real - cycled|) (equation 2).

    Args:
      real: Images in [-1, 1].
      cycled: The same images after both generators.
      lambda_cycle: Weight.
      pooling: Compares means over squares of this side in pixels. Above 1 (not in the
        paper) a horse need not hide the stripes that it had as a zebra: they would be
        hidden in grain and checks.

    Returns:
      A scalar.
    """
    change = real - cycled
    if pooling > 1:
        change = tf.nn.avg_pool2d(change, pooling, pooling, "SAME")
    return lambda_cycle * tf.reduce_mean(tf.abs(change))


def identity_loss(
    real: tf.Tensor, same: tf.Tensor, lambda_cycle: float, lambda_identity: float
) -> tf.Tensor:
    """lambda_cycle * lambda_identity * mean(|real - same|) (section 5.2).

    Args:
      real: Images in [-1, 1] of a generator's target domain.
      same: That generator's outputs for them.
      lambda_cycle: Weight of the cycle loss.
      lambda_identity: Weight relative to it; the paper takes 0.5.

    Returns:
      A scalar.
    """
    return lambda_cycle * lambda_identity * tf.reduce_mean(tf.abs(real - same))


def total(*losses: tf.Tensor) -> tf.Tensor:
    """Adds scalars in a fixed order.

    TensorFlow turns a + b + c into an AddN, whose order depends on timing, so the last
    bit could differ from run to run.
    """
    return tf.reduce_sum(tf.stack(losses))
