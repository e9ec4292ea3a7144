"""What an evaluation leaves to read: `evaluation.json`, and a page of pictures."""

import json
import math
import pathlib
import platform
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.files import written_whole
from cyclegan_tf.quality import likeness
from cyclegan_tf.quality.evaluation import Evaluator
from cyclegan_tf.quality.pictures import Translations

JSON_FILE = "evaluation.json"
PAGE_FILE = "evaluation.png"
_SHOWN_SIDE = 256


def describe_probe(evaluator: Evaluator, tests: Mapping[str, np.ndarray]) -> dict:
    """How often a probe is right.

    Args:
      evaluator: Has the probe.
      tests: Real pictures that it has not learned from, uint8, by domain `x` and `y`.

    Returns:
      By domain the `accuracy` in [0, 1] and the number of `pictures`.
    """
    told = {"accuracy": {}, "pictures": {}}
    for domain, direction in (("x", "B2A"), ("y", "A2B")):
        log_odds = evaluator.log_odds(direction, tests[domain])
        told["accuracy"][domain] = float((log_odds > 0).mean())
        told["pictures"][domain] = len(log_odds)
    return told


def features_lines(evaluator: Evaluator, told: Mapping) -> list[str]:
    """What distances compare, and what `describe_probe` found, a line each."""
    if evaluator.extractor is None:
        return []
    lines = [f"Distances and domain by {evaluator.extractor.name}."]
    if told:
        right = " and ".join(
            f"{share:.0%} of {told['pictures'][domain]} real pictures of "
            f"{domain.upper()}"
            for domain, share in told["accuracy"].items()
        )
        lines.append(f"The linear probe is right on {right}.")
    return lines


def versions() -> dict[str, str]:
    """Of what computed the numbers."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def write_json(record: Mapping, folder: pathlib.Path) -> pathlib.Path:
    """Writes `evaluation.json`, whole; infinite numbers become null."""
    path = folder / JSON_FILE
    with written_whole(path) as temporary:
        text = json.dumps(_finite(record), indent=2, allow_nan=False)
        temporary.write_text(text + "\n")
    return path


def _finite(value):
    if isinstance(value, Mapping):
        return {key: _finite(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_finite(held) for held in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_page(
    evaluator: Evaluator, all_made: Sequence[Translations], folder: pathlib.Path
) -> pathlib.Path:
    """Writes `evaluation.png`: the best, the median and the worst of each direction.

    They are ordered by their error to the truth where that is known, else by the
    probe's log-odds of the target, else by how near their features are to the mean of
    real ones.
    """
    from matplotlib.figure import Figure

    rows = []
    for made in all_made:
        order, texts = _ranked(evaluator, made)
        for word, place in (
            ("best", order[-1]),
            ("median", order[len(order) // 2]),
            ("worst", order[0]),
        ):
            sides = _columns(made, place)
            rows.append((f"{made.direction} {word}\n{texts[place]}", sides))
    number = max(len(sides) for _, sides in rows)
    figure = Figure(figsize=(1.9 * number + 1.2, 1.9 * len(rows)), layout="constrained")
    axes = np.reshape(figure.subplots(len(rows), number), (len(rows), number))
    for (label, sides), line in zip(rows, axes, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (title, picture) in zip(line, sides.items(), strict=False):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title, fontsize=9)
        line[0].text(
            -0.08, 0.5, label, transform=line[0].transAxes, ha="right", va="center",
            fontsize=9,
        )  # fmt: skip
    path = folder / PAGE_FILE
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    return path


def _columns(made: Translations, place: int) -> dict[str, np.ndarray]:
    titles = {
        "input": made.inputs,
        "output": made.outputs,
        "cycled": made.cycled,
        "truth": made.truth,
    }
    return {
        title: _shrunk(pictures[place])
        for title, pictures in titles.items()
        if pictures is not None
    }


def _shrunk(picture: np.ndarray) -> np.ndarray:
    side = max(picture.shape[:2])
    if side <= _SHOWN_SIDE:
        return picture
    height, width = (max(1, n * _SHOWN_SIDE // side) for n in picture.shape[:2])
    return images.resize(picture, (height, width))


def _ranked(evaluator: Evaluator, made: Translations) -> tuple[np.ndarray, list[str]]:
    """Places from the worst to the best, and what is told of each."""
    if made.truth is not None:
        errors = likeness.error(made.outputs, made.truth)
        return np.argsort(-errors, kind="stable"), [f"error {e:.1f}" for e in errors]
    if evaluator.probe is not None:
        found = evaluator.log_odds(made.direction, made.outputs)
        return np.argsort(found, kind="stable"), [f"log-odds {v:.1f}" for v in found]
    apart = evaluator.distances_to_mean(made)
    return np.argsort(-apart, kind="stable"), [f"distance {d:.1f}" for d in apart]
