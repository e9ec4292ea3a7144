"""CycleGAN: two generators, two discriminators, and the step that trains them.

X is domain A (horses), Y is domain B (zebras). `generator_g` maps X to Y, `generator_f`
Y to X; `discriminator_x` judges X, `discriminator_y` judges Y (arXiv 1703.10593,
section 3). Names of networks, images and losses are those of the TensorFlow tutorial.
"""

import keras
import tensorflow as tf

from cyclegan_tf.adam import Adam
from cyclegan_tf.config import Config, UserError
from cyclegan_tf.discriminators import DISCRIMINATORS
from cyclegan_tf.generators import GENERATORS
from cyclegan_tf.image_pool import ImagePool
from cyclegan_tf.losses import (
    ADVERSARIAL_LOSSES,
    cycle_loss,
    discriminator_loss,
    generator_loss,
    identity_loss,
)
from cyclegan_tf.schedules import ConstantThenLinearDecay

# The residual blocks see a quarter of it, and mirror a row at each side.
_MINIMUM_SIDE = 8

NETWORKS = ("generator_g", "generator_f", "discriminator_x", "discriminator_y")


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
        self._schedule = ConstantThenLinearDecay(
            config.learning_rate,
            config.num_epochs,
            config.num_decay_epochs,
            steps_per_epoch,
        )
        with self.strategy.scope():
            self.generator_g = build_network(config, "generator_g")
            self.generator_f = build_network(config, "generator_f")
            self.discriminator_x = build_network(config, "discriminator_x")
            self.discriminator_y = build_network(config, "discriminator_y")
            self.optimizers = {
                name: self._optimizer(network)
                for name, network in self.networks.items()
            }
        self.pools_x = self._pools()
        self.pools_y = self._pools()

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The four networks by name."""
        return {name: getattr(self, name) for name in NETWORKS}

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.optimizers["generator_g"].iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._schedule(self.step))

    def _optimizer(self, network: keras.Model):
        # Keras' own epsilon is 1e-7; the official code has PyTorch's 1e-8.
        optimizer = Adam(
            self._schedule, beta_1=self.config.beta_1, beta_2=0.999, epsilon=1e-8
        )
        # Built now, so that a checkpoint can be restored before the first step.
        optimizer.build(network.trainable_variables)
        return optimizer

    def _pools(self) -> list[ImagePool]:
        """One pool a replica, on its device; none if `pool_size` is 0."""
        size = self.config.image_size
        if not self.config.pool_size:
            return []
        devices = [None]
        if self.num_replicas > 1:
            devices = self.strategy.extended.worker_devices
        return [ImagePool(self.config.pool_size, (size, size, 3), d) for d in devices]

    @tf.function
    def train_step(self, real_x: tf.Tensor, real_y: tf.Tensor) -> dict[str, tf.Tensor]:
        """Trains the four networks on one batch of each domain.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1]; with
            several replicas one such batch each, as the strategy's datasets give them.
          real_y: As many images of Y.

        Returns:
          The losses by name, scalars, means over the whole batch.
        """
        losses = self.strategy.run(self._replica_step, args=(real_x, real_y))
        total = tf.distribute.ReduceOp.SUM
        return {
            name: self.strategy.reduce(total, loss, axis=None)
            for name, loss in losses.items()
        }

    def _replica_step(self, real_x, real_y):
        losses, gradients = self.compute_gradients(real_x, real_y)
        for name, network in self.networks.items():
            # Sums the gradients over the replicas, then updates.
            self.optimizers[name].apply_gradients(
                zip(gradients[name], network.trainable_variables, strict=True)
            )
        return losses

    def compute_gradients(self, real_x: tf.Tensor, real_y: tf.Tensor):
        """The losses of a batch and the gradients of the four networks.

        One backward pass serves both generators: their total losses share the cycle
        loss and have nothing else in common, so the gradient of their sum, the cycle
        loss counted once, is the right one for each. So it does for the discriminators.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1].
          real_y: As many images of Y.

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
        g, f, x, y = (network.trainable_variables for network in self.networks.values())
        gradients = tape.gradient(generators_loss, [g, f])
        gradients += tape.gradient(discriminators_loss, [x, y])
        return losses, dict(zip(NETWORKS, gradients, strict=True))

    def _losses(self, real_x, real_y) -> dict[str, tf.Tensor]:
        """The tutorial's losses of a batch, by its names.

        A generator maps its source and its target images in one call, which changes
        nothing: instance norm treats each image for itself.
        """
        adversarial, config = self._adversarial_loss, self.config
        fake_y, same_y = self._fake_and_same(self.generator_g, real_x, real_y)
        fake_x, same_x = self._fake_and_same(self.generator_f, real_y, real_x)
        cycled_x = self.generator_f(fake_y, training=True)
        cycled_y = self.generator_g(fake_x, training=True)

        disc_real_x, disc_fake_x, disc_pool_x = self._judge(
            self.discriminator_x, real_x, fake_x, self.pools_x, 0
        )
        disc_real_y, disc_fake_y, disc_pool_y = self._judge(
            self.discriminator_y, real_y, fake_y, self.pools_y, 1
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
            "disc_x_loss": discriminator_loss(adversarial, disc_real_x, disc_pool_x),
            "disc_y_loss": discriminator_loss(adversarial, disc_real_y, disc_pool_y),
        }

    def _fake_and_same(self, generator, source, target):
        """A generator on images of both domains; `same` is None without its loss."""
        if not self.config.lambda_identity:
            return generator(source, training=True), None
        both = generator(tf.concat([source, target], axis=0), training=True)
        return tf.split(both, 2)

    def _judge(self, discriminator, real, fake, pools, domain: int):
        """Logits of real images, of fakes, and of what the pool gives for the fakes."""
        if not pools:
            disc_real, disc_fake = tf.split(
                discriminator(tf.concat([real, fake], axis=0), training=True), 2
            )
            return disc_real, disc_fake, disc_fake
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = self._pool_seed(domain, replica)
        pooled = pools[tf.get_static_value(replica)].query(fake, seed)
        images = tf.concat([real, fake, pooled], axis=0)
        return tf.split(discriminator(images, training=True), 3)

    def _pool_seed(self, domain: int, replica: tf.Tensor) -> tf.Tensor:
        """Seed of a pool's draws: a function of (seed, step, domain, replica)."""
        step = tf.cast(self.optimizers["generator_g"].iterations, tf.int32)
        seed = tf.stack([tf.constant(self.config.seed, tf.int32), step])
        return tf.random.fold_in(tf.random.fold_in(seed, domain), replica)

    def state(self) -> dict[str, dict[str, tf.Variable]]:
        """Everything that training changes, by group and name, for a checkpoint."""
        groups = {name: named_weights(m) for name, m in self.networks.items()}
        for name, optimizer in self.optimizers.items():
            groups[f"optimizer_of_{name}"] = {
                f"{i:03d}_{_last_name(v)}": _as_tf_variable(v)
                for i, v in enumerate(optimizer.variables)
            }
        for name, pools in (("pools_x", self.pools_x), ("pools_y", self.pools_y)):
            for replica, pool in enumerate(pools):
                groups[f"{name}_{replica}"] = {
                    "images": pool.images,
                    "count": pool.count,
                }
        return groups


