"""A conditional GAN (arXiv 1411.1784): digits that show what is asked for.

DCGAN's networks; the generator is told a label beside its latent, the discriminator
beside the image, so that a digit passes only if it is a real one of its label.
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
from cyclegan_tf.family.shared import digits
from cyclegan_tf.family.shared import judge as judging
from cyclegan_tf.family.shared import networks as networks
from cyclegan_tf.family.shared.options import Conditional

# Digits of each label that the numbers are of, and that are shown.
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
        """Digits of labels, float [batch, 28, 28, 1] in [-1, 1].

        Args:
          latent: Float [batch, latent_size].
          labels: Integers [batch], 0 to 9.
          training: Whether norms take the batch's statistics.
        """
        told = tf.one_hot(labels, digits.NUM_CLASSES, dtype=latent.dtype)
        return self.generator(tf.concat([latent, told], axis=1), training=training)

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
        told = networks.with_label(images, labels, digits.NUM_CLASSES)
        return self.discriminator(told, training=True)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Digits in [-1, 1], as many of each label, and the labels in their order.

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
        """The judge of the digits; the run has its weights."""
        run_dir = self.options.run_dir
        return judging.prepared(networks.judge(), run_dir, digits.load)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """How many of 2,000 digits show what was asked for, as the judge sees it."""
        made, labels = self.sample(_MEASURED)
        right = float((self.judge.ask(made)[0] == labels).mean())
        accuracy = self.judge.accuracy
        line = (
            f"{right:.1%} show the digit that was asked for (by a judge that is right "
            f"of {accuracy:.1%}; chance 10%)"
        )
        return {"as_asked": right, "judge_accuracy": accuracy}, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """A sheet of generated digits, a row for each label."""
        made = to_uint8(self.sample(_SHOWN)[0]).numpy()
        return {"generated": digits.sheet(made, _SHOWN)}
