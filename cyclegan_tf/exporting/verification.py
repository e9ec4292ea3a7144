"""Has exported files run in a fresh process, `run_exported.py`, and tells the results.

Imports no TensorFlow.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from cyclegan_tf.validation import UserError

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
    rows = run_aside("run_exported", folder)
    for name in (PLAN_FILE, REFERENCES_FILE):
        (folder / name).unlink()
    return rows


def run_aside(module: str, folder: pathlib.Path) -> list[dict]:
    """Has a module of this wing carry out the plan in a folder, in a fresh process.

    Args:
      module: Its name; run as a program, with the folder, it writes `RESULTS_FILE`.
      folder: Where the plan and the files are.

    Returns:
      The rows that it wrote; their file is removed.

    Raises:
      UserError: the process failed.
    """
    name = f"cyclegan_tf.exporting.{module}"
    done = subprocess.run(
        [sys.executable, "-m", name, str(folder.absolute())],
        cwd=pathlib.Path(__file__).parents[2],  # Where the package is found.
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
    results.unlink()
    return rows
