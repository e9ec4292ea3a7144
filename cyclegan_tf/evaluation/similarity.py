"""Differences of two sets of pictures, one number a picture.

Pictures are uint8 [number, height, width, 3]. Results are float64 [number]; errors are
in levels of 255.
"""

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
