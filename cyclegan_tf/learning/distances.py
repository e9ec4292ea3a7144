"""How far two sets of features lie apart: Frechet and kernel distance, and diversity.

All sums are of float64. `Moments` keeps a mean and a covariance, and no features; the
kernel distance and the diversity need features of the few hundred pictures they look
at.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Moments:
    """Mean and covariance of features that come batch by batch.

    Batches are merged by the parallel form of Welford's update (Chan, Golub and LeVeque
    1979), which loses no digits where features are large and vary little.

    Attributes:
      count: Features seen.
      mean: float64 [dimension].
    """

    count: int = 0
    mean: np.ndarray | None = None
    _scatter: np.ndarray | None = None

    def add(self, features: np.ndarray) -> None:
        """Takes in a batch, [number, dimension]."""
        features = np.asarray(features, np.float64)
        number, mean = len(features), features.mean(axis=0)
        centred = features - mean
        scatter = centred.T @ centred
        if self.mean is None:
            self.count, self.mean, self._scatter = number, mean, scatter
            return
        total, apart = self.count + number, mean - self.mean
        weight = self.count * number / total
        self._scatter = self._scatter + scatter + weight * np.outer(apart, apart)
        self.mean = self.mean + apart * number / total
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """float64 [dimension, dimension], divided by count - 1 as NumPy's `cov`."""
        return self._scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Frechet distance of two Gaussians (Heusel et al., arXiv 1706.08500).

    |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2)), where the trace of the root is
    that of (A^(1/2) B A^(1/2))^(1/2), a symmetric matrix whose eigenvalues are found
    without a matrix root, even where there are fewer pictures than dimensions.

    Args:
      a: Of two pictures or more.
      b: Of features of the same dimension.

    Returns:
      The distance, at least 0.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    apart = a.mean - b.mean
    distance = apart @ apart + np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(distance - 2 * np.sqrt(np.clip(inner, 0, None)).sum()))


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    subset_size: int,
    num_subsets: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Unbiased squared kernel distance (Binkowski et al., arXiv 1801.01401).

    The kernel is (x y / dimension + 1)^3. Drawn again and again: a subset of each side.

    Args:
      a: Features [number, dimension].
      b: Features [other number, dimension].
      subset_size: Features of each side in a subset, 2 to the smaller number.
      num_subsets: How many are drawn.
      seed: Of the draw.

    Returns:
      Mean and standard deviation over the subsets. Of two sets from one source the mean
      is about 0, and may be below.
    """
    random = np.random.default_rng(seed)
    found = []
    for _ in range(num_subsets):
        x, y = (
            np.asarray(side[random.choice(len(side), subset_size, replace=False)])
            for side in (a, b)
        )
        found.append(_unbiased(x.astype(np.float64), y.astype(np.float64)))
    return float(np.mean(found)), float(np.std(found))


def _unbiased(x: np.ndarray, y: np.ndarray) -> float:
    number = len(x)

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = sum(k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y)))
    return within / (number * (number - 1)) - 2 * kernel(x, y).mean()


def diversity(features: np.ndarray) -> float:
    """Mean Euclidean distance of two different features of a set.

    Args:
      features: [number, dimension], two or more.
    """
    features = np.asarray(features, np.float64)
    squares = (features**2).sum(axis=1)
    apart = squares[:, None] + squares - 2 * features @ features.T
    np.fill_diagonal(apart, 0.0)
    number = len(features)
    return float(np.sqrt(np.clip(apart, 0, None)).sum() / (number * (number - 1)))
