"""A conditional GAN (arXiv 1411.1784): digits by label.

DCGAN's networks with a label: the generator gets it with the latent, the discriminator
with the image, so a digit must look real and match its label.
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
from cyclegan_tf.family.shared import judge as judging
from cyclegan_tf.family.shared.options import Conditional

# Digits per label to measure, and to show.
_MEASURED, _SHOWN = 200, 8


class ConditionalGAN:
    """A generator and a discriminator of labelled digits, and their step.

    Args:
      options: What to build and how to train it.
      strategy: A tf.distribute strategy; the current one if None.
    """

    curves = {"Losses": ("gen_loss", "disc_loss")}

    def __init__(
        self, options: Conditional, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        data = digits.load("train")
        self._digits, self._labels = (
            tf.constant(data.pictures),
            tf.constant(data.labels),
        )
        self.trainer = Trainer(options, strategy, self._build, self.step)
        self.generator, self.discriminator = self.trainer.networks.values()

    def _build(self) -> dict:
        options, classes = self.options, digits.NUM_CLASSES
        size = options.num_filters, "batch"
        return {
            "generator": networks.generator(options.latent_size + classes, *size),
            "discriminator": networks.discriminator(1 + classes, *size),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates the discriminator, then the generator, on one batch of each.

        Returns:
          `gen_loss` and `disc_loss`.
        """
        batch, seed = self.trainer.batch, self.trainer.seed
        latents = batch, self.options.latent_size
        chosen = tf.random.stateless_uniform(
            [batch], seed(0), maxval=len(self._labels), dtype=tf.int32
        )
        real, labels = tf.gather(self._digits, chosen), tf.gather(self._labels, chosen)
        latent = tf.random.stateless_normal(latents, seed(1))
        disc_loss, gradients = self.discriminator_gradients(real, latent, labels)
        self.trainer.apply("discriminator", gradients, disc_loss)
        latent = tf.random.stateless_normal(latents, seed(2))
        gen_loss, gradients = self.generator_gradients(latent, labels)
        self.trainer.apply("generator", gradients, gen_loss)
        return {"gen_loss": gen_loss, "disc_loss": disc_loss}

    def generate(self, latent: tf.Tensor, labels: tf.Tensor, training: bool = False):
        """Generates digits for labels, float [batch, 28, 28, 1] in [-1, 1].

        Args:
          latent: Float [batch, latent_size].
          labels: Integers [batch], 0 to 9.
          training: Whether norms take the batch's statistics.
        """
        one_hot = tf.one_hot(labels, digits.NUM_CLASSES, dtype=latent.dtype)
        return self.generator(tf.concat([latent, one_hot], axis=1), training=training)

    def discriminator_gradients(self, real, latent, labels):
        """The discriminator's loss and its gradients.

        Args:
          real: Digits, float [batch, 28, 28, 1] in [-1, 1].
          latent: As many latents, float [batch, latent_size].
          labels: Of the real digits, and those asked of the generator.
        """
        fake = self.generate(latent, labels, training=True)
        with tf.GradientTape() as tape:
            disc_real, disc_fake = (
                self._judged(real, labels),
                self._judged(fake, labels),
            )
            loss = discriminator_loss(binary_cross_entropy, disc_real, disc_fake)
        return loss, tape.gradient(loss, self.discriminator.trainable_variables)

    def generator_gradients(self, latent, labels):
        """The generator's loss and its gradients.

        Args:
          latent: Float [batch, latent_size].
          labels: Integers [batch].
        """
        with tf.GradientTape() as tape:
            fake = self.generate(latent, labels, training=True)
            loss = generator_loss(binary_cross_entropy, self._judged(fake, labels))
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _judged(self, images, labels):
        labelled = networks.with_label(images, labels, digits.NUM_CLASSES)
        return self.discriminator(labelled, training=True)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Generates digits in [-1, 1], equally many per label; returns labels too.

        Args:
          number: Of each label; always of the same latents.
        """
        labels = np.repeat(np.arange(digits.NUM_CLASSES), number)
        shape = len(labels), self.options.latent_size
        latent = tf.random.stateless_normal(shape, (0, 0))
        made = [
            self.generate(latent[i : i + number], labels[i : i + number]).numpy()
            for i in range(0, len(labels), number)
        ]
        return np.concatenate(made), labels

    @functools.cached_property
    def judge(self) -> judging.Judge:
        """The judge of digits, a classifier; its weights are stored in the run."""
        run_dir = self.options.run_dir
        return judging.prepared(networks.judge(), run_dir, digits.load)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The share of 2,000 digits that the judge assigns to their label."""
        made, labels = self.sample(_MEASURED)
        right = float((self.judge.ask(made)[0] == labels).mean())
        accuracy = self.judge.accuracy
        line = (
            f"{right:.1%} show the requested digit (a judge with {accuracy:.1%} "
            "accuracy; chance 10%)"
        )
        return {"as_asked": right, "judge_accuracy": accuracy}, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """A sheet of generated digits, one row per label."""
        made = to_uint8(self.sample(_SHOWN)[0]).numpy()
        return {"generated": digits.sheet(made, _SHOWN)}
