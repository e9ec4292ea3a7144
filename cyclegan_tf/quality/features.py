"""Features of pictures: what the distances between two sets of pictures compare.

A distance means nothing without its protocol, so an `Extractor` has a name that says
which network, which weights and which resize.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.networks import features as pretrained
from cyclegan_tf.validation import UserError

_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Extractor:
    """Makes features of pictures.

    Attributes:
      name: Network, digest of its weights, and resize, such as
        `efficientnet_lite2-1a2b3c4d-260px-bicubic`.
      of: From uint8 [number, height, width, 3] to [number, dimension].
    """

    name: str
    of: Callable[[np.ndarray], np.ndarray]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """All features, [number, dimension], a batch at a time.

        Raises:
          UserError: one is not finite.
        """
        starts = range(0, len(pictures), _BATCH)
        found = np.concatenate([self.of(pictures[i : i + _BATCH]) for i in starts])
        if not np.isfinite(found).all():
            raise UserError(
                f"The features that {self.name} makes of the pictures are not finite: "
                "its weights are damaged, or not of this network."
            )
        return found


def of_network(name: str, weights: str = "") -> Extractor:
    """The features of a pretrained network: the means of its last layer.

    Args:
      name: One of `EVALUATION_NETWORKS`.
      weights: See `networks.features.features`.

    Raises:
      UserError: its weights can't be had.
    """
    network = pretrained.features(name, weights)
    side = network.side

    @tf.function(
        input_signature=[tf.TensorSpec([None, side, side, 3], tf.uint8)],
        autograph=False,
    )
    def pooled(pictures):
        return network.pooled(images.to_float(pictures), training=False)

    def of(pictures: np.ndarray) -> np.ndarray:
        return pooled(np.stack([images.resize(p, side) for p in pictures])).numpy()

    return Extractor(f"{network.name}-{side}px-bicubic", of)


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Features that need no network: pictures of 8x8 pixels, float64 [number, 192]."""
    small = np.stack([images.resize(p, 8) for p in pictures]).astype(np.float64)
    return small.reshape(len(pictures), -1)
