"""Networks with their Adams, and the step that trains them on all replicas.

What the models beside CycleGAN share, and what the training loop asks of each.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from cyclegan_tf.learning.adam import make_optimizers, sum_over_replicas
from cyclegan_tf.learning.image_pool import step_seed
from cyclegan_tf.learning.loss_scale import loss_scale_of, update
from cyclegan_tf.learning.replicas import of_one_replica
from cyclegan_tf.learning.schedules import ConstantThenLinearDecay
from cyclegan_tf.learning.state import State, state_of
from cyclegan_tf.options import FamilyOptions
from cyclegan_tf.validation import check_batch


class Trained:
    """Networks in training: their optimizers, rates, steps and state.

    The learning rate is constant for half of `num_steps` and then falls linearly.

    Args:
      options: `num_steps`, `batch_size`, `learning_rate`, the betas and `seed`.
      strategy: A tf.distribute strategy; the current one if None.
      build: Makes the networks by name; the first one's updates count the steps.
      step: Trains on a replica's part of a batch and gives losses by name, scalars,
        each a mean over that part.
      updates: How often a step updates a network, where that is not once.
      also: Networks that are saved and not trained, by name.

    Raises:
      UserError: the batch does not divide by the strategy's replicas.

    Attributes:
      networks: The networks by name.
      optimizers: The Adam of each.
      also: The networks that are not trained.
      batch: Samples of a replica's part of a batch.
    """

    def __init__(
        self,
        options: FamilyOptions,
        strategy: tf.distribute.Strategy | None,
        build: Callable[[], dict[str, keras.Model]],
        step: Callable,
        updates: Mapping[str, int] | None = None,
        also: Mapping[str, keras.Model] | None = None,
    ):
        self.also = also or {}
        self._options, self._step, self._updates = options, step, updates or {}
        self.strategy = strategy or tf.distribute.get_strategy()
        replicas = self.strategy.num_replicas_in_sync
        check_batch(options.batch_size, replicas)
        self.batch = options.batch_size // replicas
        with self.strategy.scope():
            self.networks = build()
            rates = {name: self.schedule(name) for name in self.networks}
            betas = options.beta_1, options.beta_2
            self.optimizers = make_optimizers(self.networks, rates, *betas)
            self._loss_scale = loss_scale_of(options)
        self._first = next(iter(self.networks))

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.optimizers[self._first].iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """The first network's learning rate in the next step."""
        return float(self.schedule(self._first)(self.step))

    def schedule(self, name: str) -> ConstantThenLinearDecay:
        """The learning rate of a network's updates."""
        options = self._options
        constant = options.num_steps // 2
        decay = options.num_steps - constant
        updates = self._updates.get(name, 1)
        return ConstantThenLinearDecay(options.learning_rate, constant, decay, updates)

    @tf.function(autograph=False)
    def train_step(self, *batch) -> dict[str, tf.Tensor]:
        """Runs the step on every replica.

        Args:
          *batch: What the step takes, as the strategy's datasets give it; nothing if it
            draws its data itself.

        Returns:
          The losses by name, scalars, means over the whole batch.
        """
        losses = self.strategy.run(self._replica_step, args=batch)
        losses = of_one_replica(losses, self.strategy)
        if self._loss_scale:
            losses["skipped_updates"] = tf.cast(self._loss_scale.skipped, tf.float32)
        return losses

    def _replica_step(self, *batch) -> dict[str, tf.Tensor]:
        losses = sum_over_replicas(self._step(*batch))
        replicas = self.strategy.num_replicas_in_sync
        return {name: loss / replicas for name, loss in losses.items()}

    def apply(self, name: str, gradients: Sequence[tf.Tensor], losses) -> None:
        """Updates a network, in a replica's context.

        Args:
          name: The network's.
          gradients: Of a mean over the replica's part of the batch, one for each of its
            trainable variables.
          losses: What they are gradients of: a tensor, or tensors by name.
        """
        replicas = self.strategy.num_replicas_in_sync
        parts = {name: [gradient / replicas for gradient in gradients]}
        update(self.optimizers, parts, losses, self._loss_scale)

    def seed(self, number: int) -> tf.Tensor:
        """A seed of this step and replica, an integer tensor [2].

        Args:
          number: Tells apart what is drawn in one step.
        """
        step = self.optimizers[self._first].iterations
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return step_seed(self._options.seed, step, number, replica)

    def state(self) -> State:
        """Everything that training changes, by group and name, for a checkpoint."""
        adams = {name: adam.variables for name, adam in self.optimizers.items()}
        return state_of({**self.networks, **self.also}, adams, pools={})
