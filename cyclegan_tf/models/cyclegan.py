"""CycleGAN: two generators, two discriminators, and the step that trains them.

X is domain A (horses), Y is domain B (zebras). `generator_g` maps X to Y, `generator_f`
Y to X; `discriminator_x` judges X, `discriminator_y` judges Y (arXiv 1703.10593,
section 3). Names of networks, images and losses are those of the TensorFlow tutorial.
"""

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.learning import averages
from cyclegan_tf.learning.adam import make_optimizers, sum_over_replicas
from cyclegan_tf.learning.image_pool import gather_pools, make_pools, step_seed
from cyclegan_tf.learning.loss_scale import loss_scale_of, update
from cyclegan_tf.learning.losses import (
    ADVERSARIAL_LOSSES,
    cycle_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
    range_loss,
    total,
)
from cyclegan_tf.learning.penalties import interpolation_penalty
from cyclegan_tf.learning.replicas import of_one_replica
from cyclegan_tf.learning.schedules import schedules_of
from cyclegan_tf.learning.state import State, state_of
from cyclegan_tf.networks.discriminators import DISCRIMINATORS, features_of, on_images
from cyclegan_tf.networks.generators import GENERATORS
from cyclegan_tf.networks.precision import computing_in
from cyclegan_tf.networks.recomputing import recomputing
from cyclegan_tf.validation import check_batch

NETWORKS = ("generator_g", "generator_f", "discriminator_x", "discriminator_y")
GENERATOR_NAMES, DISCRIMINATOR_NAMES = NETWORKS[:2], NETWORKS[2:]


