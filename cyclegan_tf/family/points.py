"""The plain GAN (arXiv 1406.2661) and WGAN-GP (arXiv 1704.00028) on points.

A generator maps normal latents to points. A discriminator separates them from points of
a known mixture of Gaussians, on a ring or a grid. Everything is visible: samples, the
discriminator's output over the plane, and the modes that the generator found.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cyclegan_tf.core.losses import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    generator_loss,
)
from cyclegan_tf.core.penalties import interpolation_penalty
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.family.shared.networks import perceptron
from cyclegan_tf.family.shared.options import Points

# Points in a picture, and in a measurement.
_SHOWN, _MEASURED = 1_000, 10_000


class PointsGAN:
    """A generator and a discriminator of points, and the step that trains them."""

    curves = {"Losses": ("gen_loss", "disc_loss")}

    def __init__(self, options: Points, strategy: tf.distribute.Strategy | None = None):
        self.options = options
        self._adversarial_loss = ADVERSARIAL_LOSSES[options.adversarial_loss]
        updates = {"discriminator": options.critic_steps}
        self.trainer = Trainer(options, strategy, self._build, self.step, updates)
        self.generator, self.discriminator = self.trainer.networks.values()

    def _build(self) -> dict:
        options = self.options
        size = options.num_units, options.num_layers
        return {
            "generator": perceptron(options.latent_size, 2, *size, "generator"),
            "discriminator": perceptron(2, 1, *size, "discriminator"),
        }

    def step(self) -> dict[str, tf.Tensor]:
        """Updates the discriminator `critic_steps` times, then the generator.

        This is algorithm 1 of both papers.
        """
        options, batch, seed = self.options, self.trainer.batch, self.trainer.seed
        latents = batch, options.latent_size
        for update in range(options.critic_steps):
            real = draw(options.points, batch, seed(3 * update))
            latent = tf.random.stateless_normal(latents, seed(3 * update + 1))
            disc_loss, gradients = self.discriminator_gradients(
                real, latent, seed(3 * update + 2)
            )
            self.trainer.apply("discriminator", gradients, disc_loss)
        last = seed(3 * options.critic_steps + 1)
        gen_loss, gradients = self.generator_gradients(
            tf.random.stateless_normal(latents, last)
        )
        self.trainer.apply("generator", gradients, gen_loss)
        return {"gen_loss": gen_loss, "disc_loss": disc_loss}

    def discriminator_gradients(self, real, latent, place):
        """The discriminator's loss and its gradients.

        Args:
          real: Points, float [batch, 2].
          latent: Float [batch, latent_size].
          place: Integer tensor [2], the seed of the points of the gradient penalty.
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
        """The generator's loss, -log D(G(z)) in the plain GAN, and its gradients."""
        with tf.GradientTape() as tape:
            fake = self.generator(latent, training=True)
            disc_fake = self.discriminator(fake, training=True)
            loss = generator_loss(self._adversarial_loss, disc_fake)
        return loss, tape.gradient(loss, self.generator.trainable_variables)

    def sample(self, number: int) -> np.ndarray:
        """Generates points from fixed latents, float32 [number, 2]."""
        shape = number, self.options.latent_size
        return self.generator(tf.random.stateless_normal(shape, (0, 0))).numpy()

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The `statistics` of 10,000 generated points."""
        found = statistics(self.sample(_MEASURED), self.options.points)
        modes = len(centres(self.options.points))
        line = (
            f"{found['modes']:.0f} of {modes} modes found, {found['within']:.1%} of "
            f"samples within 3 sigma, KL {found['kl_generated_real']:.3f} and "
            f"{found['kl_real_generated']:.3f}"
        )
        return found, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """Plots samples over real points, and over the discriminator's output."""
        kind, fake = self.options.points, self.sample(_SHOWN)
        real = draw(kind, _SHOWN, (0, 1)).numpy()
        logits = self.discriminator(places(kind)).numpy()
        return {
            "samples": picture(kind, {"C7": real, "C1": fake})[np.newaxis],
            "discriminator": picture(kind, {"C1": fake}, logits)[np.newaxis],
        }


# Standard deviation of each Gaussian, in both directions.
DEVIATION = {"ring": 0.05, "grid": 0.1}

# Pictures show the plane from -edge to edge; a field has 64 x 64 values.
_EDGE, _SIDE = {"ring": 1.5, "grid": 5.0}, 64


def centres(kind: str) -> np.ndarray:
    """The means of the Gaussians, which are equally likely, float32 [number, 2].

    Args:
      kind: `ring` (8 on the unit circle) or `grid` (5x5 in [-4, 4]).
    """
    if kind == "ring":
        angles = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return _grid(4.0, 5)


def draw(kind: str, number: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws points from the Gaussians, float32 [number, 2].

    Args:
      kind: `ring` or `grid`.
      number: Number of points.
      seed: Integer tensor [2].
    """
    which, noise = tf.unstack(tf.random.split(seed, 2))
    means = centres(kind)
    modes = tf.random.stateless_uniform([number], which, 0, len(means), tf.int32)
    normal = tf.random.stateless_normal([number, 2], noise)
    return tf.gather(means, modes) + DEVIATION[kind] * normal


def statistics(points: np.ndarray, kind: str) -> dict[str, float]:
    """Compares points [number, 2] with the Gaussians.

    Returns:
      `modes`: the number of modes with at least a fifth of their expected points within
      three standard deviations. `within`: the share of points within three standard
      deviations of a centre, 1 - exp(-4.5) = 0.989 for the Gaussians.
      `kl_generated_real` and `kl_real_generated`: divergences in nats between the
      shares of points nearest to each centre and equal shares. Each centre gets one
      point more, so that a divergence is finite if one has none.
    """
    means = centres(kind)
    distances = np.linalg.norm(points[:, None] - means, axis=-1)
    nearest, number = distances.argmin(axis=1), len(means)
    close = distances.min(axis=1) <= 3 * DEVIATION[kind]
    found = np.bincount(nearest[close], minlength=number)
    shares = np.bincount(nearest, minlength=number) + 1.0
    shares /= shares.sum()
    return {
        "modes": float((found >= 0.2 * len(points) / number).sum()),
        "within": float(close.mean()),
        "kl_generated_real": float((shares * np.log(shares * number)).sum()),
        "kl_real_generated": float(-np.log(shares * number).mean()),
    }


def places(kind: str) -> np.ndarray:
    """The points of a field, row by row from below, float32 [64 * 64, 2]."""
    return _grid(_EDGE[kind], _SIDE)


def _grid(edge: float, number: int) -> np.ndarray:
    """Places number * number points from -edge to edge, row by row from below."""
    side = np.linspace(-edge, edge, number, dtype=np.float32)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def picture(
    kind: str, clouds: Mapping[str, np.ndarray], field: np.ndarray | None = None
) -> np.ndarray:
    """Plots points, over a field if there is one, uint8 [256, 256, 3].

    Args:
      kind: `ring` or `grid`.
      clouds: Points [number, 2] by their colour, a name of matplotlib.
      field: Values at `places(kind)`; bright is high.
    """
    figure = Figure(figsize=(2.56, 2.56), dpi=100)
    axes, edge = figure.add_axes((0, 0, 1, 1)), _EDGE[kind]
    if field is not None:
        values, extent = field.reshape(_SIDE, _SIDE), (-edge, edge) * 2
        axes.imshow(values, extent=extent, origin="lower", cmap="gray")
    for colour, cloud in clouds.items():
        axes.scatter(*cloud.T, s=1, color=colour, alpha=0.5)
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge))
    axes.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
