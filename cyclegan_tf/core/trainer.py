"""Trains the networks of any model: Adam, replicas, loss scale, averages, state."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.compat import as_tf_variable
from cyclegan_tf.core.adam import Adam, ConstantThenLinearDecay, sum_over_replicas
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.core.loss_scale import LossScale
from cyclegan_tf.core.replicas import of_one_replica
from cyclegan_tf.core.state import State, average_of, state_of
from cyclegan_tf.messages import check_batch


class Trainer:
    """Owns the networks of a model and all that training changes.

    Args:
      options: `batch_size`, the betas, `seed` and, without `schedules`,
        `learning_rate` and `num_steps`.
      strategy: A tf.distribute strategy; the current one if None.
      build: Builds the networks, by name. The updates of the first one count the steps.
      step: Trains on a replica's part of a batch, by `update` or `apply`. Returns
        losses by name: scalars, each a mean over that part.
      updates: Updates of a network in a step, where that is not one.
      also: Networks that are saved but not trained, by name.
      schedules: The learning rate of each network as a function of its updates. None:
        constant for half of `num_steps`, then a linear decay.
      averages: Builds the networks that follow others, of the same names, as moving
        averages (Yazici et al., "The unusual effectiveness of averaging in GAN
        training", ICLR 2019). `options.average_decay` is their decay.
      more_state: Variables of the model's own for a checkpoint.

    Raises:
      UserError: the batch size is no multiple of the number of replicas.

    Attributes:
      networks: The trained networks by name.
      optimizers: Their Adam optimizers by name.
      also: The networks that are saved but not trained.
      averages: The moving averages by name.
      batch: Batch size of one replica.
      num_replicas: Replicas of all workers.
    """

    def __init__(
        self,
        options: BaseOptions,
        strategy: tf.distribute.Strategy | None,
        build: Callable[[], dict[str, keras.Model]],
        step: Callable,
        updates: Mapping[str, int] | None = None,
        also: Mapping[str, keras.Model] | None = None,
        schedules: Mapping[str, Callable] | None = None,
        averages: Callable[[], dict[str, keras.Model]] = dict,
        more_state: Callable[[], State] = dict,
    ):
        self.also, self._more_state = also or {}, more_state
        self.options, self._step, self._updates = options, step, updates or {}
        self.strategy = strategy or tf.distribute.get_strategy()
        self.num_replicas = self.strategy.num_replicas_in_sync
        check_batch(options.batch_size, self.num_replicas)
        self.batch = options.batch_size // self.num_replicas
        with self.strategy.scope(), computing_in("float32"):
            self.networks = build()
            self._schedules = schedules or {n: self.schedule(n) for n in self.networks}
            betas = options.beta_1, options.beta_2
            self.optimizers = {
                name: Adam(network.trainable_variables, self._schedules[name], *betas)
                for name, network in self.networks.items()
            }
            self.loss_scale = None
            if options.precision == "float16":
                self.loss_scale = LossScale()
            elif options.on_nonfinite == "skip":
                self.loss_scale = LossScale(initial=1.0, growth_steps=0)
            self.averages = averages()
        self.start_averages()
        self._first = next(iter(self.networks))

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.optimizers[self._first].iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """The first network's learning rate in the next step."""
        return float(self._schedules[self._first](self.step))

    def schedule(self, name: str) -> ConstantThenLinearDecay:
        """Constant for half of `num_steps`, then a linear decay."""
        options = self.options
        constant = options.num_steps // 2
        decay = options.num_steps - constant
        updates = self._updates.get(name, 1)
        return ConstantThenLinearDecay(options.learning_rate, constant, decay, updates)

    @tf.function(autograph=False)
    def train_step(self, *batch) -> dict[str, tf.Tensor]:
        """Runs the step on each replica.

        Args:
          *batch: Arguments of the step, as the strategy's datasets give them.

        Returns:
          Losses by name: scalars, each a mean over the whole batch.
        """
        with computing_in("float32"):
            losses = self.strategy.run(self._replica_step, args=batch)
        if self.averages:
            self._update_averages()
        losses = of_one_replica(losses, self.strategy)
        if self.loss_scale:
            losses["skipped_updates"] = tf.cast(self.loss_scale.skipped, tf.float32)
        return losses

    def _replica_step(self, *batch) -> dict[str, tf.Tensor]:
        return sum_over_replicas(self._share(self._step(*batch)))

    def gradients(
        self, tape: tf.GradientTape, loss: tf.Tensor, names: Iterable[str]
    ) -> dict[str, list[tf.Tensor]]:
        """Gradients of a loss for `update`: times the loss scale of float16.

        Args:
          tape: A persistent tape that recorded the loss.
          loss: A mean over the replica's part of the batch.
          names: The networks to differentiate by.

        Returns:
          A list for each network, in the order of its trainable variables.
        """
        trained = {name: self.networks[name].trainable_variables for name in names}
        scale = self.loss_scale and self.loss_scale.scale
        return tape.gradient(loss, trained, output_gradients=scale)

    def update(self, gradients: Mapping[str, Sequence[tf.Tensor]], losses) -> None:
        """Updates networks, in a replica's context.

        Args:
          gradients: For each network, the gradients of a mean over the replica's part
            of the batch, one for each of its trainable variables.
          losses: Tensors that must be finite, or the update is skipped (with
            `on_nonfinite skip` and float16).
        """
        gradients, finite = self._share(gradients), None
        if self.loss_scale:
            judged = {**gradients, "losses": tf.nest.flatten(losses)}
            gradients, finite = self.loss_scale.unscale(sum_over_replicas(judged))
            del gradients["losses"]
        else:
            gradients = sum_over_replicas(gradients)
        for name, of_network in gradients.items():
            self.optimizers[name].update(of_network, finite)

    def apply(self, name: str, gradients: Sequence[tf.Tensor], losses) -> None:
        """Updates one network; see `update`."""
        self.update({name: gradients}, losses)

    def _share(self, values):
        """Divides tensors by the number of replicas: their sum is then the mean."""
        if self.num_replicas == 1:
            return values
        return tf.nest.map_structure(lambda value: value / self.num_replicas, values)

    def seed(self, number: int) -> tf.Tensor:
        """A seed of this step and replica, an integer tensor [2].

        Args:
          number: Tells apart what is drawn in one step.
        """
        step = self.optimizers[self._first].iterations
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return step_seed(self.options.seed, step, number, replica)

    def start_averages(self) -> None:
        """Sets the averages to the weights of their networks."""
        for name, average in self.averages.items():
            average.set_weights(self.networks[name].get_weights())

    def _update_averages(self) -> None:
        """Moves averages to decay * average + (1 - decay) * weight."""
        step = self.optimizers[self._first].iterations
        decay = average_decay_at(step, self.options.average_decay)

        def move(average, weight):
            tf.raw_ops.ResourceApplyGradientDescent(
                var=average.handle,
                alpha=tf.cast(1 - decay, average.dtype),
                delta=average - weight,
            )

        for name, network in self.averages.items():
            pairs = zip(network.weights, self.networks[name].weights, strict=True)
            for average, weight in pairs:
                self.strategy.extended.update(
                    as_tf_variable(average), move, args=(as_tf_variable(weight),)
                )

    def state(self) -> State:
        """All variables that training changes, by group and name, for a checkpoint."""
        averages = {average_of(name): net for name, net in self.averages.items()}
        adams = {name: adam.variables for name, adam in self.optimizers.items()}
        state = state_of({**self.networks, **self.also, **averages}, adams)
        state |= self.loss_scale.state() if self.loss_scale else {}
        return state | self._more_state()


def average_decay_at(step: tf.Tensor, decay: float) -> tf.Tensor:
    """min(decay, step / (9 + step)): averages forget their start sooner.

    Args:
      step: Steps so far, with this one, an integer scalar.
      decay: In [0, 1).

    Returns:
      A float64 scalar.
    """
    step = tf.cast(step, tf.float64)
    return tf.minimum(tf.constant(decay, tf.float64), step / (9 + step))


def step_seed(seed: int, step: tf.Tensor, *numbers) -> tf.Tensor:
    """A seed for a draw, an integer tensor [2].

    Args:
      seed: The run's seed.
      step: The step, an integer scalar.
      *numbers: Integers that tell the draws of one step apart.
    """
    mixed = tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])
    for number in numbers:
        mixed = tf.random.fold_in(mixed, number)
    return mixed
