"""Frechet and kernel distance of two sets of features, and the diversity of one.

All sums are float64.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Moments:
    """Mean and covariance of features, added batch by batch.

    Batches are merged by the parallel form of Welford's update (Chan, Golub and LeVeque
    1979), which stays exact for large features that vary little.

    Attributes:
      count: Number of features.
      mean: float64 [dimension].
    """

    count: int = 0
    mean: np.ndarray | None = None
    _scatter: np.ndarray | None = None

    def add(self, features: np.ndarray) -> None:
        """Adds a batch, [number, dimension]."""
        features = np.asarray(features, np.float64)
        number, mean = len(features), features.mean(axis=0)
        centred = features - mean
        scatter = centred.T @ centred
        if self.mean is None:
            self.count, self.mean, self._scatter = number, mean, scatter
            return
        total, shift = self.count + number, mean - self.mean
        weight = self.count * number / total
        self._scatter = self._scatter + scatter + weight * np.outer(shift, shift)
        self.mean = self.mean + shift * number / total
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """float64 [dimension, dimension], divided by count - 1 like NumPy's `cov`."""
        return self._scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Frechet distance of two Gaussians (Heusel et al., arXiv 1706.08500).

    |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)). The trace of the root equals
    that of (A^(1/2) B A^(1/2))^(1/2), a symmetric matrix, so eigenvalues give it
    without a matrix root, even with fewer pictures than dimensions.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    shift = a.mean - b.mean
    distance = shift @ shift + np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(distance - 2 * np.sqrt(np.clip(inner, 0, None)).sum()))


def kernel_distance(
    a: np.ndarray, b: np.ndarray, subset_size: int, num_subsets: int = 100, seed=0
) -> tuple[float, float]:
    """Unbiased squared kernel distance (Binkowski et al., arXiv 1801.01401).

    The kernel is (x y / dimension + 1)^3.

    Args:
      a: Features [number, dimension].
      b: Features [other number, dimension].
      subset_size: Features of each side in a random subset, at least 2.
      num_subsets: Number of subsets.
      seed: Seed of the subsets.

    Returns:
      Mean and standard deviation over the subsets. The mean of two sets from one source
      is near 0, and may be below.
    """
    random = np.random.default_rng(seed)
    found = []
    for _ in range(num_subsets):
        x, y = (
            side[random.choice(len(side), subset_size, replace=False)].astype(float)
            for side in (a, b)
        )
        within = sum(k.sum() - np.trace(k) for k in (_kernel(x, x), _kernel(y, y)))
        pairs = subset_size * (subset_size - 1)
        found.append(within / pairs - 2 * _kernel(x, y).mean())
    return float(np.mean(found)), float(np.std(found))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def diversity(features: np.ndarray) -> float:
    """Mean Euclidean distance of two different features of [number, dimension]."""
    features = np.asarray(features, np.float64)
    squares = (features**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * features @ features.T
    np.fill_diagonal(distances, 0.0)
    number = len(features)
    return float(np.sqrt(np.clip(distances, 0, None)).sum() / (number * (number - 1)))
