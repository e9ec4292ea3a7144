"""A history of fakes for the discriminators.

Shrivastava et al. (arXiv 1612.07828); arXiv 1703.10593, section 4. The
images are tf.Variables and the rule runs inside the step, so each replica has its own
pool and checkpoints hold it.
"""

import tensorflow as tf

from cyclegan_tf.core.replicas import first_replica, num_local_replicas, of_one_replica
from cyclegan_tf.core.state import State


class ImagePool:
    """Stores up to `size` earlier fakes, and returns them instead of half of the new.

    Args:
      size: Number of images, at least 1.
      image_shape: (height, width, channels) of an image.
      device: Device of the variables; the current device if None.
    """

    def __init__(
        self, size: int, image_shape: tuple[int, int, int], device: str | None = None
    ):
        self.size = size
        with tf.device(device):
            self.images = tf.Variable(tf.zeros((size, *image_shape)), trainable=False)
            # int64: TensorFlow has no int32 variables on GPUs.
            self.count = tf.Variable(0, trainable=False, dtype=tf.int64)

    def query(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Takes new images and returns as many, by the rule of the official code.

        While the pool is not full, it stores and returns each new image. Later, with
        probability 0.5, it returns a random stored image and stores the new one in its
        place; else it returns the new one. It never stores an image with values that
        are not finite.

        Args:
          images: Float tensor [batch, height, width, channels]; static batch.
          seed: Integer tensor [2] for the draws.

        Returns:
          Float tensor like `images`, without a gradient.
        """
        images = tf.stop_gradient(images)
        batch = images.shape[0]
        swap, chosen = pool_draws(batch, self.size, seed)
        return tf.stack(
            [self._query_one(images[i], swap[i], chosen[i]) for i in range(batch)]
        )

    def _query_one(self, image, swap, chosen) -> tf.Tensor:
        full = self.count >= self.size
        slot = tf.where(full, chosen, self.count)
        stored = tf.gather(self.images, slot)
        hand_out = full & swap
        # An overflowed image would be returned again and again.
        finite = tf.reduce_all(tf.math.is_finite(image))
        keep = finite & (swap | tf.logical_not(full))
        kept = tf.where(keep, image, stored)
        self.images.scatter_nd_update([[slot]], kept[tf.newaxis])
        self.count.assign_add(tf.cast(finite & tf.logical_not(full), tf.int64))
        return tf.where(hand_out, stored, image)


def pool_draws(batch: int, size: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The random draws for a batch: whether to swap (p > 0.5), and with which image.

    Args:
      batch: Number of images.
      size: Size of the pool.
      seed: Integer tensor [2].

    Returns:
      Booleans [batch] and int64 [batch] in [0, size).
    """
    p_seed, slot_seed = tf.unstack(tf.random.split(seed, 2))
    p = tf.random.stateless_uniform([batch], p_seed)
    slot = tf.random.stateless_uniform([batch], slot_seed, maxval=size, dtype=tf.int64)
    return p > 0.5, slot


def make_pools(
    size: int, image_shape: tuple[int, int, int], strategy: tf.distribute.Strategy
) -> list[ImagePool]:
    """Makes a pool per replica, on the replica's device; none if the size is 0.

    Args:
      size: Images in each pool.
      image_shape: (height, width, channels) of an image.
      strategy: The strategy of the replicas.
    """
    if not size:
        return []
    devices = [None]
    if strategy.num_replicas_in_sync > 1:
        devices = ["CPU:0"] * strategy.num_replicas_in_sync
        local = strategy.extended.worker_devices
        first = first_replica(strategy)
        devices[first : first + len(local)] = local
    return [ImagePool(size, image_shape, device) for device in devices]


def pools_state(
    domains: dict[str, list[ImagePool]], strategy: tf.distribute.Strategy
) -> State:
    """The variables of all pools, for a checkpoint; group `pools_DOMAIN_REPLICA`.

    Copies the pools of other processes here first, if there are any.

    Args:
      domains: Pools from `make_pools` by domain.
      strategy: The strategy of the replicas.
    """
    several = num_local_replicas(strategy) < strategy.num_replicas_in_sync
    groups = {}
    for domain, pools in domains.items():
        if pools and several:
            images, counts = of_one_replica(_gathered(strategy, *pools), strategy)
        for replica, pool in enumerate(pools):
            if several:
                pool.images.assign(images[replica])
                pool.count.assign(counts[replica])
            variables = {"images": pool.images, "count": pool.count}
            groups[f"pools_{domain}_{replica}"] = variables
    return groups


@tf.function(autograph=False)  # Traced once for each domain's pools.
def _gathered(strategy: tf.distribute.Strategy, *pools: ImagePool):
    """Images and counts of all pools, on each replica."""

    def of_replica():
        replica = tf.distribute.get_replica_context()
        own = pools[tf.get_static_value(replica.replica_id_in_sync_group)]
        values = own.images[tf.newaxis], own.count[tf.newaxis]
        return [replica.all_gather(value, axis=0) for value in values]

    return strategy.run(of_replica)
