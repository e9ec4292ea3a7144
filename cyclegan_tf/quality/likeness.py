"""Is it still the same picture? Differences of pictures, one number a picture.

Pictures are uint8 [number, height, width, 3]; results are float64 [number], errors in
levels of 255.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

# A pixel changes in the truth where one of its channels does by more than this.
_CHANGED_LEVELS = 8
_BATCH = 32


def _in_batches(measure: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A function of pictures that looks at few at once, for memory's sake."""

    @functools.wraps(measure)
    def measured(*arrays: np.ndarray) -> np.ndarray:
        starts = range(0, len(arrays[0]), _BATCH)
        cut = ([a[start : start + _BATCH] for a in arrays] for start in starts)
        return np.concatenate([measure(*batch) for batch in cut])

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

    Its Gaussian has 11 pixels, fewer where the pictures have fewer.
    """
    window = min(11, *a.shape[1:3])
    return tf.image.ssim(a, b, 255, filter_size=window).numpy().astype(np.float64)


@_in_batches
def structure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of edge maps: 1 where the same edges are as strong, 0 if unrelated.

    An edge map is the length of the Sobel gradient of the luminance.
    """
    return correlation(_edges(a), _edges(b))


@_in_batches
def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation over all values of a picture; 0 where one is constant.

    Args:
      a: Anything [number, ...].
      b: The same shape.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(spread > 0, spread, 1)


def luminance(pictures: np.ndarray) -> np.ndarray:
    """Of ITU-R BT.601, float64 [..., height, width] in [0, 255]."""
    return pictures.astype(np.float64) @ (0.299, 0.587, 0.114)


@_in_batches
def errors_inside_outside(
    outputs: np.ndarray, inputs: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Errors to the truth where a translation must change the input, and elsewhere.

    Args:
      outputs: What a generator made.
      inputs: Of what.
      truth: What it ought to have made.

    Returns:
      Both errors, float64 [number, 2]; NaN for a picture that has no such pixels.
    """
    apart = np.abs(truth.astype(np.float64) - inputs).max(axis=-1)
    wrong = np.abs(outputs.astype(np.float64) - truth).mean(axis=-1)
    changes = apart > _CHANGED_LEVELS
    return np.stack([_means(wrong, changes), _means(wrong, ~changes)], axis=1)


def _means(values: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Mean of each picture's values where its mask says so."""
    pairs = zip(values, masks, strict=True)
    return np.array([v[m].mean() if m.any() else np.nan for v, m in pairs])


def _edges(pictures: np.ndarray) -> np.ndarray:
    grey = tf.constant(luminance(pictures)[..., np.newaxis], tf.float32)
    return tf.norm(tf.image.sobel_edges(grey), axis=-1).numpy()[..., 0]
