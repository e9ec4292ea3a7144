"""pix2pix (Isola et al. 2017, arXiv 1611.07004): translation from pairs.

A U-Net translates pictures of A. A PatchGAN sees a picture of A beside one of B, and
separates true pairs from translations. The L1 loss compares each translation with its
truth, pixel by pixel.

Departures from the paper: no dropout, so that a step is a function of its batch (the
paper uses it as noise and finds little effect, section 3.1); and instance norm, which
equals the paper's batch norm at its batch size of 1.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from cyclegan_tf.core.discriminators import patchgan
from cyclegan_tf.core.generators import unet
from cyclegan_tf.core.losses import (
    binary_cross_entropy,
    discriminator_loss,
    generator_loss,
)
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.data import images
from cyclegan_tf.family.shared import pairs as paired
from cyclegan_tf.family.shared.options import Pix2Pix

# Pictures in a grid, and in a batch of a measurement.
_SHOWN, _AT_ONCE = 8, 16


class Pix2PixGAN:
    """A generator, a discriminator of pairs, and the step that trains them.

    In names, A is the input and B its translation, for both directions.

    Raises:
      UserError: the pairs can't be loaded.
    """

    def __init__(
        self, options: Pix2Pix, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        self.data = paired.load(options)
        self.trainer = Trainer(options, strategy, self._build, self.step)
        self.generator, self.discriminator = self.trainer.networks.values()
        self.curves = {"L1 loss": ("l1_loss",)}
        if options.lambda_gan:
            self.curves["GAN losses"] = ("gan_loss", "disc_loss")

    def _build(self) -> dict:
        options = self.options
        return {
            "generator": unet(options.num_filters, options.num_downs, name="generator"),
            "discriminator": patchgan(
                options.discriminator_filters,
                options.discriminator_layers,
                channels=6,
                name="discriminator",
            ),
        }

    def batches(self, start: int, num_steps: int) -> Iterator[tuple]:
        """The arguments of the steps from `start` to before `num_steps`."""
        train, strategy = self.data.train, self.trainer.strategy
        return paired.batches(train, self.options, strategy, start, num_steps)

    def names_of_step(self, step: int) -> list[str]:
        """Names of the pairs of a step, counted from 0."""
        return paired.names_of_step(self.data.train, self.options, step)

    def step(self, real_a: tf.Tensor, real_b: tf.Tensor) -> dict[str, tf.Tensor]:
        """Updates the discriminator and then the generator (section 3.3).

        Args:
          real_a: Pictures to translate, float32 [batch, size, size, 3] in [-1, 1].
          real_b: Their true translations.

        Returns:
          `gen_loss` and its unweighted `l1_loss`; also the unweighted `gan_loss` and
          `disc_loss`, unless `lambda_gan` is 0.
        """
        losses = {}
        if self.options.lambda_gan:
            disc_loss, gradients = self.discriminator_gradients(real_a, real_b)
            self.trainer.apply("discriminator", gradients, disc_loss)
            losses["disc_loss"] = disc_loss
        gen_losses, gradients = self.generator_gradients(real_a, real_b)
        self.trainer.apply("generator", gradients, gen_losses)
        return {**gen_losses, **losses}

    def discriminator_gradients(self, real_a, real_b):
        """The discriminator's loss and its gradients: equation 1, halved."""
        fake_b = self.generator(real_a, training=True)
        with tf.GradientTape() as tape:
            # Instance norm treats each picture on its own: one call equals two.
            pairs = tf.concat([_pair(real_a, real_b), _pair(real_a, fake_b)], axis=0)
            disc_real, disc_fake = tf.split(self.discriminator(pairs, training=True), 2)
            loss = discriminator_loss(binary_cross_entropy, disc_real, disc_fake)
        return loss, tape.gradient(loss, self.discriminator.trainable_variables)

    def generator_gradients(self, real_a, real_b):
        """The generator's losses by name and its gradients.

        lambda_gan * -log D(a, G(a)) + lambda_l1 * |b - G(a)|, means over all elements
        (equations 3 and 4, with the non-saturating loss).
        """
        options, losses = self.options, {}
        with tf.GradientTape() as tape:
            fake_b = self.generator(real_a, training=True)
            losses["l1_loss"] = tf.reduce_mean(tf.abs(real_b - fake_b))
            loss = options.lambda_l1 * losses["l1_loss"]
            if options.lambda_gan:
                disc_fake = self.discriminator(_pair(real_a, fake_b), training=True)
                losses["gan_loss"] = generator_loss(binary_cross_entropy, disc_fake)
                loss += options.lambda_gan * losses["gan_loss"]
        gradients = tape.gradient(loss, self.generator.trainable_variables)
        return {"gen_loss": loss, **losses}, gradients

    def translate(self, indices: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, outputs and truths of test pairs, uint8 [number, size, size, 3]."""
        pairs = np.stack([self.data.test.read(i) for i in indices])
        inputs, truths = pairs[..., :3], pairs[..., 3:]
        outputs = self.generator(images.to_float(inputs), training=False)
        return inputs, images.to_uint8(outputs).numpy(), truths

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """Compares the translations of all test pictures with the truth.

        `error` is the mean absolute difference in levels of 255, `error_of_input` the
        same for the input. `sharpness` is the mean difference of neighbouring pixels
        over that of the truth: below 1 for blur, above 1 for additional edges or noise.
        """
        number, sums = len(self.data.test), np.zeros(4)
        for start in range(0, number, _AT_ONCE):
            inputs, outputs, truths = (
                x.astype(np.float64)
                for x in self.translate(range(start, min(start + _AT_ONCE, number)))
            )
            apart = np.abs(outputs - truths), np.abs(inputs - truths)
            sums += len(inputs) * np.array(
                [*map(np.mean, apart), _steepness(outputs), _steepness(truths)]
            )
        error, error_of_input, edges, true_edges = map(float, sums / number)
        # A truth of a single colour has no edges.
        sharpness = edges / true_edges if true_edges else 1.0
        source = "" if self.data.has_test else " (of training pictures)"
        line = (
            f"error to the truth {error:.1f} levels, of doing nothing "
            f"{error_of_input:.1f}; {sharpness:.0%} as sharp as the truth{source}"
        )
        return {
            "error": error,
            "error_of_input": error_of_input,
            "sharpness": sharpness,
        }, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """Test pictures, their translations and the truth, one row per pair."""
        shown = range(min(_SHOWN, len(self.data.test)))
        inputs, outputs, truths = self.translate(shown)
        return {"input": inputs, "output": outputs, "truth": truths}


def _pair(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.concat([a, b], axis=-1)


def _steepness(pictures: np.ndarray) -> float:
    """Mean absolute difference of neighbours along both axes."""
    return float(np.mean([np.abs(np.diff(pictures, axis=a)).mean() for a in (1, 2)]))
