"""A tiny run to export, and references for its exports."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.deploy import verify
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.presets import PRESETS
from cyclegan_tf.training.run_directory import save_config
from cyclegan_tf.training.train import MODELS

ROOT = pathlib.Path(__file__).parents[2]

LOG = [
    {"step": 0, "error_x_to_y": 50.0, "error_y_to_x": 60.0},
    {"step": 2, "gen_g_loss": 1.5, "epoch": 1, "steps_per_second": 9.0},
    {"step": 3, "gen_g_loss": 1.25, "epoch": 2, "peak_memory_gigabytes": 0.5},
    {"step": 3, "error_x_to_y": 40.0},
    {"step": 4, "gen_g_loss": 99.0, "disc_x_loss": 0.5},
]
METRICS = {"error_x_to_y": 40.0, "error_y_to_x": 60.0, "gen_g_loss": 1.25, "epoch": 2}

SIGNATURES = ("translate_float", "translate", "serving_default")
VERSION_FILES = {
    "README.md",
    "export.json",
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets.extra/tf_serving_warmup_requests",
}
PASSED = {
    "bytes": 1000,
    "max_error": 0.0,
    "mean_error": 0.0,
    "psnr": None,
    "milliseconds": 1.0,
    "problem": None,
}


def saved_run(folder, step=3, seed=1, **fields) -> CycleGAN:
    """A run of larger weights: another generator then makes another picture."""
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    values = {**PRESETS["tiny"].values, "run_dir": str(folder), **fields}
    model = CycleGAN(Config(**values), 10)
    for generator in (model.generator_g, model.generator_f):
        for variable in generator.trainable_variables:
            variable.assign(2 * variable)
    save_config(model.config)
    Checkpoints(model.trainer.state(), folder).save(step)
    return model


def untrained_run(options, factor: float, step=3) -> None:
    """A run of a model beside CycleGAN, whose generator has larger weights."""
    keras.utils.set_random_seed(1)
    trainer = MODELS[options.model](options).trainer
    for variable in trainer.networks["generator"].trainable_variables:
        variable.assign(factor * variable)
    pathlib.Path(options.run_dir).mkdir(parents=True)
    save_config(options)
    Checkpoints(trainer.state(), options.run_dir).save(step)


def files(folder) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of each file below a folder, and all folders."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else (b"", 0)
        for path in pathlib.Path(folder).rglob("*")
    }


def file_names(folder) -> set[str]:
    return {name for name in files(folder) if (folder / name).is_file()}


def read(path) -> dict:
    return json.loads(path.read_text())


@contextlib.contextmanager
def nothing_changes(folder):
    """What is below a folder, and when it was written, stays as it is."""
    before = files(folder)
    yield
    assert files(folder) == before


def passes(plan, references, folder) -> list[dict]:
    """Stands in for `verify`."""
    return [{**row, **PASSED} for row in plan]


def run_here(folder) -> None:
    """Stands in for `run_process`: a fresh process takes seconds to start."""
    verify.main(folder)


SAVED_MODEL = {"formats": ("savedmodel",)}
BOTH = {"formats": ("savedmodel",), "directions": ("A2B", "B2A")}


def write_pictures(folder, number, seed=0):
    """Pictures of 40x48; gives their pixels."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    made = random.integers(0, 256, (number, 40, 48, 3), dtype=np.uint8)
    for i, pixels in enumerate(made):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return made


def write_version(output, path):
    """A version of a model from another export."""
    (output / "saved_model" / path).mkdir(parents=True)
    (output / "saved_model" / path / "saved_model.pb").write_text("theirs")


def refuses(request, told: str, unchanged) -> None:
    """Expects an error line that matches `told`, and an unchanged folder."""
    with nothing_changes(unchanged), pytest.raises(UserError, match=told) as error:
        export_run(request)
    assert "\n" not in str(error.value)


def program(folder, *command, without=()) -> subprocess.CompletedProcess:
    """Runs Python in a folder, where importing some packages fails."""
    fakes = folder.parent / f"{folder.name} without {' '.join(without)}"
    for name in without:
        (fakes / name).mkdir(parents=True, exist_ok=True)
        text = f"raise SystemExit('{name} was imported')"
        (fakes / name / "__init__.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{fakes}{os.pathsep}{ROOT}"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # A program must see to it.
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_refused(result: subprocess.CompletedProcess, told: str) -> None:
    """A program has ended with one line of error that names something."""
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and told in result.stderr
    assert len(result.stderr.splitlines()) == 1
