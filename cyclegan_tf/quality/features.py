"""Features of pictures: what the distances between two sets of pictures compare.

A distance means nothing without its protocol, so an `Extractor` has a name that says
which network, which weights and which resize. None of the numbers is an FID: published
FIDs use another Inception, weights that Keras does not have.
"""

import dataclasses
import pathlib
import warnings
from collections.abc import Callable, Iterator

import keras
import numpy as np

from cyclegan_tf.data import images
from cyclegan_tf.quality.judge import Judge, digest
from cyclegan_tf.validation import UserError

_INCEPTION_SIDE = 299
_BATCH = 16

_NOT_LOADED = (OSError, ValueError, KeyError, TypeError, AttributeError, UserWarning)


@dataclasses.dataclass(frozen=True)
class Extractor:
    """Makes features of pictures.

    Attributes:
      name: Network, digest of its weights, and resize, such as `judge-1a2b3c4d-64px`.
      of: From uint8 [number, height, width, 3] to [number, dimension].
    """

    name: str
    of: Callable[[np.ndarray], np.ndarray]

    def batches(self, pictures: np.ndarray) -> Iterator[np.ndarray]:
        """Features, a batch at a time.

        Raises:
          UserError: one is not finite.
        """
        for start in range(0, len(pictures), _BATCH):
            found = self.of(pictures[start : start + _BATCH])
            check_finite(found, self.name)
            yield found

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """All features, [number, dimension]; see `batches`."""
        return np.concatenate(list(self.batches(pictures)))


def check_finite(features: np.ndarray, name: str) -> None:
    """Refuses features that are NaN or infinite, with a `UserError`."""
    if not np.isfinite(features).all():
        raise UserError(
            f"The features that {name} makes of the pictures are not finite: its "
            "weights are damaged, or not of this network."
        )


def of_judge(judge: Judge) -> Extractor:
    """The judge's own features, the means of its last convolution."""
    name = f"judge-{judge.digest}-{judge.side}px-bicubic"
    return Extractor(name, lambda pictures: judge.ask(pictures)[1])


def inception(weights: str = "") -> Extractor:
    """InceptionV3 of `keras.applications` up to its last pooling, 2,048 features.

    Args:
      weights: A file of weights for `InceptionV3(include_top=False)`; empty: those of
        ImageNet, which Keras fetches once.

    Raises:
      UserError: the weights can't be fetched, or the file is none of this network.
    """
    try:
        network = keras.applications.InceptionV3(
            include_top=False,
            pooling="avg",
            weights=None if weights else "imagenet",
            input_shape=(_INCEPTION_SIDE, _INCEPTION_SIDE, 3),
        )
    except Exception as error:  # noqa: BLE001 (Keras raises a bare Exception)
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"The weights of InceptionV3 can't be fetched ({reason}). Fetch "
            "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 of Keras "
            "elsewhere and give it as --feature_weights FILE, or use --features judge."
        ) from error
    if weights:
        _load(network, weights)
    name = f"inception-{digest(network.get_weights())}-{_INCEPTION_SIDE}px-bicubic"

    def of(pictures: np.ndarray) -> np.ndarray:
        resized = np.stack([images.resize(p, _INCEPTION_SIDE) for p in pictures])
        # What InceptionV3 takes is what our networks take: [-1, 1].
        return network(images.to_float(resized), training=False).numpy()

    return Extractor(name, of)


def _load(network: keras.Model, weights: str) -> None:
    path = pathlib.Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"`feature_weights`: no such file: {path}.")
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file lacks, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except _NOT_LOADED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"`feature_weights` {path} holds no weights of "
            f"InceptionV3(include_top=False): {reason}"
        ) from error


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Features that need no network: pictures of 8x8 pixels, float64 [number, 192]."""
    small = np.stack([images.resize(p, 8) for p in pictures]).astype(np.float64)
    return small.reshape(len(pictures), -1)