class CycleGAN:
    """Networks, optimizers and image pools of one training, and its step.

    Args:
      config: What to build and how to train it.
      steps_per_epoch: Steps in an epoch, for the learning rate.
      strategy: A tf.distribute strategy; the current one if None.

    Raises:
      UserError: the batch does not divide by the strategy's replicas, or there are no
        weights for the network that `projected` discriminators stand on.
    """

    def __init__(
        self,
        config: Config,
        steps_per_epoch: int,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.config = config
        self.strategy = strategy or tf.distribute.get_strategy()
        self.num_replicas = self.strategy.num_replicas_in_sync
        check_batch(config.batch_size, self.num_replicas)
        self._adversarial_loss = ADVERSARIAL_LOSSES[config.adversarial_loss]
        self._schedules = schedules_of(
            config, GENERATOR_NAMES, DISCRIMINATOR_NAMES, steps_per_epoch
        )
        with self.strategy.scope():
            with computing_in(config.precision):
                self.generator_g = build_network(config, "generator_g")
                self.generator_f = build_network(config, "generator_f")
                self.discriminator_x = build_network(config, "discriminator_x")
                self.discriminator_y = build_network(config, "discriminator_y")
                self._features = features_of(config)
            self.optimizers = make_optimizers(
                self.networks, self._schedules, config.beta_1, config.beta_2
            )
            self._loss_scale = loss_scale_of(config)
            names = GENERATOR_NAMES if config.average_decay else ()
            self._averages = {name: build_network(config, name) for name in names}
        discriminators = self.discriminator_x, self.discriminator_y
        self.judges = [on_images(d, self._features) for d in discriminators]
        self.start_averages()
        self._generators = self.generator_g, self.generator_f
        if config.recompute:
            self._generators = [recomputing(network) for network in self._generators]
        self._compute = self.compute_gradients
        if config.jit_compile:
            self._compute = tf.function(
                self._compute, autograph=False, jit_compile=True
            )
        size = config.image_size, config.image_size, 3
        self.pools_x = make_pools(config.pool_size, size, self.strategy)
        self.pools_y = make_pools(config.pool_size, size, self.strategy)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The four networks by name."""
        return {name: getattr(self, name) for name in NETWORKS}

    @property
    def shown_generators(self) -> dict[str, keras.Model]:
        """The generators that pictures are made with: averages, if there are any."""
        return {
            name: self._averages.get(name, getattr(self, name))
            for name in GENERATOR_NAMES
        }

    def start_averages(self) -> None:
        """Makes the averages equal to the generators, if there are any."""
        averages.start(self._averages, self.networks)

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.optimizers["generator_g"].iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """The generators' learning rate in the next step."""
        return float(self._schedules["generator_g"](self.step))

    @tf.function(autograph=False)
    def train_step(
        self, real_x: tf.Tensor, real_y: tf.Tensor, identity: bool = True
    ) -> dict[str, tf.Tensor]:
        """Trains the four networks on one batch of each domain.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1]; with
            several replicas each one's part, as the strategy's datasets give them.
          real_y: As many images of Y.
          identity: Whether this step has an identity loss; see `identity_every_steps`.

        Returns:
          The losses by name, scalars, means over the whole batch.
        """
        losses = self.strategy.run(self._replica_step, args=(real_x, real_y, identity))
        if self._averages:
            step = self.optimizers["generator_g"].iterations
            decay = averages.decay_at(step, self.config.average_decay)
            averages.update(self._averages, self.networks, decay, self.strategy)
        losses = of_one_replica(losses, self.strategy)
        if self._loss_scale:
            losses["skipped_updates"] = tf.cast(self._loss_scale.skipped, tf.float32)
        return losses

    def _replica_step(self, real_x, real_y, identity):
        losses, gradients = self._compute(real_x, real_y, identity)
        update(self.optimizers, gradients, losses, self._loss_scale)
        return sum_over_replicas(losses)

    def compute_gradients(
        self, real_x: tf.Tensor, real_y: tf.Tensor, identity: bool = True
    ):
        """The losses of a batch and the gradients of the four networks.

        One backward pass serves both generators: their total losses share the cycle
        loss and have nothing else in common, so the gradient of their sum, the cycle
        loss counted once, is the right one for each. So it does for the discriminators.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1].
          real_y: As many images of Y.
          identity: Whether there is an identity loss.

        Returns:
          Losses by name, and lists of gradients by network in the order of its
          trainable variables; both divided by the number of replicas, so that their
          sum over the replicas is the mean over the whole batch. Gradients are
          multiplied by the loss scale of float16.
        """
        scale = self._loss_scale and self._loss_scale.scale
        with tf.GradientTape(persistent=True) as tape:
            losses = self._losses(real_x, real_y, identity)
            losses = {k: loss / self.num_replicas for k, loss in losses.items()}
            generators_loss = (
                losses["total_gen_g_loss"]
                + losses["total_gen_f_loss"]
                - losses["total_cycle_loss"]
            )
            discriminators_loss = losses["disc_x_loss"] + losses["disc_y_loss"]
        gradients = {}
        for loss, group in (
            (generators_loss, GENERATOR_NAMES),
            (discriminators_loss, DISCRIMINATOR_NAMES),
        ):
            trained = {k: self.networks[k].trainable_variables for k in group}
            gradients |= tape.gradient(loss, trained, output_gradients=scale)
        return losses, gradients

    def _losses(self, real_x, real_y, identity: bool) -> dict[str, tf.Tensor]:
        """The tutorial's losses of a batch, by its names.

        A generator maps its source and its target images in one call, which changes
        nothing: instance norm treats each image for itself.
        """
        adversarial, config = self._adversarial_loss, self.config
        identity = identity and config.lambda_identity > 0
        generator_g, generator_f = self._generators
        fake_y, same_y = _fake_and_same(generator_g, real_x, real_y, identity)
        fake_x, same_x = _fake_and_same(generator_f, real_y, real_x, identity)
        cycled_x = generator_f(fake_y, training=True)
        cycled_y = generator_g(fake_x, training=True)

        judge_x, judge_y = self.judges
        disc_real_x, disc_fake_x, disc_pool_x = self._judge(
            judge_x, real_x, fake_x, self.pools_x, 0
        )
        disc_real_y, disc_fake_y, disc_pool_y = self._judge(
            judge_y, real_y, fake_y, self.pools_y, 1
        )

        gen_g_loss = generator_loss(adversarial, disc_fake_y)
        gen_f_loss = generator_loss(adversarial, disc_fake_x)
        cycle_x_loss = cycle_loss(real_x, cycled_x, config.lambda_cycle)
        cycle_y_loss = cycle_loss(real_y, cycled_y, config.lambda_cycle)
        total_cycle_loss = cycle_x_loss + cycle_y_loss
        range_g_loss = range_loss(fake_y, config.lambda_range)
        range_f_loss = range_loss(fake_x, config.lambda_range)
        identity_g_loss = identity_f_loss = tf.zeros_like(gen_g_loss)
        if identity:
            lambda_identity = config.lambda_identity * config.identity_every_steps
            weights = config.lambda_cycle, lambda_identity
            identity_g_loss = identity_loss(real_y, same_y, *weights)
            identity_f_loss = identity_loss(real_x, same_x, *weights)
        return {
            "gen_g_loss": gen_g_loss,
            "gen_f_loss": gen_f_loss,
            "total_cycle_loss": total_cycle_loss,
            "identity_g_loss": identity_g_loss,
            "identity_f_loss": identity_f_loss,
            "total_gen_g_loss": total(
                gen_g_loss, total_cycle_loss, identity_g_loss, range_g_loss
            ),
            "total_gen_f_loss": total(
                gen_f_loss, total_cycle_loss, identity_f_loss, range_f_loss
            ),
            "disc_x_loss": discriminator_loss(adversarial, disc_real_x, disc_pool_x)
            + self._penalty(judge_x, real_x, fake_x, 2),
            "disc_y_loss": discriminator_loss(adversarial, disc_real_y, disc_pool_y)
            + self._penalty(judge_y, real_y, fake_y, 3),
        }

    def _judge(self, discriminator, real, fake, pools, domain: int):
        """Logits of real images, of fakes, and of the fakes that it learns from itself.

        Generators learn by the fakes alone, so these have a call of their own: what
        is in a call goes through all of its backward passes.
        """
        disc_fake = discriminator(fake, training=True)
        if not pools:
            return discriminator(real, training=True), disc_fake, disc_fake
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        pool = pools[tf.get_static_value(replica)]
        shown = pool.query(tf.stop_gradient(fake), self._seed(domain))
        both = discriminator(tf.concat([real, shown], axis=0), training=True)
        parts = [tf.split(logits, 2) for logits in tf.nest.flatten(both)]
        disc_real, disc_pool = zip(*parts, strict=True)
        return disc_real, disc_fake, disc_pool

    def _penalty(self, discriminator, real, fake, number: int):
        """What `wgan_gp` adds to a critic's loss."""
        if self.config.adversarial_loss != "wgan_gp":
            return tf.zeros((), real.dtype)
        fake, seed = tf.stop_gradient(fake), self._seed(number)
        steep = interpolation_penalty(discriminator, real, fake, seed)
        return self.config.lambda_gradient * steep

    def _seed(self, number: int) -> tf.Tensor:
        """Seed of what is drawn in an update: 0, 1 for pools, 2, 3 for penalties."""
        updates = self.optimizers["discriminator_x"].iterations
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return step_seed(self.config.seed, updates, number, replica)

    def state(self) -> State:
        """Everything that training changes, by group and name, for a checkpoint."""
        pools = {"x": self.pools_x, "y": self.pools_y}
        gather_pools([*pools.values()], self.strategy)
        averaged = {averages.saved_as(k): v for k, v in self._averages.items()}
        optimizers = {name: adam.variables for name, adam in self.optimizers.items()}
        state = state_of(self.networks | averaged, optimizers, pools)
        if self._features:
            # Frozen weights are not saved, but named: a run goes on with the same ones.
            state["features"] = {self._features.name: tf.Variable(0, trainable=False)}
        return state | (self._loss_scale.state() if self._loss_scale else {})


def _fake_and_same(generator, source, target, identity: bool):
    """A generator on images of both domains; `same` is None without its loss."""
    if not identity:
        return generator(source, training=True), None
    both = generator(tf.concat([source, target], axis=0), training=True)
    return tf.split(both, 2)


def build_network(config: Config, name: str) -> keras.Model:
    """Builds one of the four networks of `NETWORKS`, with random weights."""
    if name.startswith("generator"):
        return GENERATORS[config.generator](config, name)
    return DISCRIMINATORS[config.discriminator](config, name)
