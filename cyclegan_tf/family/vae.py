"""A variational autoencoder (Kingma and Welling, arXiv 1312.6114) on digits.

An encoder maps a digit x to a normal distribution q(z|x) over latents, a decoder maps a
latent z to a normal distribution p(x|z) over digits. Both maximize the evidence lower
bound (ELBO), log p(x|z) - KL(q(z|x) || N(0, I)). All digits must be reconstructed, so
no kind is left out as in a GAN; the decoder gives the mean of several answers, so the
digits are blurred.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.data.images import to_uint8
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.family.shared.options import VAE as Options

# Digits to measure, and in a row of a sheet.
_MEASURED, _SHOWN = 2_000, 8


class VAE:
    """An encoder and a decoder of digits, and the step that trains them.

    Attributes:
      encoder: From digits to the means and log variances of q(z|x).
      decoder: From latents to the means of p(x|z). It is DCGAN's generator, and
        `generator` in checkpoints, so that exports take it.
    """

    curves = {"Negative log likelihood": ("reconstruction_loss",), "KL": ("kl_loss",)}

    def __init__(
        self, options: Options, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        self._train = tf.constant(digits.load("train").pictures)
        self.trainer = Trainer(options, strategy, self._build, self.step)
        self.encoder, self.decoder = self.trainer.networks.values()

    def _build(self) -> dict:
        options = self.options
        base = networks.features(options.num_filters, options.num_features)
        parameters = [
            keras.layers.Dense(options.latent_size, name=name)(base.output)
            for name in ("mean", "log_variance")
        ]
        return {
            "encoder": keras.Model(base.input, parameters, name="encoder"),
            "generator": networks.generator(
                options.latent_size, options.num_filters, options.norm
            ),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates both networks on one batch."""
        batch, seed = self.trainer.batch, self.trainer.seed
        (real,) = digits.draw_rows([self._train], batch, seed(0))
        noise = tf.random.stateless_normal([batch, self.options.latent_size], seed(1))
        losses, gradients = self.gradients(real, noise)
        self.trainer.update(gradients, losses)
        return losses

    def gradients(self, real, noise):
        """The two losses, and the gradients of their sum by the networks' names.

        Args:
          real: Digits, float [batch, 28, 28, 1] in [-1, 1].
          noise: Standard normal, float [batch, latent_size].
        """
        with tf.GradientTape() as tape:
            losses = self.losses(real, noise, training=True)
            loss = losses["reconstruction_loss"] + losses["kl_loss"]
        trained = {n: m.trainable_variables for n, m in self.trainer.networks.items()}
        return losses, tape.gradient(loss, trained)

    def losses(self, real, noise, training: bool = False) -> dict[str, tf.Tensor]:
        """The two parts of the negative ELBO of a digit, in nats (arXiv 1312.6114).

        `reconstruction_loss` is -log p(x|z) for z = mean + deviation * noise, the
        reparametrization of section 2.4. `kl_loss` is appendix B.
        """
        mean, log_variance = self.encoder(real, training=training)
        latent = mean + tf.exp(log_variance / 2) * noise
        error = tf.square(real - self.decoder(latent, training=training))
        variance = self.options.pixel_deviation**2
        surprise = (error / variance + np.log(2 * np.pi * variance)) / 2
        kl = (tf.square(mean) + tf.exp(log_variance) - 1 - log_variance) / 2
        return {
            "reconstruction_loss": tf.reduce_mean(tf.reduce_sum(surprise, (1, 2, 3))),
            "kl_loss": tf.reduce_mean(tf.reduce_sum(kl, 1)),
        }

    @functools.cached_property
    def judge(self) -> digits.Judge:
        """The judge of digits; the run stores its weights."""
        return digits.judge_of(self.options.run_dir)

    def elbo(self) -> float:
        """The mean ELBO of the test digits in nats, each with one fixed noise."""
        pictures = digits.load("test").pictures
        noise = digits.fixed_latents(len(pictures), self.options.latent_size)
        return -float(sum(self.losses(pictures, noise).values()))

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """Measures 2,000 decoded latents (see `Judge.measure`), and the ELBO."""
        latents = digits.fixed_latents(_MEASURED, self.options.latent_size)
        found, lines = self.judge.measure(self.decoder, latents)
        elbo = self.elbo()
        return {**found, "elbo": elbo}, [*lines, f"ELBO of test digits {elbo:.0f} nats"]

    def pictures(self) -> dict[str, np.ndarray]:
        """Sheets of real, reconstructed and generated digits, and paths between."""
        real = digits.load("test").pictures[: _SHOWN**2]
        encoded, _ = digits.in_parts(self.encoder, real)
        latents = digits.fixed_latents(_SHOWN**2, self.options.latent_size)
        shown = {
            "real": real,
            "reconstructed": digits.in_parts(self.decoder, encoded),
            "generated": digits.in_parts(self.decoder, latents),
        }
        ends = np.split(encoded[: 2 * _SHOWN], 2)
        return {
            **{k: digits.sheet(to_uint8(x).numpy(), _SHOWN) for k, x in shown.items()},
            "paths": digits.paths(self.decoder, *ends, _SHOWN),
        }
