"""Dynamic loss scaling: float16 gradients must not vanish or overflow.

Micikevicius et al. (arXiv 1710.03740), by the rule of PyTorch's GradScaler. With a
constant scale of 1 it only skips updates that are not finite, in any precision.
"""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from cyclegan_tf.core.state import State

Gradients = Mapping[str, Sequence[tf.Tensor]]


class LossScale:
    """A factor for the losses in the backward pass; gradients are divided by it.

    Args:
      initial: The scale at first.
      growth_steps: The scale doubles after this many updates without an overflow; 0:
        never. It halves after each overflow, down to 1.

    Attributes:
      scale: Float32 scalar.
      good: Updates since the last change, int64 scalar.
      skipped: Updates skipped so far, int64 scalar.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000):
        self._growth_steps = growth_steps
        self.scale = _variable(tf.constant(initial, tf.float32), "scale")
        self.good = _variable(tf.constant(0, tf.int64), "good")
        self.skipped = _variable(tf.constant(0, tf.int64), "skipped")

    def state(self) -> State:
        """Its variables for a checkpoint; none if the scale is constant."""
        if not self._growth_steps:
            return {}
        variables = {"scale": self.scale, "good": self.good, "skipped": self.skipped}
        return {"loss_scale": variables}

    def unscale(self, gradients: Gradients) -> tuple[Gradients, tf.Tensor]:
        """Divides gradients by the scale and updates the scale, in a replica's context.

        Args:
          gradients: Lists by network, summed over the replicas, so an overflow of one
            replica shows on all.

        Returns:
          The gradients, all zeros if any is not finite, and whether all are, a boolean
          scalar.
        """
        finite = tf.reduce_all(
            [
                tf.reduce_all(tf.math.is_finite(gradient))
                for of_network in gradients.values()
                for gradient in of_network
            ]
        )
        unscaled = {
            name: [
                tf.where(finite, g / tf.cast(self.scale, g.dtype), tf.zeros_like(g))
                for g in of_network
            ]
            for name, of_network in gradients.items()
        }
        good = tf.where(finite, self.good + 1, 0)
        grows = good >= (self._growth_steps or good.dtype.max)
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        self.scale.assign(tf.maximum(1.0, self.scale * factor))
        self.good.assign(tf.where(grows, tf.zeros_like(good), good))
        self.skipped.assign_add(tf.cast(tf.logical_not(finite), tf.int64))
        return unscaled, finite


def _variable(value: tf.Tensor, name: str) -> tf.Variable:
    return tf.Variable(
        value,
        trainable=False,
        name=f"loss_scale_{name}",
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
