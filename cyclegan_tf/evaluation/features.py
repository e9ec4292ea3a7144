"""Features of pictures, which distances compare, and a linear probe of two domains.

A distance means nothing without its protocol, so an `Extractor` has a full name.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import EVALUATION_NETWORKS
from cyclegan_tf.core import features as pretrained
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.data import images
from cyclegan_tf.evaluation import fid_inception
from cyclegan_tf.messages import UserError

_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Extractor:
    """Computes features [number, dimension] of uint8 [number, height, width, 3].

    The name contains the network, a digest of its weights, and the resize, such as
    `efficientnet_lite2-1a2b3c4d-260px-bicubic`.
    """

    name: str
    compute: Callable[[np.ndarray], np.ndarray]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """All features, computed in batches; a `UserError` if one is not finite."""
        starts = range(0, len(pictures), _BATCH)
        found = np.concatenate([self.compute(pictures[i : i + _BATCH]) for i in starts])
        if not np.isfinite(found).all():
            raise UserError(
                f"Features of {self.name} are not finite: its weights are damaged, or "
                "those of another network."
            )
        return found


@computing_in("float32")
def network_extractor(name: str, weights: str = "") -> Extractor:
    """Means of the last layer of a pretrained network; see `core/features.py`."""
    network = pretrained.features(name, weights)
    side = network.side

    pooled = tf.function(
        lambda pictures: network.pooled(images.to_float(pictures), training=False),
        input_signature=[tf.TensorSpec([None, side, side, 3], tf.uint8)],
        autograph=False,
    )

    def compute(pictures: np.ndarray) -> np.ndarray:
        return pooled(np.stack([images.resize(p, side) for p in pictures])).numpy()

    return Extractor(f"{network.name}-{side}px-bicubic", compute)


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Features without a network: pictures of 8x8 pixels, float64 [number, 192]."""
    small = np.stack([images.resize(p, 8) for p in pictures]).astype(np.float64)
    return small.reshape(len(pictures), -1)


# Extractors by the value of --features. Each takes a file of weights, or "".
EXTRACTORS: dict[str, Callable[[str], Extractor]] = {
    **{n: functools.partial(network_extractor, n) for n in EVALUATION_NETWORKS},
    "fid": lambda path: Extractor(*fid_inception.load(path, "clean")),
    "fid_legacy": lambda path: Extractor(*fid_inception.load(path, "legacy_pytorch")),
}


def find_extractor(
    name: str, weights: str, needed: bool, flag: str = "feature_weights"
) -> tuple[Extractor | None, str]:
    """Returns an extractor, or None and a line with the reason.

    Args:
      name: A key of `EXTRACTORS`.
      weights: File of its weights; empty: installed or downloaded ones.
      needed: Whether missing weights are a `UserError`.
      flag: The flag for this file, for the message.
    """
    try:
        return EXTRACTORS[name](weights), ""
    except UserError as error:
        reason = str(error).replace("feature_weights", flag)
        if needed:
            raise UserError(reason) from error
        return None, f"Distances and the probe are not measured: {reason}"


# --- The linear probe

# L2 penalty, times half the squared length of the weights, added to the mean loss.
PENALTY = 0.1


@dataclasses.dataclass(frozen=True)
class Probe:
    """Logistic regression on standardised features: is a picture from X or from Y?

    All arrays are float64 [dimension]. The deviation of constant features is 1.
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Log-odds of domain Y, float64 [number], for features [number, dimension]."""
        return (features - self.mean) / self.deviation @ self.weights + self.bias


def fit_probe(features_x: np.ndarray, features_y: np.ndarray) -> Probe:
    """Trains a probe on real pictures by Newton's method, in about a second.

    The loss is mean(log(1 + exp(-side log_odds))) + PENALTY / 2 |weights|^2, where side
    is 1 for Y and -1 for X. The larger domain is thinned evenly to the size of the
    smaller: with fewer pictures than features it would seem nearer to all others. Both
    arguments are features [number, dimension].
    """
    number = min(len(features_x), len(features_y))
    features = np.concatenate(
        [
            domain[np.linspace(0, len(domain) - 1, number).round().astype(int)]
            for domain in (features_x, features_y)
        ]
    ).astype(np.float64)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1.0
    inputs = np.ones((len(features), features.shape[1] + 1))
    inputs[:, :-1] = (features - mean) / deviation
    side = np.repeat((-1.0, 1.0), number)
    penalty = np.append(np.full(features.shape[1], PENALTY), 0.0)

    def loss(weights):
        losses = np.logaddexp(0.0, -side * (inputs @ weights))
        return losses.mean() + weights @ (penalty * weights) / 2

    weights = np.zeros(inputs.shape[1])
    for _ in range(100):
        wrong = np.exp(-np.logaddexp(0.0, side * (inputs @ weights)))
        gradient = penalty * weights - inputs.T @ (side * wrong) / len(side)
        curvature = wrong * (1 - wrong) / len(side)
        hessian = (inputs.T * curvature) @ inputs + np.diag(penalty)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        gain, before = gradient @ step, loss(weights)
        # Smaller gains are rounding: near the minimum the whole step is taken.
        while gain > 1e-12 and loss(weights - size * step) > before - size * gain / 4:
            size /= 2
        weights = weights - size * step
        if gain <= 1e-12:
            break
    return Probe(mean, deviation, weights[:-1], float(weights[-1]))
