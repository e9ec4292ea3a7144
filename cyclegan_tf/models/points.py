"""The plain GAN (arXiv 1406.2661) and WGAN-GP (arXiv 1704.00028) on points.

A generator makes points of normal latents; a discriminator tells them from points of a
known mixture of Gaussians. Small enough to see all of it: samples, the discriminator's
field, and which modes are found.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from cyclegan_tf.data import points
from cyclegan_tf.learning.adam import make_optimizers
from cyclegan_tf.learning.image_pool import step_seed
from cyclegan_tf.learning.losses import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    generator_loss,
)
from cyclegan_tf.learning.penalties import interpolation_penalty
from cyclegan_tf.learning.schedules import ConstantThenLinearDecay
from cyclegan_tf.learning.state import State, state_of
from cyclegan_tf.networks.perceptron import perceptron
from cyclegan_tf.options import Points
from cyclegan_tf.validation import UserError

# Points that are shown, and those that the numbers are of.
_SHOWN, _MEASURED = 1_000, 10_000


class PointsGAN:
    """A generator and a discriminator of points, and the step that trains them.

    Args:
      options: What to build and how to train it.
      strategy: A tf.distribute strategy; the current one if None.

    Raises:
      UserError: the batch does not divide by the strategy's replicas.
    """

    curves = {"Losses": ("gen_loss", "disc_loss")}

    def __init__(self, options: Points, strategy: tf.distribute.Strategy | None = None):
        self.options = options
        self.strategy = strategy or tf.distribute.get_strategy()
        replicas = self.strategy.num_replicas_in_sync
        if options.batch_size % replicas:
            raise UserError(
                f"`batch_size` must be a multiple of the {replicas} replicas. "
                f"Received: {options.batch_size}."
            )
        self._batch = options.batch_size // replicas
        self._adversarial_loss = ADVERSARIAL_LOSSES[options.adversarial_loss]
        size = options.num_units, options.num_layers
        with self.strategy.scope():
            self.generator = perceptron(options.latent_size, 2, *size, "generator")
            self.discriminator = perceptron(2, 1, *size, "discriminator")
            schedules = {name: self.schedule(name) for name in self.networks}
            betas = options.beta_1, options.beta_2
            self.optimizers = make_optimizers(self.networks, schedules, *betas)

    @property
    def networks(self) -> dict:
        """Both networks by name."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.optimizers["generator"].iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """The generator's learning rate in the next step."""
        return float(self.schedule("generator")(self.step))

    def schedule(self, name: str) -> ConstantThenLinearDecay:
        """The learning rate of a network's updates: half of them, then falling."""
        constant = self.options.num_steps // 2
        updates = self.options.critic_steps if name == "discriminator" else 1
        return ConstantThenLinearDecay(
            self.options.learning_rate,
            constant,
            self.options.num_steps - constant,
            steps_per_epoch=updates,
        )

    @tf.function
    def train_step(self) -> dict[str, tf.Tensor]:
        """Updates the discriminator, once or more often, and then the generator.

        Points and latents are drawn inside, from the seed and the step (arXiv
        1406.2661, algorithm 1; arXiv 1704.00028, algorithm 1).

        Returns:
          `gen_loss` and the last `disc_loss`, scalars, means over the whole batch.
        """
        losses = self.strategy.run(self._replica_step)
        mean = tf.distribute.ReduceOp.MEAN
        return {k: self.strategy.reduce(mean, v, axis=None) for k, v in losses.items()}

    def _replica_step(self):
        options, batch = self.options, self._batch
        latents = batch, options.latent_size
        for update in range(options.critic_steps):
            real = points.draw(options.points, batch, self._seed("real", update))
            latent = tf.random.stateless_normal(latents, self._seed("latent", update))
            place = self._seed("place", update)
            disc_loss, gradients = self.discriminator_gradients(real, latent, place)
            self._apply("discriminator", gradients)
        last = self._seed("latent", options.critic_steps)
        gen_loss, gradients = self.generator_gradients(
            tf.random.stateless_normal(latents, last)
        )
        self._apply("generator", gradients)
        return {"gen_loss": gen_loss, "disc_loss": disc_loss}

    def discriminator_gradients(self, real, latent, place):
        """The discriminator's loss and its gradients.

        Args:
          real: Points, float [batch, 2].
          latent: As many latents, float [batch, latent_size].
          place: Integer tensor [2], the seed of where `wgan_gp` looks at the slope.
        """
        fake = self.generator(latent, training=True)
        with tf.GradientTape() as tape:
            disc_real = self.discriminator(real, training=True)
            disc_fake = self.discriminator(fake, training=True)
            loss = discriminator_loss(self._adversarial_loss, disc_real, disc_fake)
            if self.options.adversarial_loss == "wgan_gp":
                penalty = interpolation_penalty(self.discriminator, real, fake, place)
                loss += self.options.lambda_gradient * penalty
        return loss, tape.gradient(loss, self.discriminator.trainable_variables)

    def generator_gradients(self, latent):
        """The generator's loss and its gradients.

        The plain GAN's is the one that does not saturate: -log D(G(z)).

        Args:
          latent: Latents, float [batch, latent_size].
        """
        with tf.GradientTape() as tape:
            fake = self.generator(latent, training=True)
            disc_fake = self.discriminator(fake, training=True)
            loss = generator_loss(self._adversarial_loss, disc_fake)
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _apply(self, name: str, gradients) -> None:
        # Adam sums over the replicas; losses are means over a replica's batch.
        replicas = self.strategy.num_replicas_in_sync
        self.optimizers[name].apply([gradient / replicas for gradient in gradients])

    def _seed(self, what: str, update: int) -> tf.Tensor:
        step = self.optimizers["generator"].iterations
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = ("real", "latent", "place").index(what) + 3 * update
        return step_seed(self.options.seed, step, number, replica)

    def state(self) -> State:
        """Everything that training changes, by group and name, for a checkpoint."""
        adams = {name: adam.variables for name, adam in self.optimizers.items()}
        return state_of(self.networks, adams, pools={})

    def batches(self, start: int, num_steps: int) -> Iterator[tuple]:
        """The arguments of the steps from `start` on: a step draws what it needs."""
        return iter([()] * (num_steps - start))

    def sample(self, number: int) -> np.ndarray:
        """Generated points, float32 [number, 2], always of the same latents."""
        shape = number, self.options.latent_size
        return self.generator(tf.random.stateless_normal(shape, (0, 0))).numpy()

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """How well 10,000 generated points match; see `data.points.statistics`."""
        found = points.statistics(self.sample(_MEASURED), self.options.points)
        modes = len(points.centres(self.options.points))
        line = (
            f"{found['modes']:.0f} of {modes} modes found, {found['within']:.1%} of "
            f"samples within 3 sigma, KL {found['kl_generated_real']:.3f} and "
            f"{found['kl_real_generated']:.3f}"
        )
        return found, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """Samples over real points, and the discriminator's field, uint8, one each."""
        kind, fake = self.options.points, self.sample(_SHOWN)
        real = points.draw(kind, _SHOWN, (0, 1)).numpy()
        logits = self.discriminator(points.places(kind)).numpy()
        return {
            "samples": points.picture(kind, {"C7": real, "C1": fake})[np.newaxis],
            "discriminator": points.picture(kind, {"C1": fake}, logits)[np.newaxis],
        }
