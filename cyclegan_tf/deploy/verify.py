"""Verifies exported files in a fresh process, against outputs of the generator.

`verify` starts the process, `main` runs in it. It builds no network of ours, so a file
that needs one fails.
"""

import functools
import json
import math
import os
import pathlib
import pickle
import statistics
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator, interpreter
from cyclegan_tf.files import plain_path
from cyclegan_tf.messages import UserError, reason

_PLAN_FILE, _RESULTS_FILE = "plan.pickle", "results.json"

_NUM_THREADS = 2
_ROUNDS = 5
_SECONDS_PER_FILE = 20

# The largest error allowed, on [-1, 1]. Integer files have no limit.
_HALF_A_LEVEL = 1 / 255 + 1e-4  # From rounding to pixels.
TOLERANCES = {
    "translate_float": 1e-4,
    "generate": 1e-4,
    "translate": _HALF_A_LEVEL,
    "serving_default": _HALF_A_LEVEL,
    "keras": 1e-4,
    "float32": 1e-4,
    "float16": 0.02,
}

# Loaders and graphs raise them on files that are damaged or lack something.
_ERRORS = (tf.errors.OpError, OSError, ValueError, TypeError, LookupError, RuntimeError)

Inputs = dict[str, np.ndarray]
References = dict[str, tuple[Inputs, np.ndarray]]


def verify(
    plan: list[dict], references: References, folder: pathlib.Path
) -> list[dict]:
    """Runs the files of a plan in a fresh process.

    Args:
      plan: For each file `path`, relative to `folder`; `kind`, a signature, `keras` or
        a type of TFLite; `pictures`, names of the references to run it on; and maybe
        `min_psnr`, in decibels.
      references: By name, inputs and the generator's float32 outputs for them. Inputs
        are `pictures`, uint8 [number, height, width, 3], or those of a generator of
        digits.
      folder: The folder of the files.

    Returns:
      The rows of the plan with `bytes`, `max_error` and `mean_error` on [-1, 1], `psnr`
      in decibels (None if exact), `milliseconds` per picture of the first reference,
      and `problem`, a sentence, or None.

    Raises:
      UserError: a file does not run, or the process failed.
    """
    (folder / _PLAN_FILE).write_bytes(pickle.dumps((plan, references)))
    run_process(folder)
    rows = json.loads((folder / _RESULTS_FILE).read_text())
    for name in (_PLAN_FILE, _RESULTS_FILE):
        (folder / name).unlink()
    return rows


