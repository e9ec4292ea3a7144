"""Runs exported files for `verification.py`, in a process of its own.

Builds no network of ours: a file that leans on one fails here.
"""

import functools
import json
import math
import pathlib
import statistics
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.exporting.tflite_files import TFLiteGenerator
from cyclegan_tf.exporting.verification import (
    BARS,
    NUM_THREADS,
    PLAN_FILE,
    REFERENCES_FILE,
    RESULTS_FILE,
)
from cyclegan_tf.validation import UserError

_ROUNDS = 5
_SECONDS_A_FILE = 20

# What loaders and graphs raise on files that are damaged or lack something.
_FAILURES = (
    tf.errors.OpError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
)


def main(folder: pathlib.Path) -> None:
    """Carries out the plan in a folder and writes the results there."""
    plan = json.loads((folder / PLAN_FILE).read_text())
    with np.load(folder / REFERENCES_FILE) as references:
        arrays = dict(references)
    # Files that run on the same pictures are timed against each other; the others
    # need not be in memory with them.
    for first in dict.fromkeys(row["pictures"][0] for row in plan):
        together = [row for row in plan if row["pictures"][0] == first]
        _run([folder / r["path"].partition(":")[0] for r in together], together, arrays)
    (folder / RESULTS_FILE).write_text(json.dumps(plan))


def _run(paths: list[pathlib.Path], rows: list[dict], arrays: dict) -> None:
    """Adds the results of files to their rows."""
    runners = []
    for path, row in zip(paths, rows, strict=True):
        try:
            runners.append(_RUNNERS.get(row["kind"], _tflite)(path, row["kind"]))
            row |= {"bytes": _size(path), **_errors(runners[-1], row, arrays)}
        except _FAILURES as error:
            # Keras tells the cause after these words, a page of configuration before.
            told = str(error).partition("Exception encountered: ")[2] or str(error)
            reason = (told or type(error).__name__).splitlines()[0][:300]
            raise UserError(f"{row['path']} does not run: {reason}") from error
    picture = arrays[f"{rows[0]['pictures'][0]}/pictures"][:1]
    for row, seconds in zip(rows, _time(runners, picture), strict=True):
        row["milliseconds"] = 1000 * seconds


def _errors(runner, row: dict, arrays: dict) -> dict:
    """How far a file is from the references, and what is wrong with that."""
    differences, made = [], []
    for name in row["pictures"]:
        pictures, outputs = arrays[f"{name}/pictures"], arrays[f"{name}/outputs"]
        for picture, output in zip(pictures, outputs, strict=True):
            made.append(runner(picture[np.newaxis])[0])
            if made[-1].shape != output.shape:
                shapes = f"{made[-1].shape} instead of {output.shape}"
                raise ValueError(f"it gives a picture of {shapes}")
            differences.append((made[-1] - output).astype(np.float64).ravel())
    difference = np.concatenate(differences)
    mean_square = float(np.mean(difference**2))
    largest = float(np.abs(difference).max())
    problem = None
    if not math.isfinite(largest):
        problem, largest, mean_square = "its output is not finite", 2.0, 4.0
    elif mean_square and all(np.ptp(m, axis=(0, 1)).max() == 0 for m in made):
        problem = "its output is one flat colour"
    elif largest > BARS.get(row["kind"], math.inf):
        bar = BARS[row["kind"]]
        problem = f"its largest error is {largest:.2g}, more than {bar:.2g}"
    return {
        "max_error": largest,
        "mean_error": float(np.nan_to_num(np.abs(difference)).mean()),
        "psnr": 10 * math.log10(4 / mean_square) if mean_square else None,
        "problem": problem,
    }


def _time(runners: list, picture: np.ndarray) -> list[float]:
    """Median seconds of each runner, all of them in turns, so that noise is shared."""
    seconds = [[] for _ in runners]
    for _ in range(_ROUNDS):
        for runner, taken in zip(runners, seconds, strict=True):
            if sum(taken) < _SECONDS_A_FILE:
                start = time.perf_counter()
                runner(picture)
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def _size(path: pathlib.Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def _saved_model(path: pathlib.Path, signature: str):
    """A signature of a SavedModel, through the loader that knows no Python objects."""
    session, signatures = _session(path)
    ((_, into),) = signatures[signature].inputs.items()
    ((_, out),) = signatures[signature].outputs.items()

    def run(pictures: np.ndarray) -> np.ndarray:
        fed = _ENCODE[signature](pictures)
        return _DECODE[signature](session.run(out.name, {into.name: fed}))

    return run


@functools.lru_cache(maxsize=1)
def _session(path: pathlib.Path):
    v1 = tf.compat.v1
    settings = v1.ConfigProto(intra_op_parallelism_threads=NUM_THREADS)
    session = v1.Session(graph=tf.Graph(), config=settings)
    with session.graph.as_default():
        loaded = v1.saved_model.loader.load(session, ["serve"], str(path))
    return session, loaded.signature_def


def _to_float(pictures: np.ndarray) -> np.ndarray:
    return images.to_float(pictures).numpy()


def _to_pngs(pictures: np.ndarray) -> list[bytes]:
    return [tf.io.encode_png(picture).numpy() for picture in pictures]


def _from_pngs(encoded: np.ndarray) -> np.ndarray:
    return _to_float(np.stack([images.decode(picture) for picture in encoded]))


_ENCODE = {
    "translate_float": _to_float,
    "translate": lambda pictures: pictures,
    "serving_default": _to_pngs,
}
_DECODE = {
    "translate_float": lambda made: made,
    "translate": _to_float,
    "serving_default": _from_pngs,
}


def _keras(path: pathlib.Path, kind: str):
    model = keras.models.load_model(path)
    function = tf.function(lambda pixels: model(pixels, training=False))
    return lambda pictures: function(_to_float(pictures)).numpy()


def _tflite(path: pathlib.Path, kind: str):
    generator = TFLiteGenerator(path, NUM_THREADS)
    return lambda pictures: generator(_to_float(pictures))


_RUNNERS = {
    "translate_float": _saved_model,
    "translate": _saved_model,
    "serving_default": _saved_model,
    "keras": _keras,
}

if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
    try:
        main(pathlib.Path(sys.argv[1]))
    except UserError as error:
        sys.exit(str(error))
