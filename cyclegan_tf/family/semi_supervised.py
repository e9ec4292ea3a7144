"""A classifier trained on few labels with a GAN (arXiv 1606.03498, section 5).

Beside the ten digits the classifier knows an eleventh class, what a generator made. So
it learns of digits without labels too: whatever they are, they are not generated.
"""

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.losses import binary_cross_entropy, discriminator_loss
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.data.images import to_float, to_uint8
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.family.shared.options import SemiSupervised

# Rows and columns of a sheet; batch size of the classifier for tests.
_SHOWN, _AT_ONCE = 8, 500


class SemiSupervisedGAN:
    """A classifier and a generator of digits, and the step that trains them.

    Args:
      options: What to build and how to train it.
      strategy: A tf.distribute strategy; the current one if None.

    Raises:
      UserError: there are not as many labels of each class, or not so many digits.
    """

    curves = {
        "Classifier": ("labelled_loss", "unlabelled_loss"),
        "Generator": ("gen_loss",),
    }

    def __init__(
        self,
        options: SemiSupervised,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.options = options
        train, self._test = digits.load("train"), digits.load("test")
        chosen = digits.labelled(train.labels, options.num_labels, options.seed)
        self._labelled = tf.constant(train.images[chosen])
        self._labels = tf.constant(train.labels[chosen])
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
        """Updates the classifier and then the generator.

        Digits, latents and noise are drawn inside, from the seed and the step.

        Returns:
          `labelled_loss`, `unlabelled_loss` and `gen_loss`.
        """
        batch, seed = self.trainer.batch, self.trainer.seed
        known, labels = _some([self._labelled, self._labels], batch, seed(0))
        (real,) = _some([self._unlabelled], batch, seed(1))
        (matched,) = _some([self._unlabelled], batch, seed(2))
        known = digits.moved(known, self.options.moves, seed(10))
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
          labels: Theirs, int32 [batch].
          real: Digits without labels, likewise.
          latent: Latents, float [batch, latent_size].
          place: Integer tensor [2], the seed of the noise on generated digits.

        Returns:
          `labelled_loss`, the cross entropy of the labels among the ten, and
          `unlabelled_loss`, that of real and generated, halved; and the gradients.
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
        """The generator's loss, feature matching (section 3.1), and its gradients.

        Args:
          real: Digits without labels, float [batch, 28, 28, 1], with noise.
          latent: Latents, float [batch, latent_size].
          place: Integer tensor [2], the seed of the noise on generated digits.

        Returns:
          The squared distance of the mean features, a scalar, and the gradients.
        """
        wanted = tf.reduce_mean(self.classifier(real, training=True)[0], axis=0)
        with tf.GradientTape() as tape:
            fake = self._noisy(self.generator(latent, training=True), place)
            made = tf.reduce_mean(self.classifier(fake, training=True)[0], axis=0)
            loss = tf.reduce_sum(tf.square(made - wanted))
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def _noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape, dtype = images.shape, images.dtype
        return images + self.options.noise * tf.random.stateless_normal(
            shape, seed, dtype=dtype
        )

    def said(self) -> np.ndarray:
        """The classifier's digits for the test pictures, integers [number]."""
        pictures = self._test.pictures
        parts = [pictures[i : i + _AT_ONCE] for i in range(0, len(pictures), _AT_ONCE)]
        logits = [self.classifier(part, training=False)[1].numpy() for part in parts]
        return np.concatenate(logits).argmax(axis=1)

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The accuracy on test digits."""
        right = float((self.said() == self._test.labels).mean())
        line = f"{right:.1%} accuracy on {len(self._test.labels):,} test digits"
        return {"right": right}, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """Sheets of labelled, generated and wrongly classified digits."""
        shape = _SHOWN**2, self.options.latent_size
        made = self.generator(tf.random.stateless_normal(shape, (0, 0)), training=False)
        wrong = self._test.images[self.said() != self._test.labels]
        shown = {
            "labelled": self._labelled.numpy(),
            "generated": to_uint8(made).numpy(),
            "wrongly classified": wrong,
        }
        return {title: _sheet(images) for title, images in shown.items()}


def _sheet(images: np.ndarray) -> np.ndarray:
    """A sheet of the first digits, filled up with black."""
    number = _SHOWN**2
    missing = max(0, number - len(images))
    padded = np.pad(images[:number], ((0, missing), (0, 0), (0, 0), (0, 0)))
    return digits.sheet(padded, _SHOWN)


def _some(tensors: list[tf.Tensor], number: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """The same rows of each tensor, drawn with replacement."""
    rows = tf.random.stateless_uniform([number], seed, 0, len(tensors[0]), tf.int32)
    return [tf.gather(tensor, rows) for tensor in tensors]
