"""How far apart two pictures are, and two sets of features.

Pictures are uint8 [number, height, width, 3]; their differences are float64 [number],
errors in levels of 255. Sums over features are float64.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

# The true translation changes a pixel if one channel differs by more levels than this.
_CHANGED_LEVELS = 8
_BATCH = 32


def _in_batches(measure: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Makes a function work on few pictures at a time, to save memory."""

    @functools.wraps(measure)
    def measured(*arrays: np.ndarray) -> np.ndarray:
        starts = range(0, len(arrays[0]), _BATCH)
        batches = ([a[start : start + _BATCH] for a in arrays] for start in starts)
        return np.concatenate([measure(*batch) for batch in batches])

    return measured


@_in_batches
def error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean absolute difference, in levels of 255."""
    return np.abs(a.astype(np.float64) - b).mean(axis=(1, 2, 3))


@_in_batches
def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal to noise ratio in decibels (`tf.image.psnr`); infinite if equal."""
    return tf.image.psnr(a, b, 255).numpy().astype(np.float64)


@_in_batches
def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity (`tf.image.ssim`), 1 if equal.

    The Gaussian window has 11 pixels, or the side of smaller pictures.
    """
    window = min(11, *a.shape[1:3])
    return tf.image.ssim(a, b, 255, filter_size=window).numpy().astype(np.float64)


@_in_batches
def structure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of edge maps: 1 for the same edges, 0 for unrelated ones.

    An edge map is the length of the Sobel gradient of the luminance.
    """
    return correlation(_edges(a), _edges(b))


@_in_batches
def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation over all values of a picture; 0 if one is constant."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(spread > 0, spread, 1)


def luminance(pictures: np.ndarray) -> np.ndarray:
    """Luminance of ITU-R BT.601, float64 [..., height, width] in [0, 255]."""
    return pictures.astype(np.float64) @ (0.299, 0.587, 0.114)


@_in_batches
def errors_inside_outside(
    outputs: np.ndarray, inputs: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Errors of outputs where the true translation changes the input, and elsewhere.

    Returns:
      Both errors, float64 [number, 2]; NaN for a picture without such pixels.
    """
    differences = np.abs(truth.astype(np.float64) - inputs).max(axis=-1)
    errors = np.abs(outputs.astype(np.float64) - truth).mean(axis=-1)
    changes = differences > _CHANGED_LEVELS
    return np.stack([_means(errors, changes), _means(errors, ~changes)], axis=1)


def _means(values: np.ndarray, masks: np.ndarray) -> np.ndarray:
    pairs = zip(values, masks, strict=True)
    return np.array([v[m].mean() if m.any() else np.nan for v, m in pairs])


def _edges(pictures: np.ndarray) -> np.ndarray:
    grey = tf.constant(luminance(pictures)[..., np.newaxis], tf.float32)
    return tf.norm(tf.image.sobel_edges(grey), axis=-1).numpy()[..., 0]


# --- Sets of features

_ROWS = 2048  # Of the matrix of all distances, at a time.


@dataclasses.dataclass
class Moments:
    """Mean and covariance of features, added batch by batch.

    Batches are merged by the parallel form of Welford's update (Chan, Golub and LeVeque
    1979), which stays exact for large features that vary little.
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

    The kernel is (x y / dimension + 1)^3. Features are [number, dimension]; each random
    subset has `subset_size` of both sides, at least 2.

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
    squares, total = (features**2).sum(axis=1), 0.0
    for start in range(0, len(features), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = squares[rows, None] + squares - 2 * features[rows] @ features.T
        np.fill_diagonal(distances[:, start:], 0.0)
        total += np.sqrt(np.clip(distances, 0, None)).sum()
    return float(total / (len(features) * (len(features) - 1)))
