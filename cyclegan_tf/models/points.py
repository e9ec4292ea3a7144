"""The plain GAN (arXiv 1406.2661) and WGAN-GP (arXiv 1704.00028) on points.

A generator makes points of normal latents; a discriminator tells them from points of a
known mixture of Gaussians. Small enough to see all of it: samples, the discriminator's
field, and which modes are found.
"""

import numpy as np
import tensorflow as tf

from cyclegan_tf.data import points
from cyclegan_tf.learning.losses import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    generator_loss,
)
from cyclegan_tf.learning.penalties import interpolation_penalty
from cyclegan_tf.learning.trainer import Trainer
from cyclegan_tf.networks.perceptron import perceptron
from cyclegan_tf.options import Points

# Points that are shown, and those that the numbers are of.
_SHOWN, _MEASURED = 1_000, 10_000


class PointsGAN:
    """A generator and a discriminator of points, and the step that trains them.

    Args:
      options: What to build and how to train it.
      strategy: A tf.distribute strategy; the current one if None.
    """

    curves = {"Losses": ("gen_loss", "disc_loss")}

    def __init__(self, options: Points, strategy: tf.distribute.Strategy | None = None):
        self.options = options
        self._adversarial_loss = ADVERSARIAL_LOSSES[options.adversarial_loss]
        updates = {"discriminator": options.critic_steps}
        self.trained = Trainer(options, strategy, self._build, self.step, updates)
        self.generator, self.discriminator = self.trained.networks.values()

    def _build(self) -> dict:
        options = self.options
        size = options.num_units, options.num_layers
        return {
            "generator": perceptron(options.latent_size, 2, *size, "generator"),
            "discriminator": perceptron(2, 1, *size, "discriminator"),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates the discriminator, once or more often, and then the generator.

        Points and latents are drawn inside, from the seed and the step (arXiv
        1406.2661, algorithm 1; arXiv 1704.00028, algorithm 1).

        Returns:
          `gen_loss` and the last `disc_loss`.
        """
        options, batch, seed = self.options, self.trained.batch, self.trained.seed
        latents = batch, options.latent_size
        for update in range(options.critic_steps):
            real = points.draw(options.points, batch, seed(3 * update))
            latent = tf.random.stateless_normal(latents, seed(3 * update + 1))
            disc_loss, gradients = self.discriminator_gradients(
                real, latent, seed(3 * update + 2)
            )
            self.trained.apply("discriminator", gradients, disc_loss)
        last = seed(3 * options.critic_steps + 1)
        gen_loss, gradients = self.generator_gradients(
            tf.random.stateless_normal(latents, last)
        )
        self.trained.apply("generator", gradients, gen_loss)
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
