"""Dynamic loss scaling: gradients of float16, kept from vanishing and overflowing.

Micikevicius et al. (arXiv 1710.03740), by the rule of PyTorch's GradScaler, with which
the documents' PyTorch project trains. With a scale that stays 1 it leaves out updates
that are not finite, whatever the precision.
"""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.core.adam import Adam, sum_over_replicas
from cyclegan_tf.core.state import State

Gradients = Mapping[str, Sequence[tf.Tensor]]


class LossScale:
    """What losses are multiplied by in the backward pass, and gradients divided by.

    Args:
      initial: The scale at first.
      growth_steps: Updates in a row without an overflow after which it doubles; 0:
        never. After each overflow it halves, to 1 at the least.

    Attributes:
      scale: Float32 scalar.
      good: Updates since it changed last, int64 scalar.
      skipped: Updates that overflowed so far, int64 scalar.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000):
        self._growth_steps = growth_steps
        self.scale = _variable(tf.constant(initial, tf.float32), "scale")
        self.good = _variable(tf.constant(0, tf.int64), "good")
        self.skipped = _variable(tf.constant(0, tf.int64), "skipped")

    def state(self) -> State:
        """What a checkpoint holds of it: nothing if the scale can't grow."""
        if not self._growth_steps:
            return {}
        variables = {"scale": self.scale, "good": self.good, "skipped": self.skipped}
        return {"loss_scale": variables}

    def unscale(self, gradients: Gradients) -> tuple[Gradients, tf.Tensor]:
        """Divides gradients by the scale, and moves it, in a replica's context.

        Args:
          gradients: Lists by network, summed over the replicas: one replica's overflow
            is then everybody's.

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


def loss_scale_of(config: BaseOptions) -> LossScale | None:
    """What a configuration needs: a scale for float16, one of 1 to skip updates."""
    if config.precision == "float16":
        return LossScale()
    skips = config.on_nonfinite == "skip"
    return LossScale(initial=1.0, growth_steps=0) if skips else None


def update(
    optimizers: Mapping[str, Adam],
    gradients: Gradients,
    losses: tf.Tensor | Mapping[str, tf.Tensor],
    loss_scale: LossScale | None,
) -> None:
    """Updates networks, in a replica's context.

    Args:
      optimizers: Of these networks and perhaps others, by name.
      gradients: Lists by network; summed over the replicas here, all at once.
      losses: What they are gradients of.
      loss_scale: What they were multiplied by, nothing if None. If any of them, or of
        the losses, is not finite then, no network changes.
    """
    finite = None
    if loss_scale:
        judged = {**gradients, "losses": tf.nest.flatten(losses)}
        gradients, finite = loss_scale.unscale(sum_over_replicas(judged))
        del gradients["losses"]
    else:
        gradients = sum_over_replicas(gradients)
    for name, of_network in gradients.items():
        optimizers[name].update(of_network, finite)


def _variable(value: tf.Tensor, name: str) -> tf.Variable:
    return tf.Variable(
        value,
        trainable=False,
        name=f"loss_scale_{name}",
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
