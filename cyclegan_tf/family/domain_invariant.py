"""Features that hide the domain of a digit (arXiv 1705.11122, 1409.7495).

An encoder feeds two classifiers. The digit classifier learns from labels in the domain
`plain`. The domain classifier learns to separate `plain` from `textured`, and the
encoder learns to fool it, so that the digit classifier also works on textured digits.
This is a GAN on features. Like GANs on pictures it needs swapped labels instead of a
reversed gradient, and a gradient penalty (R1) for the domain classifier. Without them
its logits grow without bound.
"""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cyclegan_tf.core.losses import binary_cross_entropy, discriminator_loss
from cyclegan_tf.core.penalties import gradient_penalty
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.family.shared import digits
from cyclegan_tf.family.shared.networks import features, perceptron
from cyclegan_tf.family.shared.options import DomainInvariant

# Features per domain in a picture.
_SHOWN = 500


class DomainInvariantClassifier:
    """An encoder, a digit classifier and a domain classifier, and their step."""

    curves = {"Digits": ("class_loss",), "Domains": ("domain_loss",)}

    def __init__(
        self, options: DomainInvariant, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        source, target = (digits.load("train", domain) for domain in digits.DOMAINS)
        self._source, self._labels = map(tf.constant, (source.pictures, source.labels))
        self._target = tf.constant(target.pictures)
        self._tests = [digits.load("test", domain) for domain in digits.DOMAINS]
        self.trainer = Trainer(options, strategy, self._build, self.step)
        self.encoder, self.classifier, self.domain = self.trainer.networks.values()
        self._probe = perceptron(options.num_features, 1, 64, 1, "probe")
        self._probe_start = self._probe.get_weights()

    def _build(self) -> dict:
        options = self.options
        number, size = options.num_features, (options.num_units, options.num_layers)
        return {
            "encoder": features(
                options.num_filters, number, "instance", "tanh", "encoder"
            ),
            "classifier": perceptron(number, digits.NUM_CLASSES, 0, 0, "classifier"),
            "domain": perceptron(number, 1, *size, "domain"),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates all three networks at once; returns `class_loss` and `domain_loss`.

        The weight of fooling the domain classifier grows from 0 (arXiv 1409.7495,
        section 5.2.2).
        """
        batch, seed = self.trainer.batch, self.trainer.seed
        source, labels = digits.draw_rows([self._source, self._labels], batch, seed(0))
        (target,) = digits.draw_rows([self._target], batch, seed(1))
        done = tf.cast(self.trainer.optimizers["encoder"].iterations, tf.float32)
        weight = self.options.lambda_domain * ramp(done / self.options.num_steps)
        losses, gradients = self.gradients(source, labels, target, weight)
        for name, gradient in gradients.items():
            self.trainer.apply(name, gradient, losses)
        return losses

    def gradients(self, source, labels, target, weight):
        """The losses, and the gradients by the networks' names.

        The encoder minimizes the digit classifier's loss, and `weight` times the domain
        loss with swapped labels; the domain classifier minimizes the domain loss.

        Args:
          source: Digits with labels, float [batch, 28, 28, 1].
          labels: Their labels, int32 [batch].
          target: Digits of the other domain, float [batch, 28, 28, 1].
          weight: Weight of fooling the domain classifier, a scalar.
        """
        with tf.GradientTape(persistent=True) as tape:
            images = tf.concat([source, target], axis=0)
            encoded = self.encoder(images, training=True)
            logits = self.classifier(tf.split(encoded, 2)[0], training=True)
            class_loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            )
            plain, textured = tf.split(self.domain(encoded, training=True), 2)
            domain_loss = discriminator_loss(binary_cross_entropy, plain, textured)
            fooling_loss = discriminator_loss(binary_cross_entropy, textured, plain)
            loss = class_loss + weight * fooling_loss
            penalty = gradient_penalty(self.domain, tf.stop_gradient(encoded))
            domain_total = domain_loss + self.options.lambda_r1 * penalty
        totals = {"encoder": loss, "classifier": class_loss, "domain": domain_total}
        gradients = {
            name: tape.gradient(total, self.trainer.networks[name].trainable_variables)
            for name, total in totals.items()
        }
        return {"class_loss": class_loss, "domain_loss": domain_loss}, gradients

    def encoded(self) -> list[np.ndarray]:
        """Features of the test digits of each domain, float [number, num_features]."""
        return [self.encoder(test.pictures).numpy() for test in self._tests]

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The accuracy on test digits of each domain, and of a probe for the domain."""
        encoded = self.encoded()
        source, target = (
            float((self.classifier(each).numpy().argmax(axis=1) == test.labels).mean())
            for each, test in zip(encoded, self._tests, strict=True)
        )
        probe = self.probe_accuracy(*encoded)
        line = (
            f"{source:.1%} accuracy on plain and {target:.1%} on textured test digits; "
            f"a probe for the domain has {probe:.1%}"
        )
        return {"source": source, "target": target, "probe": probe}, [line]

    def probe_accuracy(self, source: np.ndarray, target: np.ndarray) -> float:
        """Trains a new domain classifier on features; its accuracy, 0.5 by chance.

        It starts with the same weights each time, trains on the first half of the
        features and predicts the domains of the second half.

        Args:
          source: Features of one domain, [number, num_features].
          target: Features of the other domain, [number, num_features].
        """
        half = len(source) // 2
        both = np.stack([source, target], axis=1)[: 2 * half]
        train, test = both.reshape(2, 2 * half, -1)
        mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
        train, test = (train - mean) / deviation, (test - mean) / deviation
        domains = np.tile([0.0, 1.0], half)
        self._probe.set_weights(self._probe_start)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        self._probe.compile(keras.optimizers.Adam(1e-3), loss)
        self._probe.fit(train, domains, 100, epochs=50, shuffle=False, verbose=0)
        predicted = self._probe.predict(test, batch_size=500, verbose=0)[:, 0] > 0
        return float((predicted == domains).mean())

    def pictures(self) -> dict[str, np.ndarray]:
        """Plots two principal components of features, by domain and by digit."""
        encoded = np.concatenate([each[:_SHOWN] for each in self.encoded()])
        centred = encoded - encoded.mean(axis=0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        places = centred @ axes[:2].T
        labels = np.concatenate([test.labels[:_SHOWN] for test in self._tests])
        domains = np.repeat([0, 1], len(labels) // 2)
        return {"domains": _plot(places, domains), "digits": _plot(places, labels)}


def ramp(progress: tf.Tensor) -> tf.Tensor:
    """2 / (1 + exp(-10 * progress)) - 1, for progress in [0, 1]."""
    return 2 / (1 + tf.exp(-10 * progress)) - 1


def _plot(places: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Plots points, one colour per kind, uint8 [1, 256, 256, 3]."""
    figure = Figure(figsize=(2.56, 2.56), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1), frame_on=False, xticks=[], yticks=[])
    axes.scatter(*places.T, s=2, c=[f"C{kind}" for kind in kinds])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[np.newaxis, ..., :3]