def build_network(config: Config, name: str) -> keras.Model:
    """Builds one of the four networks of `NETWORKS`, with random weights."""
    if name.startswith("generator"):
        return GENERATORS[config.generator](config, name)
    return DISCRIMINATORS[config.discriminator](config, name)


def translate(generator: keras.Model, images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Translates images of any size.

    Sides that are no multiple of what the generator needs, or below 8 pixels, are
    mirrored outwards at the bottom and right, and the result is cut back.

    Args:
      generator: A generator.
      images: Float32 [batch, height, width, 3] in [-1, 1].
      multiple: What the generator's sides must be a multiple of.

    Returns:
      Images of the same shape.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    for axis, side in ((1, height), (2, width)):
        padded = (side + multiple - 1) // multiple * multiple
        padded = tf.maximum(padded, _MINIMUM_SIDE)
        images = tf.gather(images, _mirrored(padded, side), axis=axis)
    return generator(images, training=False)[:, :height, :width]


def _mirrored(padded: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Indices 0, 1, .., side - 1, side - 2, .., 0, 1, .. of length `padded`."""
    period = tf.maximum(2 * (side - 1), 1)
    position = tf.range(padded) % period
    return tf.minimum(position, period - position) % side


def named_weights(network: keras.Model) -> dict[str, tf.Variable]:
    """The weights of a network by layer and kind, such as `first_conv_kernel`."""
    return {
        f"{layer.name}_{_last_name(v)}": _as_tf_variable(v)
        for layer in network.layers
        for v in layer.weights
    }


def _last_name(variable) -> str:
    """`kernel` of Keras 3's `kernel` and of Keras 2's `conv/kernel:0`."""
    return variable.name.split("/")[-1].split(":")[0]


def _as_tf_variable(variable) -> tf.Variable:
    return variable if isinstance(variable, tf.Variable) else variable.value
