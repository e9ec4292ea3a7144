"""CycleGAN (arXiv 1703.10593): two generators, two discriminators, and their step.

X is domain A (horses), Y is domain B (zebras). `generator_g` maps X to Y, `generator_f`
Y to X; `discriminator_x` judges X, `discriminator_y` judges Y (section 3). Networks,
images and losses have the names of the TensorFlow tutorial.
"""

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.core.adam import schedules_of
from cyclegan_tf.core.adversary import Adversary
from cyclegan_tf.core.discriminators import DISCRIMINATORS, features_of, on_images
from cyclegan_tf.core.generators import GENERATORS, recomputing
from cyclegan_tf.core.image_pool import make_pools, pools_state
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.core.losses import cycle_loss, identity_loss, range_loss, total
from cyclegan_tf.core.state import State
from cyclegan_tf.core.trainer import Trainer

NETWORKS = ("generator_g", "generator_f", "discriminator_x", "discriminator_y")
GENERATOR_NAMES, DISCRIMINATOR_NAMES = NETWORKS[:2], NETWORKS[2:]


class CycleGAN:
    """The four networks of one training, and the step that trains them.

    Args:
      config: What to build and how to train it.
      steps_per_epoch: Steps in an epoch, for the learning rate.
      strategy: A tf.distribute strategy; the current one if None.

    Raises:
      UserError: the batch size is no multiple of the number of replicas, or the
        weights of the network under `projected` discriminators are missing.
    """

    def __init__(
        self,
        config: Config,
        steps_per_epoch: int,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.config = config
        rates = schedules_of(
            config, GENERATOR_NAMES, DISCRIMINATOR_NAMES, steps_per_epoch
        )
        self.trainer = Trainer(
            config,
            strategy,
            self._build,
            self._step,
            schedules=rates,
            averages=self._averages,
            more_state=self._more_state,
        )
        self.networks = self.trainer.networks
        self.generator_g, self.generator_f, *discriminators = self.networks.values()
        generators = {name: self.networks[name] for name in GENERATOR_NAMES}
        self.shown_generators = generators | self.trainer.averages
        self._generators = self.generator_g, self.generator_f
        if config.recompute:
            self._generators = [recomputing(network) for network in self._generators]
        seen = self._features, config.feature_size
        self.judges = [on_images(d, *seen) for d in discriminators]
        self.adversary_x, self.adversary_y = map(self._adversary, self.judges, (0, 1))
        self._compute = self.compute_gradients
        if config.jit_compile:
            compiled = {"autograph": False, "jit_compile": True}
            self._compute = tf.function(self._compute, **compiled)

    def _build(self) -> dict[str, keras.Model]:
        with computing_in(self.config.precision):
            networks = {name: build_network(self.config, name) for name in NETWORKS}
            self._features = features_of(self.config)
        return networks

    def _averages(self) -> dict[str, keras.Model]:
        names = GENERATOR_NAMES if self.config.average_decay else ()
        return {name: build_network(self.config, name) for name in names}

    def _adversary(self, judge, number: int) -> Adversary:
        size = self.config.image_size, self.config.image_size, 3
        pools = make_pools(self.config.pool_size, size, self.trainer.strategy)
        return Adversary(self.config, judge, pools, self.trainer.seed, number)

    def _more_state(self) -> State:
        pools = {"x": self.adversary_x.pools, "y": self.adversary_y.pools}
        state = pools_state(pools, self.trainer.strategy)
        if self._features:
            # Frozen weights are not saved, but named: a run must go on with the same.
            state["features"] = {self._features.name: tf.Variable(0, trainable=False)}
        return state

    def train_step(
        self, real_x: tf.Tensor, real_y: tf.Tensor, identity: bool = True
    ) -> dict[str, tf.Tensor]:
        """Trains the four networks on one batch of each domain, in a tf.function.

        Args:
          real_x: Images of X, float32 [batch, height, width, 3] in [-1, 1]; with
            several replicas the part of each, as the strategy's datasets give them.
          real_y: As many images of Y.
          identity: Whether this step has an identity loss; see `identity_every_steps`.

        Returns:
          The losses by name: scalars, means over the whole batch.
        """
        return self.trainer.train_step(real_x, real_y, identity)

    def _step(self, real_x, real_y, identity):
        losses, gradients = self._compute(real_x, real_y, identity)
        self.trainer.update(gradients, losses)
        return losses

    def compute_gradients(self, real_x, real_y, identity: bool = True):
        """Computes the losses of a batch, and the gradients of the four networks.

        Takes the arguments of `train_step`. Returns losses by name, and lists of
        gradients by network in the order of its trainable variables, times the loss
        scale of float16.
        """
        config, (generator_g, generator_f) = self.config, self._generators
        identity = identity and config.lambda_identity > 0
        with tf.GradientTape(persistent=True) as tape:
            fake_y, same_y = _fake_and_same(generator_g, real_x, real_y, identity)
            fake_x, same_x = _fake_and_same(generator_f, real_y, real_x, identity)
            cycled_x = generator_f(fake_y, training=True)
            cycled_y = generator_g(fake_x, training=True)

            gen_f_loss, disc_x_loss = self.adversary_x.losses(real_x, fake_x)
            gen_g_loss, disc_y_loss = self.adversary_y.losses(real_y, fake_y)
            weights = config.lambda_cycle, config.cycle_pooling
            total_cycle_loss = cycle_loss(real_x, cycled_x, *weights)
            total_cycle_loss += cycle_loss(real_y, cycled_y, *weights)
            weight = config.lambda_identity * config.identity_every_steps
            weights = config.lambda_cycle, weight
            identity_g_loss = identity_loss(real_y, same_y, *weights)
            identity_f_loss = identity_loss(real_x, same_x, *weights)
            range_g_loss = range_loss(fake_y, config.lambda_range)
            range_f_loss = range_loss(fake_x, config.lambda_range)
            total_gen_g_loss = total(
                gen_g_loss, total_cycle_loss, identity_g_loss, range_g_loss
            )
            total_gen_f_loss = total(
                gen_f_loss, total_cycle_loss, identity_f_loss, range_f_loss
            )
            # One backward pass serves both generators: their total losses share the
            # cycle loss, counted once here, and nothing else.
            generators_loss = total_gen_g_loss + total_gen_f_loss - total_cycle_loss
            discriminators_loss = disc_x_loss + disc_y_loss

        gradients = self.trainer.gradients(tape, generators_loss, GENERATOR_NAMES)
        gradients |= self.trainer.gradients(
            tape, discriminators_loss, DISCRIMINATOR_NAMES
        )
        return {
            "gen_g_loss": gen_g_loss,
            "gen_f_loss": gen_f_loss,
            "total_cycle_loss": total_cycle_loss,
            "identity_g_loss": identity_g_loss,
            "identity_f_loss": identity_f_loss,
            "total_gen_g_loss": total_gen_g_loss,
            "total_gen_f_loss": total_gen_f_loss,
            "disc_x_loss": disc_x_loss,
            "disc_y_loss": disc_y_loss,
        }, gradients


def _fake_and_same(generator, source, target, identity: bool):
    """Maps images of both domains in one call; without identity loss `same` is target.

    Instance norm treats each image on its own, so that one call equals two.
    """
    if not identity:
        return generator(source, training=True), target
    both = generator(tf.concat([source, target], axis=0), training=True)
    return tf.split(both, 2)


def build_network(config: Config, name: str) -> keras.Model:
    """Builds one of the four networks of `NETWORKS`, with random weights."""
    if name.startswith("generator"):
        return GENERATORS[config.generator](config, name)
    return DISCRIMINATORS[config.discriminator](config, name)
