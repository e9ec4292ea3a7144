"""DCGAN (arXiv 1511.06434), and the conditional GAN (arXiv 1411.1784), on digits.

The generator doubles 7x7 pixels twice, the discriminator halves 28x28 twice. Each
block is convolution, norm, activation, without a bias before a norm. Batch norm uses
the batch in training, and moving averages afterwards. The conditional GAN gives a label
to both networks, so a digit must look real and match its label.
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
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.family.shared.options import DCGAN as Options

# Digits to measure, and in a row of a sheet.
_MEASURED, _SHOWN = 2_000, 8


class DCGAN:
    """A generator and a discriminator of digits, and the step that trains them."""

    curves = {"Losses": ("gen_loss", "disc_loss")}

    def __init__(
        self, options: Options, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        train = digits.load("train")
        self._train = tf.constant(train.pictures), tf.constant(train.labels)
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
        """Updates the discriminator, then the generator, on one batch of each."""
        batch, seed = self.trainer.batch, self.trainer.seed
        latents = batch, self.options.latent_size
        real, labels = digits.draw_rows(self._train, batch, seed(0))
        latent = tf.random.stateless_normal(latents, seed(1))
        disc_loss, gradients = self.discriminator_gradients(real, latent, labels)
        self.trainer.apply("discriminator", gradients, disc_loss)
        latent = tf.random.stateless_normal(latents, seed(2))
        gen_loss, gradients = self.generator_gradients(latent, labels)
        self.trainer.apply("generator", gradients, gen_loss)
        return {"gen_loss": gen_loss, "disc_loss": disc_loss}

    def discriminator_gradients(self, real, latent, labels):
        """The discriminator's loss and its gradients.

        Args:
          real: Digits, float [batch, 28, 28, 1] in [-1, 1].
          latent: Float [batch, latent_size].
          labels: Integers [batch], of real and generated digits; DCGAN ignores them.
        """
        fake = self.generate(latent, labels, training=True)
        with tf.GradientTape() as tape:
            # Two calls: in one batch the norms would mix real and fake.
            disc_real = self.discriminate(real, labels)
            disc_fake = self.discriminate(fake, labels)
            loss = discriminator_loss(binary_cross_entropy, disc_real, disc_fake)
        return loss, tape.gradient(loss, self.discriminator.trainable_variables)

    def generator_gradients(self, latent, labels):
        """The generator's non-saturating loss and its gradients; arguments as above."""
        with tf.GradientTape() as tape:
            fake = self.generate(latent, labels, training=True)
            loss = generator_loss(binary_cross_entropy, self.discriminate(fake, labels))
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def generate(self, latent, labels, training: bool = False) -> tf.Tensor:
        """Generates digits, float [batch, 28, 28, 1] in [-1, 1].

        Args:
          latent: Float [batch, latent_size].
          labels: Integers [batch], 0 to 9; DCGAN ignores them.
          training: Whether norms use the batch's statistics.
        """
        return self.generator(self._inputs(latent, labels), training=training)

    def _inputs(self, latent, labels) -> tf.Tensor:
        return latent

    def discriminate(self, images, labels) -> tf.Tensor:
        """The discriminator's logits [batch, 1] in training."""
        return self.discriminator(images, training=True)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Generates digits in [-1, 1] from fixed latents.

        Returns:
          The digits, and their labels in ascending order, equally many of each.
        """
        labels = np.arange(number) * digits.NUM_CLASSES // number
        latents = digits.fixed_latents(number, self.options.latent_size)
        return digits.in_parts(self.generator, self._inputs(latents, labels)), labels

    @functools.cached_property
    def judge(self) -> digits.Judge:
        """The judge of digits; the run stores its weights."""
        return digits.judge_of(self.options.run_dir)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """Measures 2,000 digits; see `Judge.measure`."""
        latents = digits.fixed_latents(_MEASURED, self.options.latent_size)
        return self.judge.measure(self.generator, latents)

    def pictures(self) -> dict[str, np.ndarray]:
        """Sheets of real and generated digits, and of paths between latents."""
        real = digits.load("test").images[: _SHOWN**2]
        generated = to_uint8(self.sample(_SHOWN**2)[0]).numpy()
        ends = np.split(digits.fixed_latents(2 * _SHOWN, self.options.latent_size), 2)
        return {
            "real": digits.sheet(real, _SHOWN),
            "generated": digits.sheet(generated, _SHOWN),
            "paths": digits.paths(self.generator, *ends, _SHOWN),
        }


class ConditionalGAN(DCGAN):
    """DCGAN with labels; see `DCGAN`."""

    def _build(self) -> dict:
        options, classes = self.options, digits.NUM_CLASSES
        size = options.num_filters, "batch"
        return {
            "generator": networks.generator(options.latent_size + classes, *size),
            "discriminator": networks.discriminator(1 + classes, *size),
        }

    def _inputs(self, latent, labels) -> tf.Tensor:
        one_hot = tf.one_hot(labels, digits.NUM_CLASSES, dtype=latent.dtype)
        return tf.concat([latent, one_hot], axis=1)

    def discriminate(self, images, labels) -> tf.Tensor:
        """The logits for images with a further channel per class: 1 for the label."""
        maps = tf.one_hot(labels, digits.NUM_CLASSES, dtype=images.dtype)[:, None, None]
        maps = tf.broadcast_to(maps, [*images.shape[:3], digits.NUM_CLASSES])
        return self.discriminator(tf.concat([images, maps], axis=-1), training=True)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The share of 2,000 digits that the judge assigns to their label."""
        generated, labels = self.sample(_MEASURED)
        right = float((self.judge.examine(generated)[0] == labels).mean())
        accuracy = self.judge.accuracy
        line = (
            f"{right:.1%} show the requested digit (a judge with {accuracy:.1%} "
            "accuracy; chance 10%)"
        )
        return {"as_asked": right, "judge_accuracy": accuracy}, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """A sheet of generated digits, one row per label."""
        generated = to_uint8(self.sample(_SHOWN * digits.NUM_CLASSES)[0]).numpy()
        return {"generated": digits.sheet(generated, _SHOWN)}
