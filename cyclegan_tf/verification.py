"""Compares exported files with the Keras generator, and judges them.

The files run in a fresh process, `run_exported.py`. Imports no TensorFlow.
"""

import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np

from cyclegan_tf.config import UserError

PLAN_FILE = "plan.json"
REFERENCES_FILE = "references.npz"
RESULTS_FILE = "results.json"

NUM_THREADS = 2

# Largest error allowed, on [-1, 1]. Integer files have none: their PSNR is told.
_HALF_A_LEVEL = 1 / 255 + 1e-4  # What rounding to pixels costs.
BARS = {
    "translate_float": 1e-4,
    "translate": _HALF_A_LEVEL,
    "serving_default": _HALF_A_LEVEL,
    "keras": 1e-4,
    "float32": 1e-4,
    "float16": 0.02,
}
MINIMUM_PSNR = 30.0
INTEGER_KINDS = ("dynamic_int8", "int8", "int16x8")
TFLITE_KINDS = ("float32", "float16", *INTEGER_KINDS)


def verify(plan: list[dict], references: dict, folder: pathlib.Path) -> list[dict]:
    """Runs the files of a plan in a fresh process.

    Args:
      plan: For each file `path`, relative to `folder`; `kind`, a key of `BARS` or one
        of `INTEGER_KINDS`; and `pictures`, the names of the references to run it on.
      references: By name (uint8 pictures [number, height, width, 3], the generator's
        float32 outputs on them).
      folder: Where the files are.

    Returns:
      The rows of the plan with `bytes`, `max_error` and `mean_error` on [-1, 1], `psnr`
      in decibels (None if exact), `milliseconds` a picture of the first reference, and
      `problem`, a sentence, or None.

    Raises:
      UserError: the process failed.
    """
    (folder / PLAN_FILE).write_text(json.dumps(plan))
    arrays = {}
    for name, (pictures, outputs) in references.items():
        arrays[f"{name}/pictures"], arrays[f"{name}/outputs"] = pictures, outputs
    np.savez(folder / REFERENCES_FILE, **arrays)
    package = pathlib.Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "cyclegan_tf.run_exported", str(folder.absolute())],
        cwd=package.parent,
        # The bars are for the arithmetic of a CPU; GPUs round products to 10 bits.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    results = folder / RESULTS_FILE
    if done.returncode or not results.exists():
        status = f"no message, exit status {done.returncode}"
        last = (done.stderr.strip().splitlines() or [status])[-1]
        raise UserError(f"The exported files could not be verified: {last}")
    rows = json.loads(results.read_text())
    for name in (PLAN_FILE, REFERENCES_FILE, RESULTS_FILE):
        (folder / name).unlink()
    return rows


def recommended(rows: list[dict]) -> str | None:
    """The TFLite file of one direction that a phone should get.

    Of the integer files of at least MINIMUM_PSNR that take at most twice as long as the
    fastest of them, the most exact; if there is none, the float16 file. (Twice, since
    int16x8 takes twenty times as long, and the others differ by less than noise does.)
    Files of further sizes are left out.
    """
    files = [row for row in rows if row["kind"] in TFLITE_KINDS]
    files = [row for row in files if row["pictures"] == files[0]["pictures"]]
    integers = [row for row in files if row["kind"] in INTEGER_KINDS]
    good = [row for row in integers if _psnr(row) >= MINIMUM_PSNR]
    if good:
        fastest = min(row["milliseconds"] for row in good)
        quick = [row for row in good if row["milliseconds"] <= 2 * fastest]
        return max(quick, key=_psnr)["path"]
    halves = [row["path"] for row in files if row["kind"] == "float16"]
    return halves[0] if halves else None


def _psnr(row: dict) -> float:
    return math.inf if row["psnr"] is None else row["psnr"]


def table(rows: list[dict]) -> str:
    """The results as text: file, size, largest error, PSNR, milliseconds."""
    width = max(len(row["path"]) for row in rows)
    lines = [f"{'file':<{width}}  {'MB':>7} {'max error':>10} {'PSNR':>6} {'ms':>8}"]
    for row in rows:
        psnr = "exact" if row["psnr"] is None else f"{row['psnr']:.1f}"
        lines.append(
            f"{row['path']:<{width}}  {row['bytes'] / 1e6:7.2f} "
            f"{row['max_error']:10.2g} {psnr:>6} {row['milliseconds']:8.1f}"
        )
    return "\n".join(lines)
