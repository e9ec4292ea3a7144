"""The learning rate: constant, then linear decay (arXiv 1703.10593, section 4)."""

from collections.abc import Iterable

import tensorflow as tf

from cyclegan_tf.config import Config


class ConstantThenLinearDecay:
    """`learning_rate` times 1 - max(0, e - num_epochs) / (num_decay_epochs + 1).

    e is the epoch, from 1, so the rate changes once an epoch and never reaches 0, as in
    the official code. A function of the optimizer's step: a resumed run needs nothing
    else to go on with the right rate.

    Args:
      learning_rate: Rate of the constant part.
      num_epochs: Epochs of the constant part.
      num_decay_epochs: Epochs of the decay.
      steps_per_epoch: Steps in an epoch.
    """

    def __init__(
        self,
        learning_rate: float,
        num_epochs: int,
        num_decay_epochs: int,
        steps_per_epoch: int,
    ):
        self.learning_rate = learning_rate
        self.num_epochs = num_epochs
        self.num_decay_epochs = num_decay_epochs
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step) -> tf.Tensor:
        """The rate of a step, counted from 0."""
        epoch = tf.cast(step, tf.int64) // self.steps_per_epoch + 1
        # A run that goes beyond its schedule keeps the last rate.
        late = tf.clip_by_value(epoch - self.num_epochs, 0, self.num_decay_epochs)
        factor = 1.0 - tf.cast(late, tf.float32) / (self.num_decay_epochs + 1)
        return self.learning_rate * factor


def schedules_of(
    config: Config,
    generators: Iterable[str],
    discriminators: Iterable[str],
    steps_per_epoch: int,
) -> dict[str, ConstantThenLinearDecay]:
    """The schedule of each network's optimizer.

    Args:
      config: Rates, and epochs; or `num_steps`, half of them constant.
      generators: Names.
      discriminators: Names.
      steps_per_epoch: Steps in an epoch.
    """
    length = config.num_epochs, config.num_decay_epochs, steps_per_epoch
    if config.num_steps:
        constant = config.num_steps // 2
        length = constant, config.num_steps - constant, 1
    rate = config.discriminator_learning_rate or config.learning_rate
    rates = dict.fromkeys(generators, config.learning_rate)
    rates |= dict.fromkeys(discriminators, rate)
    return {name: ConstantThenLinearDecay(r, *length) for name, r in rates.items()}
