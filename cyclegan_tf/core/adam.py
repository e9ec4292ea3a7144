"""Adam as its paper and PyTorch have it."""

from collections.abc import Callable, Iterable, Sequence

import keras
import tensorflow as tf

from cyclegan_tf.compat import as_tf_variable, path_of
from cyclegan_tf.config import Config


class Adam:
    """Adam with epsilon where the paper adds it (arXiv 1412.6980, algorithm 1).

    Keras adds epsilon before it corrects the bias of the second moment, which makes it
    1 / sqrt(1 - beta_2**t) times as large at step t: 32 times at first. Ten steps of a
    training are then 1e-2 away from PyTorch's, even in float64.

    TensorFlow's kernel updates a variable and its moments in one operation. It adds
    epsilon where Keras does, so it gets epsilon * sqrt(1 - beta_2**t), and a rate with
    the bias corrections, computed in float64.

    Args:
      variables: The variables to train, created under the current strategy.
      learning_rate: Maps the step, counted from 0, to the rate.
      beta_1: Decay of the first moment.
      beta_2: Decay of the second moment.
      epsilon: Added to the root of the corrected second moment; 1e-8 as in
        PyTorch; Keras has 1e-7.

    Attributes:
      iterations: Updates so far, int64.
    """

    def __init__(
        self,
        variables: Sequence["keras.Variable"],
        learning_rate: Callable,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ):
        self._learning_rate = learning_rate
        self._betas, self._epsilon = (beta_1, beta_2), epsilon
        self._trained = [as_tf_variable(variable) for variable in variables]
        self.iterations = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name="iteration",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._moments = [
            [
                tf.Variable(
                    tf.zeros_like(trained),
                    trainable=False,
                    name=f"{path_of(variable).replace('/', '_')}_{moment}",
                )
                for moment in ("momentum", "velocity")
            ]
            for variable, trained in zip(variables, self._trained, strict=True)
        ]

    @property
    def variables(self) -> list[tf.Variable]:
        """The step and, for each trained variable, its two moments."""
        return [self.iterations, *(m for pair in self._moments for m in pair)]

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Updates the variables, in a replica's context.

        Args:
          gradients: One for each variable, in order; summed over the replicas here.
        """
        self.update(sum_over_replicas(gradients))

    def update(
        self, gradients: Sequence[tf.Tensor], finite: tf.Tensor | None = None
    ) -> None:
        """Like `apply`, for gradients that are already summed.

        Args:
          gradients: One for each variable, by `sum_over_replicas`.
          finite: Whether to update, a boolean scalar; None: always. A skipped update
            changes no variable and no moment, given gradients of 0, but counts as a
            step: rates and data continue.
        """
        beta_1, beta_2 = (tf.constant(b, tf.float64) for b in self._betas)
        step = tf.cast(self.iterations, tf.float64) + 1
        correction_1 = 1 - beta_1**step
        correction_2 = tf.sqrt(1 - beta_2**step)
        rate = tf.cast(self._learning_rate(self.iterations), tf.float64)
        rate, epsilon = rate * correction_2 / correction_1, self._epsilon * correction_2
        if finite is not None:
            rate = tf.where(finite, rate, 0)
            beta_1, beta_2 = (tf.where(finite, beta, 1) for beta in (beta_1, beta_2))
        for variable, (m, v), gradient in zip(
            self._trained, self._moments, gradients, strict=True
        ):
            dtype = variable.dtype
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=tf.zeros((), dtype),
                beta2_power=tf.zeros((), dtype),
                lr=tf.cast(rate, dtype),
                beta1=tf.cast(beta_1, dtype),
                beta2=tf.cast(beta_2, dtype),
                epsilon=tf.cast(epsilon, dtype),
                grad=gradient,
            )
        self.iterations.assign_add(1)


def sum_over_replicas(gradients):
    """Sums gradients over the replicas, in a replica's context.

    Args:
      gradients: Tensors in lists or dictionaries.

    Returns:
      The same structure, equal on all replicas.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return gradients
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


class ConstantThenLinearDecay:
    """`learning_rate` times 1 - max(0, e - num_epochs) / (num_decay_epochs + 1).

    e is the epoch, from 1. The rate changes once per epoch and never reaches 0, as in
    the official code. It depends only on the optimizer's step, so a resumed run has the
    right rate.

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
        # Beyond the schedule the last rate stays.
        late = tf.clip_by_value(epoch - self.num_epochs, 0, self.num_decay_epochs)
        factor = 1.0 - tf.cast(late, tf.float32) / (self.num_decay_epochs + 1)
        return self.learning_rate * factor


def schedules_of(
    config: Config,
    generators: Iterable[str],
    discriminators: Iterable[str],
    steps_per_epoch: int,
) -> dict[str, ConstantThenLinearDecay]:
    """Makes the learning rate schedule of each network.

    Args:
      config: Rates and epochs, or `num_steps`, of which the first half is constant.
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
