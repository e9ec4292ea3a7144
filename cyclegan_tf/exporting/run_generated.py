"""Runs exported makers of digits for `generating.py`, in a process of its own.

Builds no network of ours: a file that leans on one fails here.
"""

import json
import math
import pathlib
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from cyclegan_tf.exporting.verification import (
    NUM_THREADS,
    PLAN_FILE,
    REFERENCES_FILE,
    RESULTS_FILE,
)

# Largest error allowed, on [-1, 1]; rounding to pixels costs half a level.
_BARS = {"serving_default": 1 / 255 + 1e-4, "generate": 1e-4, "float32": 1e-4}
_LEAST_PSNR = 15.0  # Of int8, whose error has no bar: below it no digit is seen.
_ROUNDS = 5


def main(folder: pathlib.Path) -> None:
    """Carries out the plan in a folder and writes the results there."""
    with np.load(folder / REFERENCES_FILE) as held:
        inputs = dict(held)
    expected, rows = inputs.pop("outputs"), json.loads((folder / PLAN_FILE).read_text())
    for row in rows:
        path = folder / row["path"].partition(":")[0]
        run = _saved_model if path.is_dir() else _tflite
        made, seconds = run(path, row["kind"], inputs)
        error = np.abs(made - expected)
        square = float((error**2).mean())
        row["psnr"] = 10 * math.log10(4 / square) if square else None
        row["max_error"] = float(error.max())
        row["milliseconds"] = 1000 * seconds
        files = [p for p in path.rglob("*") if p.is_file()] or [path]
        row["bytes"] = sum(p.stat().st_size for p in files)
        row["problem"] = _problem(row)
    (folder / RESULTS_FILE).write_text(json.dumps(rows))


def _problem(row: dict) -> str | None:
    bar = _BARS.get(row["kind"])
    if bar is not None and not row["max_error"] <= bar:
        return f"differs by {row['max_error']:.2g}, above {bar:.2g}"
    if bar is None and row["psnr"] is not None and not row["psnr"] >= _LEAST_PSNR:
        return f"has a PSNR of {row['psnr']:.1f}, below {_LEAST_PSNR:.0f}"
    return None


def _timed(run, number: int):
    made, seconds = run(), []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        seconds.append((time.perf_counter() - start) / number)
    return made, statistics.median(seconds)


def _saved_model(path: pathlib.Path, signature: str, inputs: dict):
    """Images of all inputs at once, and seconds for one."""
    function = tf.saved_model.load(str(path)).signatures[signature]
    wanted = function.structured_input_signature[1]
    given = {k: tf.cast(v, wanted[k].dtype) for k, v in inputs.items()}
    number = len(inputs["latent"])
    made, seconds = _timed(lambda: function(**given), number)
    if signature == "generate":
        return made["images"].numpy(), seconds
    pixels = [tf.io.decode_png(data) for data in made["image_bytes"]]
    return np.stack(pixels) / 127.5 - 1.0, seconds


def _tflite(path: pathlib.Path, kind: str, inputs: dict):
    """Images of all inputs, one after the other, and seconds for one."""
    runner = tf.lite.Interpreter(
        str(path), num_threads=NUM_THREADS
    ).get_signature_runner()
    number = len(inputs["latent"])

    def run():
        made = [
            runner(**{k: v[i : i + 1] for k, v in inputs.items()})["image"]
            for i in range(number)
        ]
        return np.concatenate(made)

    return _timed(run, number)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
