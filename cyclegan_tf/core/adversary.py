"""The adversarial losses of one domain: its discriminator, image pool and penalty."""

from collections.abc import Callable

import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.core.image_pool import ImagePool
from cyclegan_tf.core.losses import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    generator_loss,
)
from cyclegan_tf.core.penalties import interpolation_penalty


class Adversary:
    """A discriminator, and how it learns.

    Args:
      config: The adversarial loss and the weight of its penalty.
      discriminator: From images and `training` to logits: a map, or a list of maps.
      pools: Earlier fakes for the discriminator (section 4), a pool for each replica;
        empty: it learns from new fakes alone.
      seed: From a number to the seed of a draw in this step.
      number: 0 for X, 1 for Y; the two domains draw different numbers.
    """

    def __init__(
        self,
        config: Config,
        discriminator: Callable,
        pools: list[ImagePool],
        seed: Callable[[int], tf.Tensor],
        number: int,
    ):
        self.discriminator, self.pools = discriminator, pools
        self._config, self._seed, self._number = config, seed, number
        self._loss = ADVERSARIAL_LOSSES[config.adversarial_loss]

    def losses(self, real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The generator's adversarial loss and the discriminator's loss.

        Args:
          real: Images of the domain, float [batch, height, width, channels].
          fake: As many images of the generator.

        Returns:
          Two scalars: how far `fake` is from being taken for real, and how far the
          discriminator is from telling real images from fakes.
        """
        disc_fake = self._judged(fake, 4)
        if self.pools:
            disc_real, disc_pool = self._real_and_pool(real, fake)
        else:
            disc_real, disc_pool = self._judged(real, 6), disc_fake
        disc_loss = discriminator_loss(self._loss, disc_real, disc_pool)
        if self._config.adversarial_loss == "wgan_gp":
            seed, fake = self._seed(2 + self._number), tf.stop_gradient(fake)
            penalty = interpolation_penalty(self.discriminator, real, fake, seed)
            disc_loss += self._config.lambda_gradient * penalty
        return generator_loss(self._loss, disc_fake), disc_loss

    def _judged(self, images, number: int):
        """Logits of images, or of random parts of them; `number` is for the seed."""
        config = self._config
        if config.discriminator_crop < 1:
            seed, size = self._seed(number + self._number), images.shape[1]
            if config.discriminator == "projected":
                size = config.feature_size or size
            images = random_parts(images, config.discriminator_crop, size, seed)
        return self.discriminator(images, training=True)

    def _real_and_pool(self, real, fake):
        """Logits of real images and of fakes from the pool, from one call."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        pool = self.pools[tf.get_static_value(replica)]
        shown = pool.query(tf.stop_gradient(fake), self._seed(self._number))
        both = self._judged(tf.concat([real, shown], axis=0), 6)
        # `projected` discriminators return a list of maps.
        parts = [tf.split(logits, 2) for logits in tf.nest.flatten(both)]
        return zip(*parts, strict=True)


def random_parts(
    images: tf.Tensor, smallest: float, size: int, seed: tf.Tensor
) -> tf.Tensor:
    """Cuts a random part from each image, and resizes it (bilinear).

    A discriminator that always sees pixels in the same places can be deceived by fine
    checks. (An idea of DiffAugment, arXiv 2006.10738.)

    Args:
      images: Float tensor [batch, height, width, channels]; static shape.
      smallest: A part has this share of the sides at least, at most the whole.
      size: Side of the results.
      seed: Integer tensor [2].

    Returns:
      Images [batch, size, size, channels].
    """
    share_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    batch = images.shape[0]
    share = tf.random.stateless_uniform([batch, 1], share_seed, smallest, 1.0)
    start = tf.random.stateless_uniform([batch, 2], place_seed) * (1 - share)
    return parts(images, start, share, size)


def parts(images, start, share, size: int) -> tf.Tensor:
    """Cuts parts; `start` [batch, 2] and `share` [batch, 1] are shares of the sides."""
    rows = _interpolation(images.shape[1], start[:, :1], share, size)
    columns = _interpolation(images.shape[2], start[:, 1:], share, size)
    rows, columns = (tf.cast(x, images.dtype) for x in (rows, columns))
    return tf.einsum("nyh,nhwc,nxw->nyxc", rows, images, columns)


def _interpolation(length: int, start, share, size: int) -> tf.Tensor:
    """Weights of `length` pixels in each of `size` new ones, [batch, size, length]."""
    centres = (tf.range(size, dtype=tf.float32) + 0.5) / size
    place = tf.clip_by_value(length * (start + share * centres) - 0.5, 0, length - 1)
    pixels = tf.range(length, dtype=tf.float32)
    return tf.nn.relu(1 - tf.abs(place[..., tf.newaxis] - pixels))
