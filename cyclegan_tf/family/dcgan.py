"""DCGAN (arXiv 1511.06434): a convolutional GAN of digits, with batch norm.

The generator doubles 7x7 pixels twice, the discriminator halves 28x28 twice. Each
block is convolution, norm, activation, without a bias before a norm. Batch norm uses
the batch in training, and moving averages afterwards.
"""

import functools

import numpy as np
import tensorflow as tf

from cyclegan_tf.core.losses import (
    binary_cross_entropy,
    discriminator_loss,
    generator_loss,
)
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.data.images import to_uint8
from cyclegan_tf.evaluation.distances import Moments, frechet_distance
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.family.shared import judge as judging
from cyclegan_tf.family.shared.options import DCGAN as Options

# Digits to measure, and the batch size of the generator for them.
_MEASURED, _AT_ONCE = 2_000, 500
_SHOWN = 8  # Rows and columns of a sheet.


class DCGAN:
    """A generator and a discriminator of digits, and the step that trains them.

    Args:
      options: What to build and how to train it.
      strategy: A tf.distribute strategy; the current one if None.
    """

    curves = {"Losses": ("gen_loss", "disc_loss")}

    def __init__(
        self, options: Options, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        self._digits = tf.constant(digits.load("train").pictures)
        self.trainer = Trainer(options, strategy, self._build, self.step)
        self.generator, self.discriminator = self.trainer.networks.values()

    def _build(self) -> dict:
        options = self.options
        size = options.num_filters, options.norm
        return {
            "generator": networks.generator(options.latent_size, *size),
            "discriminator": networks.discriminator(1, *size),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates the discriminator, then the generator, on one batch of each.

        Returns:
          `gen_loss` and `disc_loss`.
        """
        batch, seed = self.trainer.batch, self.trainer.seed
        chosen = tf.random.stateless_uniform(
            [batch], seed(0), maxval=len(self._digits), dtype=tf.int32
        )
        real = tf.gather(self._digits, chosen)
        latent = tf.random.stateless_normal([batch, self.options.latent_size], seed(1))
        disc_loss, gradients = self.discriminator_gradients(real, latent)
        self.trainer.apply("discriminator", gradients, disc_loss)
        latent = tf.random.stateless_normal([batch, self.options.latent_size], seed(2))
        gen_loss, gradients = self.generator_gradients(latent)
        self.trainer.apply("generator", gradients, gen_loss)
        return {"gen_loss": gen_loss, "disc_loss": disc_loss}

    def discriminator_gradients(self, real: tf.Tensor, latent: tf.Tensor):
        """The discriminator's loss and its gradients.

        Args:
          real: Digits, float [batch, 28, 28, 1] in [-1, 1].
          latent: As many latents, float [batch, latent_size].
        """
        fake = self.generator(latent, training=True)
        with tf.GradientTape() as tape:
            # Two calls: in one batch the norms would mix real and fake.
            disc_real = self.discriminator(real, training=True)
            disc_fake = self.discriminator(fake, training=True)
            loss = discriminator_loss(binary_cross_entropy, disc_real, disc_fake)
        return loss, tape.gradient(loss, self.discriminator.trainable_variables)

    def generator_gradients(self, latent: tf.Tensor):
        """The generator's non-saturating loss and its gradients.

        Args:
          latent: Latents, float [batch, latent_size].
        """
        with tf.GradientTape() as tape:
            disc_fake = self.discriminator(
                self.generator(latent, training=True), training=True
            )
            loss = generator_loss(binary_cross_entropy, disc_fake)
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def sample(self, number: int) -> np.ndarray:
        """Generates digits in [-1, 1], with the moving averages of batch norm.

        Args:
          number: How many; always of the same latents.
        """
        latent = tf.random.stateless_normal([number, self.options.latent_size], (0, 0))
        parts = [latent[i : i + _AT_ONCE] for i in range(0, number, _AT_ONCE)]
        made = [self.generator(part, training=False).numpy() for part in parts]
        return np.concatenate(made)

    @functools.cached_property
    def judge(self) -> judging.Judge:
        """The judge of digits, a classifier; its weights are stored in the run."""
        run_dir = self.options.run_dir
        return judging.prepared(networks.judge(), run_dir, digits.load)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The Frechet distance between 2,000 digits and the training digits.

        In the judge's features; that of the 2,000 test digits is what can be reached.
        """
        found, reached = self._distance(self.sample(_MEASURED)), self._reached
        accuracy = self.judge.accuracy
        line = (
            f"Frechet distance {found:.1f}, of real digits {reached:.1f} (a judge "
            f"with {accuracy:.1%} accuracy)"
        )
        return {
            "frechet_distance": found,
            "frechet_distance_of_real": reached,
            "judge_accuracy": accuracy,
        }, [line]

    def _distance(self, pictures: np.ndarray) -> float:
        return frechet_distance(self._moments(pictures), self._real)

    @functools.cached_property
    def _real(self) -> Moments:
        return self._moments(digits.load("train").pictures)

    @functools.cached_property
    def _reached(self) -> float:
        return self._distance(digits.load("test").pictures)

    def _moments(self, pictures: np.ndarray) -> Moments:
        moments = Moments()
        moments.add(self.judge.ask(pictures)[2])
        return moments

    def pictures(self) -> dict[str, np.ndarray]:
        """Sheets of real and of generated digits."""
        real = digits.load("test").images[: _SHOWN**2]
        made = to_uint8(self.sample(_SHOWN**2)).numpy()
        sheets = {"real": real, "generated": made}
        return {title: digits.sheet(x, _SHOWN) for title, x in sheets.items()}
