"""The files of an evaluation: `evaluation.json` and `evaluation.png`."""

import json
import math
import pathlib
import platform
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.evaluation import distances, metrics
from cyclegan_tf.evaluation.evaluator import Evaluator
from cyclegan_tf.evaluation.translations import Translations
from cyclegan_tf.files import written_whole

JSON_FILE = "evaluation.json"
PAGE_FILE = "evaluation.png"
_MAX_SIDE = 256


def write(
    folder: pathlib.Path,
    evaluator: Evaluator,
    translated: Sequence[Translations],
    numbers: Mapping[str, Mapping],
    problems: Sequence[str],
    about: Mapping,
    records: Sequence[Mapping] = (),
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes `evaluation.json` and `evaluation.png`, and returns their paths.

    Args:
      folder: The folder of both files.
      evaluator: The evaluator.
      translated: The pictures that it measured.
      numbers: The first result of `Evaluator.evaluate`.
      problems: The second result.
      about: More keys of the JSON file.
      records: The log of a training, for its last five evaluations.
    """
    spread, best = metrics.last_five(records)
    record = {
        **about,
        "probe": evaluator.probe_accuracy,
        "pictures": {t.direction: len(t.outputs) for t in translated},
        "features": evaluator.extractor.name if evaluator.extractor else None,
        "numbers": dict(numbers),
        "problems": list(problems),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
    if spread:
        record["last_five_evaluations"] = spread
        record["best_not_the_result"] = best
    folder.mkdir(parents=True, exist_ok=True)
    page = write_page(evaluator, translated, folder)
    text = json.dumps(_infinite_to_null(record), indent=2, allow_nan=False)
    with written_whole(folder / JSON_FILE) as temporary:
        temporary.write_text(text + "\n")
    return folder / JSON_FILE, page


def _infinite_to_null(value):
    if isinstance(value, Mapping):
        return {key: _infinite_to_null(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_infinite_to_null(part) for part in value]
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if is_finite else None


def describe_features(evaluator: Evaluator) -> list[str]:
    """The features of distances, and the accuracy of the probe, a line each."""
    if evaluator.extractor is None:
        return []
    lines = [f"Features for distances and the probe: {evaluator.extractor.name}."]
    if evaluator.probe_accuracy:
        accuracy, pictures = evaluator.probe_accuracy.values()
        parts = [
            f"{accuracy[domain]:.0%} on {pictures[domain]} real pictures of {name}"
            for domain, name in (("x", "X"), ("y", "Y"))
        ]
        lines.append(f"Accuracy of the linear probe: {parts[0]}, {parts[1]}.")
    return lines


def write_page(
    evaluator: Evaluator, translated: Sequence[Translations], folder: pathlib.Path
) -> pathlib.Path:
    """Writes `evaluation.png`: the best, the median and the worst of each direction.

    The order is by the error to the truth if it is known, else by the probe's log-odds
    of the target, else by the distance of features to the mean of real ones.
    """
    from matplotlib.figure import Figure

    rows = []
    for pictures in translated:
        order, texts = _ranked(evaluator, pictures)
        places = order[-1], order[len(order) // 2], order[0]
        for word, place in zip(("best", "median", "worst"), places, strict=True):
            label = f"{pictures.direction} {word}\n{texts[place]}"
            rows.append((label, _columns(pictures, place)))
    number = max(len(columns) for _, columns in rows)
    figure = Figure(figsize=(1.9 * number + 1.2, 1.9 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), number, squeeze=False)
    for (label, columns), line in zip(rows, axes, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (title, picture) in zip(line, columns.items(), strict=False):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title, fontsize=9)
        place = {"transform": line[0].transAxes, "ha": "right", "va": "center"}
        line[0].text(-0.08, 0.5, label, fontsize=9, **place)
    path = folder / PAGE_FILE
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    return path


def _columns(pictures: Translations, place: int) -> dict[str, np.ndarray]:
    titles = {
        "input": pictures.inputs,
        "output": pictures.outputs,
        "cycled": pictures.cycled,
        "truth": pictures.truth,
    }
    return {t: _shrunk(p[place]) for t, p in titles.items() if p is not None}


def _shrunk(picture: np.ndarray) -> np.ndarray:
    side = max(*picture.shape[:2], _MAX_SIDE)
    height, width = (max(1, n * _MAX_SIDE // side) for n in picture.shape[:2])
    return images.resize(picture, (height, width))


def _ranked(
    evaluator: Evaluator, pictures: Translations
) -> tuple[np.ndarray, list[str]]:
    """Places from the worst to the best, and a text for each picture."""
    if pictures.truth is not None:
        name, values, sign = (
            "error",
            distances.error(pictures.outputs, pictures.truth),
            -1,
        )
    elif evaluator.probe is not None:
        values = evaluator.log_odds(pictures.direction, pictures.outputs)
        name, sign = "log-odds", 1
    else:
        name, values, sign = "distance", evaluator.distances_to_mean(pictures), -1
    order = np.argsort(sign * values, kind="stable")
    return order, [f"{name} {value:.1f}" for value in values]
