"""A classifier trained on few labels with a GAN (arXiv 1606.03498, section 5).

The classifier has an eleventh class beside the ten digits: generated pictures. So it
also learns from digits without labels, since these are not generated.
"""

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.losses import binary_cross_entropy, discriminator_loss
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.data.images import to_float, to_uint8
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.family.shared.options import SemiSupervised

_SHOWN = 8  # Rows and columns of a sheet.


class SemiSupervisedGAN:
    """A classifier and a generator of digits, and the step that trains them.

    Raises:
      UserError: the classes can't share `num_labels` evenly, or have too few digits.
    """

    curves = {
        "Classifier": ("labelled_loss", "unlabelled_loss"),
        "Generator": ("gen_loss",),
    }

    def __init__(
        self, options: SemiSupervised, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        train, self._test = digits.load("train"), digits.load("test")
        chosen = digits.choose_labelled(train.labels, options.num_labels, options.seed)
        self._labelled = [tf.constant(x[chosen]) for x in (train.images, train.labels)]
        self._unlabelled = tf.constant(np.delete(train.images, chosen, axis=0))
        self.trainer = Trainer(options, strategy, self._build, self.step)
        self.classifier, self.generator = self.trainer.networks.values()

    def _build(self) -> dict:
        options = self.options
        features = networks.features(options.num_filters, options.num_features)
        logits = keras.layers.Dense(digits.NUM_CLASSES, name="logits")(features.output)
        outputs = [features.output, logits]
        return {
            "classifier": keras.Model(features.input, outputs, name="classifier"),
            "generator": networks.generator(
                options.latent_size, options.generator_filters, "batch"
            ),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates the classifier and then the generator."""
        batch, seed = self.trainer.batch, self.trainer.seed
        known, labels = digits.draw_rows(self._labelled, batch, seed(0))
        (real,) = digits.draw_rows([self._unlabelled], batch, seed(1))
        (matched,) = digits.draw_rows([self._unlabelled], batch, seed(2))
        known = digits.augment(known, self.options.moves, seed(10))
        known, real, matched = (
            self._noisy(to_float(images), seed(3 + i))
            for i, images in enumerate((known, real, matched))
        )
        latents = batch, self.options.latent_size
        latent = tf.random.stateless_normal(latents, seed(6))
        losses, gradients = self.classifier_gradients(
            known, labels, real, latent, seed(7)
        )
        self.trainer.apply("classifier", gradients, losses)
        latent = tf.random.stateless_normal(latents, seed(8))
        gen_loss, gradients = self.generator_gradients(matched, latent, seed(9))
        self.trainer.apply("generator", gradients, gen_loss)
        return {**losses, "gen_loss": gen_loss}

    def classifier_gradients(self, known, labels, real, latent, place):
        """The classifier's losses and the gradients of their weighted sum.

        With ten logits l and the eleventh fixed at 0, the logit of "not generated" is
        log(sum(exp(l))).

        Args:
          known: Digits with labels, float [batch, 28, 28, 1], with noise.
          labels: Their labels, int32 [batch].
          real: Digits without labels, float [batch, 28, 28, 1], with noise.
          latent: Float [batch, latent_size].
          place: Integer tensor [2], the seed of the noise on generated digits.

        Returns:
          `labelled_loss`, the cross entropy of the ten digits, and `unlabelled_loss`,
          half the cross entropy of real and generated; and the gradients.
        """
        fake = self._noisy(self.generator(latent, training=True), place)
        with tf.GradientTape() as tape:
            images = tf.concat([known, real, fake], axis=0)
            _, logits = self.classifier(images, training=True)
            logits_known, logits_real, logits_fake = tf.split(logits, 3)
            labelled_loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits_known)
            )
            unlabelled_loss = discriminator_loss(
                binary_cross_entropy,
                tf.reduce_logsumexp(logits_real, axis=1),
                tf.reduce_logsumexp(logits_fake, axis=1),
            )
            loss = labelled_loss + self.options.lambda_unlabelled * unlabelled_loss
        losses = {"labelled_loss": labelled_loss, "unlabelled_loss": unlabelled_loss}
        return losses, tape.gradient(loss, self.classifier.trainable_variables)

    def generator_gradients(self, real, latent, place):
        """The squared distance of the mean features (section 3.1), and its gradients.

        Arguments as in `classifier_gradients`.
        """
        mean_real = tf.reduce_mean(self.classifier(real, training=True)[0], axis=0)
        with tf.GradientTape() as tape:
            fake = self._noisy(self.generator(latent, training=True), place)
            mean_fake = tf.reduce_mean(self.classifier(fake, training=True)[0], axis=0)
            loss = tf.reduce_sum(tf.square(mean_fake - mean_real))
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(images.shape, seed, dtype=images.dtype)
        return images + self.options.noise * noise

    def predict(self) -> np.ndarray:
        """Classifies the test digits, integers [number]."""
        _, logits = digits.in_parts(self.classifier, self._test.pictures)
        return logits.argmax(axis=1)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The accuracy on test digits."""
        right = float((self.predict() == self._test.labels).mean())
        line = f"{right:.1%} accuracy on {len(self._test.labels):,} test digits"
        return {"right": right}, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """Sheets of labelled, generated and wrongly classified digits."""
        shape = _SHOWN**2, self.options.latent_size
        latent = tf.random.stateless_normal(shape, (0, 0))
        generated = to_uint8(self.generator(latent, training=False)).numpy()
        return {
            "labelled": _sheet(self._labelled[0].numpy()),
            "generated": _sheet(generated),
            "wrongly classified": _sheet(
                self._test.images[self.predict() != self._test.labels]
            ),
        }


def _sheet(images: np.ndarray) -> np.ndarray:
    """A sheet of the first digits, filled up with black."""
    shown = np.zeros([_SHOWN**2, *images.shape[1:]], np.uint8)
    shown[: len(images)] = images[: len(shown)]
    return digits.sheet(shown, _SHOWN)
