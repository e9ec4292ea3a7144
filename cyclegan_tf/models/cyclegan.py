"""CycleGAN: two generators, two discriminators, and the step that trains them.

X is domain A (horses), Y is domain B (zebras). `generator_g` maps X to Y, `generator_f`
Y to X; `discriminator_x` judges X, `discriminator_y` judges Y (arXiv 1703.10593,
section 3). Names of networks, images and losses are those of the TensorFlow tutorial.
"""

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.learning import averages
from cyclegan_tf.learning.adam import make_optimizers
from cyclegan_tf.learning.image_pool import make_pools, step_seed
from cyclegan_tf.learning.losses import (
    ADVERSARIAL_LOSSES,
    cycle_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
)
from cyclegan_tf.learning.penalties import penalty
from cyclegan_tf.learning.schedules import schedules_of
from cyclegan_tf.learning.state import State, state_of
from cyclegan_tf.networks.discriminators import DISCRIMINATORS
from cyclegan_tf.networks.generators import GENERATORS
from cyclegan_tf.validation import UserError

NETWORKS = ("generator_g", "generator_f", "discriminator_x", "discriminator_y")
GENERATOR_NAMES, DISCRIMINATOR_NAMES = NETWORKS[:2], NETWORKS[2:]


class CycleGAN:
    """Networks, optimizers and image pools of one training, and its step.

    Args:
      config: What to build and how to train it.
      steps_per_epoch: Steps in an epoch, for the learning rate.
      strategy: A tf.distribute strategy; the current one if None.

    Raises:
      UserError: the batch does not divide by the strategy's replicas.
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
        if config.batch_size % self.num_replicas:
            raise UserError(
                f"`batch_size` must be a multiple of the {self.num_replicas} replicas. "
                f"Received: {config.batch_size}."
            )
        self._adversarial_loss = ADVERSARIAL_LOSSES[config.adversarial_loss]
        self._schedules = schedules_of(
            config, GENERATOR_NAMES, DISCRIMINATOR_NAMES, steps_per_epoch
        )
        with self.strategy.scope():
            self.generator_g = build_network(config, "generator_g")
            self.generator_f = build_network(config, "generator_f")
            self.discriminator_x = build_network(config, "discriminator_x")
            self.discriminator_y = build_network(config, "discriminator_y")
            self.optimizers = make_optimizers(
                self.networks, self._schedules, config.beta_1
            )
            self._averages = {}
            if config.average_decay:
                names = GENERATOR_NAMES
                self._averages = {name: build_network(config, name) for name in names}
        self.start_averages()
        size = config.image_size, config.image_size, 3
        self.pools_x = make_pools(config.pool_size, size, self.strategy)
        self.pools_y = make_pools(config.pool_size, size, self.strategy)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The four networks by name."""
        return {name: getattr(self, name) for name in NETWORKS}

    @property
    def shown_generators(self) -> dict[str, keras.Model]:
        """The generators that pictures are made with: the averages where these are on.

        (Yazici et al., ICLR 2019; the official code has none.)
        """
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

    @tf.function
    def train_step(self, real_x: tf.Tensor, real_y: tf.Tensor) -> dict[str, tf.Tensor]:
        """Trains the four networks on one batch of each domain.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1], where batch
            is the configuration's `pictures_per_step`; with several replicas one such
            batch each, as the strategy's datasets give them.
          real_y: As many images of Y.

        Returns:
          The losses by name, scalars, means over the whole batch.
        """
        losses = self.strategy.run(self._replica_step, args=(real_x, real_y))
        if self._averages:
            steps = self.optimizers["generator_g"].iterations
            decay = averages.decay_at(steps, self.config.average_decay)
            averages.update(self._averages, self.networks, decay, self.strategy)
        total = tf.distribute.ReduceOp.SUM
        return {
            name: self.strategy.reduce(total, loss, axis=None)
            for name, loss in losses.items()
        }

    def _replica_step(self, real_x, real_y):
        parts = [tf.split(real, self.config.critic_steps) for real in (real_x, real_y)]
        *earlier, last = zip(*parts, strict=True)
        for batch in earlier:
            self._update(*self.compute_gradients(*batch, DISCRIMINATOR_NAMES))
        return self._update(*self.compute_gradients(*last))

    def _update(self, losses, gradients):
        for name, of_network in gradients.items():
            # Sums the gradients over the replicas, then updates.
            self.optimizers[name].apply(of_network)
        return losses

    def compute_gradients(self, real_x: tf.Tensor, real_y: tf.Tensor, names=NETWORKS):
        """The losses of a batch and the gradients of the four networks.

        One backward pass serves both generators: their total losses share the cycle
        loss and have nothing else in common, so the gradient of their sum, the cycle
        loss counted once, is the right one for each. So it does for the discriminators.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1].
          real_y: As many images of Y.
          names: The networks to train, all or `DISCRIMINATOR_NAMES`.

        Returns:
          Losses by name, and lists of gradients by network in the order of its
          trainable variables; both divided by the number of replicas, so that their
          sum over the replicas is the mean over the whole batch.
        """
        with tf.GradientTape(persistent=True) as tape:
            losses = {
                name: loss / self.num_replicas
                for name, loss in self._losses(real_x, real_y).items()
            }
            generators_loss = (
                losses["total_gen_g_loss"]
                + losses["total_gen_f_loss"]
                - losses["total_cycle_loss"]
            )
            discriminators_loss = losses["disc_x_loss"] + losses["disc_y_loss"]
        gradients = {}
        for group, loss in (
            (GENERATOR_NAMES, generators_loss),
            (DISCRIMINATOR_NAMES, discriminators_loss),
        ):
            if set(group) <= set(names):
                trained = {
                    name: self.networks[name].trainable_variables for name in group
                }
                gradients |= tape.gradient(loss, trained)
        return losses, gradients

    def _losses(self, real_x, real_y) -> dict[str, tf.Tensor]:
        """The tutorial's losses of a batch, by its names.

        A generator maps its source and its target images in one call, which changes
        nothing: instance norm treats each image for itself.
        """
        adversarial, config = self._adversarial_loss, self.config
        shown_x, shown_y, more_x, more_y = real_x, real_y, [], []
        if config.discriminator_pictures > 1:
            batch = real_x.shape[0] // config.discriminator_pictures
            real_x, real_y = real_x[:batch], real_y[:batch]
            # Pictures for the discriminators, from which generators do not learn.
            more_x = [self.generator_f(shown_y[batch:], training=True)]
            more_y = [self.generator_g(shown_x[batch:], training=True)]
        fake_y, same_y = self._fake_and_same(self.generator_g, real_x, real_y)
        fake_x, same_x = self._fake_and_same(self.generator_f, real_y, real_x)
        cycled_x = self.generator_f(fake_y, training=True)
        cycled_y = self.generator_g(fake_x, training=True)

        disc_real_x, disc_fake_x, disc_pool_x = self._judge(
            self.discriminator_x, shown_x, fake_x, more_x, self.pools_x, 0
        )
        disc_real_y, disc_fake_y, disc_pool_y = self._judge(
            self.discriminator_y, shown_y, fake_y, more_y, self.pools_y, 1
        )

        gen_g_loss = generator_loss(adversarial, disc_fake_y)
        gen_f_loss = generator_loss(adversarial, disc_fake_x)
        total_cycle_loss = cycle_loss(
            real_x, cycled_x, config.lambda_cycle
        ) + cycle_loss(real_y, cycled_y, config.lambda_cycle)
        identity_g_loss = identity_f_loss = tf.zeros_like(gen_g_loss)
        if config.lambda_identity:
            weights = config.lambda_cycle, config.lambda_identity
            identity_g_loss = identity_loss(real_y, same_y, *weights)
            identity_f_loss = identity_loss(real_x, same_x, *weights)
        return {
            "gen_g_loss": gen_g_loss,
            "gen_f_loss": gen_f_loss,
            "total_cycle_loss": total_cycle_loss,
            "identity_g_loss": identity_g_loss,
            "identity_f_loss": identity_f_loss,
            "total_gen_g_loss": gen_g_loss + total_cycle_loss + identity_g_loss,
            "total_gen_f_loss": gen_f_loss + total_cycle_loss + identity_f_loss,
            "disc_x_loss": discriminator_loss(adversarial, disc_real_x, disc_pool_x)
            + self._penalty(self.discriminator_x, shown_x, [fake_x, *more_x], 2),
            "disc_y_loss": discriminator_loss(adversarial, disc_real_y, disc_pool_y)
            + self._penalty(self.discriminator_y, shown_y, [fake_y, *more_y], 3),
        }

    def _fake_and_same(self, generator, source, target):
        """A generator on images of both domains; `same` is None without its loss."""
        if not self.config.lambda_identity:
            return generator(source, training=True), None
        both = generator(tf.concat([source, target], axis=0), training=True)
        return tf.split(both, 2)

    def _judge(self, discriminator, real, fake, more, pools, domain: int):
        """Logits of real images, of fakes, and of the fakes that it learns from itself.

        Generators learn by the fakes alone, so these have a call of their own: what
        is in a call goes through all of its backward passes.
        """
        disc_fake = discriminator(fake, training=True)
        if not pools and not more:
            return discriminator(real, training=True), disc_fake, disc_fake
        fakes = tf.stop_gradient(tf.concat([fake, *more], axis=0))
        if pools:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            pool = pools[tf.get_static_value(replica)]
            fakes = pool.query(fakes, self._seed(domain))
        both = discriminator(tf.concat([real, fakes], axis=0), training=True)
        disc_real, disc_pool = tf.split(both, 2)
        return disc_real, disc_fake, disc_pool

    def _penalty(self, discriminator, real, fakes, number: int):
        seed = self._seed(number)
        return penalty(self.config, discriminator, real, fakes, self._updates, seed)

    @property
    def _updates(self) -> tf.Variable:
        """Updates of a discriminator so far, one or more a step."""
        return self.optimizers["discriminator_x"].iterations

    def _seed(self, number: int) -> tf.Tensor:
        """Seed of what is drawn in an update: 0, 1 for pools, 2, 3 for penalties."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return step_seed(self.config.seed, self._updates, number, replica)

    def state(self) -> State:
        """Everything that training changes, by group and name, for a checkpoint."""
        pools = {"x": self.pools_x, "y": self.pools_y}
        averaged = {average_of(name): net for name, net in self._averages.items()}
        optimizers = {name: adam.variables for name, adam in self.optimizers.items()}
        return state_of(self.networks | averaged, optimizers, pools)


def average_of(name: str) -> str:
    """What a checkpoint calls the average of a generator."""
    return f"average_of_{name}"


def build_network(config: Config, name: str) -> keras.Model:
    """Builds one of the four networks of `NETWORKS`, with random weights."""
    if name.startswith("generator"):
        return GENERATORS[config.generator](config, name)
    return DISCRIMINATORS[config.discriminator](config, name)
