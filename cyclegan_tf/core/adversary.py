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
        disc_fake = self.discriminator(fake, training=True)
        if self.pools:
            disc_real, disc_pool = self._real_and_pool(real, fake)
        else:
            disc_real, disc_pool = self.discriminator(real, training=True), disc_fake
        disc_loss = discriminator_loss(self._loss, disc_real, disc_pool)
        if self._config.adversarial_loss == "wgan_gp":
            seed, fake = self._seed(2 + self._number), tf.stop_gradient(fake)
            penalty = interpolation_penalty(self.discriminator, real, fake, seed)
            disc_loss += self._config.lambda_gradient * penalty
        return generator_loss(self._loss, disc_fake), disc_loss

    def _real_and_pool(self, real, fake):
        """Logits of real images and of fakes from the pool, from one call."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        pool = self.pools[tf.get_static_value(replica)]
        shown = pool.query(tf.stop_gradient(fake), self._seed(self._number))
        both = self.discriminator(tf.concat([real, shown], axis=0), training=True)
        # `projected` discriminators return a list of maps.
        parts = [tf.split(logits, 2) for logits in tf.nest.flatten(both)]
        return zip(*parts, strict=True)
