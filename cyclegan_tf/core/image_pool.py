"""A history of generated images that discriminators are also trained on.

Shrivastava et al. (arXiv 1612.07828); arXiv 1703.10593, section 4. It lives in
tf.Variables and runs inside the step, so that it works per replica and is saved.
"""

import tensorflow as tf

from cyclegan_tf.core.replicas import first_replica, num_local_replicas, of_one_replica
from cyclegan_tf.core.state import State


class ImagePool:
    """Up to `size` earlier fakes, handed out instead of half of the new ones.

    Args:
      size: Images kept, at least 1.
      image_shape: (height, width, channels) of an image.
      device: Where its variables live; the current device if None.
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
        """Offers new images, gets as many back, by the official rule for each in turn.

        While the pool is not full, a new image is stored and returned. Then, with
        probability 0.5, a random stored image is returned and the new one takes its
        place; else the new one is returned and not stored. One that is not finite is
        returned and not stored.

        Args:
          images: Float tensor [batch, height, width, channels], batch known.
          seed: Integer tensor [2]; the same seed decides the same way.

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
        # One that overflowed would come back again and again.
        finite = tf.reduce_all(tf.math.is_finite(image))
        keep = finite & (swap | tf.logical_not(full))
        kept = tf.where(keep, image, stored)
        self.images.scatter_nd_update([[slot]], kept[tf.newaxis])
        self.count.assign_add(tf.cast(finite & tf.logical_not(full), tf.int64))
        return tf.where(hand_out, stored, image)


def pool_draws(batch: int, size: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What the rule draws for a batch: whether to swap (p > 0.5), and with which.

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
    """One pool a replica, on its device if it is this process's; none if the size is 0.

    Args:
      size: Images that each keeps.
      image_shape: (height, width, channels) of an image.
      strategy: The replicas'.
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


def step_seed(seed: int, step: tf.Tensor, *numbers) -> tf.Tensor:
    """Seed of what is drawn in a step: a function of the run's seed and the step.

    Args:
      seed: Of the run.
      step: The optimizers' step, an integer scalar.
      *numbers: Integers that tell apart what is drawn in one step.

    Returns:
      An integer tensor [2].
    """
    mixed = tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])
    for number in numbers:
        mixed = tf.random.fold_in(mixed, number)
    return mixed
