"""Points in the plane, from Gaussians on a ring or a grid; how well others match them.

The smallest data on which a GAN shows what it can and where it fails: the distribution
is known, so every mode can be counted.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Of each Gaussian, in either direction.
DEVIATION = {"ring": 0.05, "grid": 0.1}

# Share of what a mode ought to get, from which on it counts as found.
FOUND = 0.2

# Pictures show so far in each direction; a field has so many values a side.
_EDGE, _SIDE = {"ring": 1.5, "grid": 5.0}, 64


def centres(kind: str) -> np.ndarray:
    """The means of the Gaussians, which are equally likely.

    Args:
      kind: `ring` (8 on the unit circle) or `grid` (5x5 in [-4, 4]).

    Returns:
      float32 [number, 2].
    """
    if kind == "ring":
        angles = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    side = np.linspace(-4, 4, 5)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)


def draw(kind: str, number: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws points.

    Args:
      kind: As for `centres`.
      number: How many.
      seed: Integer tensor [2]; the same seed draws the same points.

    Returns:
      float32 [number, 2].
    """
    which, noise = tf.unstack(tf.random.split(seed, 2))
    means = centres(kind)
    modes = tf.random.stateless_uniform([number], which, 0, len(means), tf.int32)
    normal = tf.random.stateless_normal([number, 2], noise)
    return tf.gather(means, modes) + DEVIATION[kind] * normal


def statistics(points: np.ndarray, kind: str) -> dict[str, float]:
    """How well points match the Gaussians.

    Args:
      points: [number, 2].
      kind: As for `centres`.

    Returns:
      `modes`: how many have at least a fifth of their share of points within three
      deviations. `within`: the share of points within three deviations of a centre,
      1 - exp(-4.5) = 0.989 for the Gaussians. `kl_generated_real` and
      `kl_real_generated`: divergences in nats between the shares of the cells, the
      points nearest to each centre, and equal ones; each cell is given one point more,
      so that an empty one counts, and not without end.
    """
    means = centres(kind)
    distances = np.linalg.norm(points[:, None] - means, axis=-1)
    nearest, number = distances.argmin(axis=1), len(means)
    close = distances.min(axis=1) <= 3 * DEVIATION[kind]
    found = np.bincount(nearest[close], minlength=number)
    shares = np.bincount(nearest, minlength=number) + 1.0
    shares /= shares.sum()
    return {
        "modes": float((found >= FOUND * len(points) / number).sum()),
        "within": float(close.mean()),
        "kl_generated_real": float((shares * np.log(shares * number)).sum()),
        "kl_real_generated": float(-np.log(shares * number).mean()),
    }


def places(kind: str) -> np.ndarray:
    """The places that a field shows, row by row from below, float32 [64 * 64, 2]."""
    side = np.linspace(-_EDGE[kind], _EDGE[kind], _SIDE, dtype=np.float32)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def picture(
    kind: str, clouds: Mapping[str, np.ndarray], field: np.ndarray | None = None
) -> np.ndarray:
    """A plot of points, over a field if there is one, uint8 [256, 256, 3].

    Args:
      kind: As for `centres`.
      clouds: Points [number, 2] by matplotlib's name of a colour.
      field: Values at `places(kind)`; bright is high.
    """
    figure = Figure(figsize=(2.56, 2.56), dpi=100)
    axes, edge = figure.add_axes((0, 0, 1, 1)), _EDGE[kind]
    if field is not None:
        values, extent = field.reshape(_SIDE, _SIDE), (-edge, edge) * 2
        axes.imshow(values, extent=extent, origin="lower", cmap="gray")
    for colour, cloud in clouds.items():
        axes.scatter(*cloud.T, s=1, color=colour, alpha=0.5)
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge))
    axes.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