def run_process(folder: pathlib.Path) -> None:
    """Runs `main` on a folder in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder.absolute())],
        cwd=pathlib.Path(__file__).parents[2],  # Where Python finds the package.
        # The limits are for a CPU's arithmetic; GPUs round products to 10 bits.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode or not (folder / _RESULTS_FILE).exists():
        status = f"no message, exit status {done.returncode}"
        last = (done.stderr.strip().splitlines() or [status])[-1]
        raise UserError(f"The exported files could not be verified: {last}")


# --- In the fresh process


def main(folder: pathlib.Path) -> None:
    """Carries out the plan in a folder and writes the results there."""
    plan, references = pickle.loads((folder / _PLAN_FILE).read_bytes())
    # Files with the same pictures are timed in turns; the others need not be in memory
    # with them.
    for first in dict.fromkeys(row["pictures"][0] for row in plan):
        rows = [row for row in plan if row["pictures"][0] == first]
        _run(rows, references, folder)
    (folder / _RESULTS_FILE).write_text(json.dumps(plan))


def _run(rows: list[dict], references: References, folder: pathlib.Path) -> None:
    """Adds the results of files to their rows."""
    runners = []
    for row in rows:
        path = folder / row["path"].partition(":")[0]
        try:
            runners.append(_runner(path, row["kind"]))
            row |= {"bytes": _size(path), **_errors(runners[-1], row, references)}
        except _ERRORS as error:
            # Keras puts the cause after these words and a page of configuration.
            cause = str(error).partition("Exception encountered: ")[2]
            line = cause.splitlines()[0][:200] if cause else reason(error)
            raise UserError(f"{row['path']} does not run: {line}") from error
    one, _ = next(_examples(*references[rows[0]["pictures"][0]]))
    for row, seconds in zip(rows, _time(runners, one), strict=True):
        row["milliseconds"] = 1000 * seconds


def _examples(inputs: Inputs, outputs: np.ndarray):
    """The inputs of a reference in batches of one, and the output of each."""
    for i, output in enumerate(outputs):
        yield {name: value[i : i + 1] for name, value in inputs.items()}, output


def _errors(runner, row: dict, references: References) -> dict:
    """The errors of a file against the references, and its problem."""
    differences, results = [], []
    for name in row["pictures"]:
        for inputs, output in _examples(*references[name]):
            results.append(runner(inputs)[0])
            if results[-1].shape != output.shape:
                shapes = f"{results[-1].shape} instead of {output.shape}"
                raise ValueError(f"it gives a picture of {shapes}")
            differences.append((results[-1] - output).astype(np.float64).ravel())
    difference = np.concatenate(differences)
    mean_square = float(np.mean(difference**2))
    largest = float(np.abs(difference).max())
    tolerance, min_psnr = TOLERANCES.get(row["kind"]), row.get("min_psnr")
    problem, is_finite = None, math.isfinite(largest)
    if not is_finite:
        largest, mean_square = 2.0, 4.0
    psnr = 10 * math.log10(4 / mean_square) if mean_square else None
    if not is_finite:
        problem = "its output is not finite"
    elif mean_square and all(np.ptp(x, axis=(0, 1)).max() == 0 for x in results):
        problem = "its output is one flat colour"
    elif tolerance is not None and largest > tolerance:
        problem = f"its largest error is {largest:.2g}, more than {tolerance:.2g}"
    elif psnr is not None and min_psnr is not None and psnr < min_psnr:
        problem = f"its PSNR is {psnr:.1f} dB, less than {min_psnr:.0f}"
    return {
        "max_error": largest,
        "mean_error": float(np.nan_to_num(np.abs(difference)).mean()),
        "psnr": psnr,
        "problem": problem,
    }


def _time(runners: list, inputs: Inputs) -> list[float]:
    """Median seconds of each runner; all run in turns, so that noise is shared."""
    seconds = [[] for _ in runners]
    for _ in range(_ROUNDS):
        for runner, measured in zip(runners, seconds, strict=True):
            if sum(measured) < _SECONDS_PER_FILE:
                start = time.perf_counter()
                runner(inputs)
                measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in seconds]


def _size(path: pathlib.Path) -> int:
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files)


# --- Files as functions, from inputs in a batch of one to floats in [-1, 1]


def _runner(path: pathlib.Path, kind: str):
    if kind == "keras":
        return _keras(path)
    return _saved_model(path, kind) if path.is_dir() else _tflite(path)


def _saved_model(path: pathlib.Path, signature: str):
    """A signature of a SavedModel, in a session, which knows no Python objects."""
    session, signatures = _session(path)
    (result,) = signatures[signature].outputs.values()

    def run(inputs: Inputs) -> np.ndarray:
        feeds = {
            info.name: inputs[name] if name in inputs else _encode(inputs, info.dtype)
            for name, info in signatures[signature].inputs.items()
        }
        output = session.run(result.name, feeds)
        if result.dtype == tf.string.as_datatype_enum:
            output = np.stack([tf.io.decode_png(png) for png in output])
        return _to_float(output) if output.dtype == np.uint8 else output

    return run


@functools.lru_cache(maxsize=1)
def _session(path: pathlib.Path):
    v1 = tf.compat.v1
    settings = v1.ConfigProto(intra_op_parallelism_threads=_NUM_THREADS)
    session = v1.Session(graph=tf.Graph(), config=settings)
    with session.graph.as_default(), plain_path(path) as plain:
        loaded = v1.saved_model.loader.load(session, ["serve"], plain)
    return session, loaded.signature_def


def _encode(inputs: Inputs, dtype: int) -> np.ndarray | list[bytes]:
    """Pictures as an input of a type: PNGs, pixels or floats."""
    pictures = inputs["pictures"]
    if dtype == tf.string.as_datatype_enum:
        return [tf.io.encode_png(picture).numpy() for picture in pictures]
    return pictures if dtype == tf.uint8.as_datatype_enum else _to_float(pictures)


def _to_float(pictures: np.ndarray) -> np.ndarray:
    return images.to_float(pictures).numpy()


def _keras(path: pathlib.Path):
    model = keras.models.load_model(path)
    function = tf.function(lambda pixels: model(pixels, training=False))
    return lambda inputs: function(_to_float(inputs["pictures"])).numpy()


def _tflite(path: pathlib.Path):
    file = interpreter(path.read_bytes(), _NUM_THREADS)
    if "generate" in file.get_signature_list():
        runner = file.get_signature_runner("generate")
        return lambda inputs: runner(**inputs)["image"]
    generator = TFLiteGenerator(path, _NUM_THREADS)
    return lambda inputs: generator(_to_float(inputs["pictures"]))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(_NUM_THREADS)
    try:
        main(pathlib.Path(sys.argv[1]))
    except UserError as error:
        sys.exit(str(error))
