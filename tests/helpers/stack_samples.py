"""What one stack computes and writes, kept in tests/stored, for the other to check.

`python -m tests.helpers.stack_samples`, on each stack, writes the folder of that stack
anew. Everything is drawn by NumPy from seeds, so both have the same to begin with.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import cyclegan_tf as cg  # noqa: E402
from cyclegan_tf import compat  # noqa: E402
from cyclegan_tf.core.layers import instance_normalization  # noqa: E402
from cyclegan_tf.data import shapes  # noqa: E402
from cyclegan_tf.training.reporting import read_log  # noqa: E402
from helpers.precision import floats  # noqa: E402

STORED = ROOT / "tests" / "stored"
STACKS = ("current", "addons")
SMALL = {
    "num_filters": 2,
    "discriminator_filters": 2,
    "pool_size": 2,
    "log_every_steps": 1,
    "learning_rate": 2e-4,
}
RECIPES = {
    "official": {},
    "sooner": {
        "input_skip": True,
        "output_activation": "linear",
        "upsampling": "resize",
        "average_decay": 0.9,
        "beta_2": 0.99,
    },
}
FORMATS = ("savedmodel", "tflite")
SAVED_AT, GONE_ON_TO = 4, 6
NUM_STEPS = 10


def this_stack() -> str:
    return "addons" if compat.addons() else "current"


def small(recipe: str, **fields) -> cg.Config:
    return cg.preset("tiny", **{**SMALL, **RECIPES[recipe], **fields})


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    """Of the size that images and normalised features have."""
    return np.random.default_rng(seed).normal(0, 0.5, shape).clip(-1, 1)


def normalised(inputs: np.ndarray) -> np.ndarray:
    return instance_normalization("norm")(tf.constant(inputs, tf.float32)).numpy()


def translated(model, **options) -> np.ndarray:
    """What `model.translate` makes of three pictures, one of another size; flat."""
    made = []
    for i, size in enumerate([(32, 32), (32, 32), (21, 44)]):
        picture = np.uint8(127.5 * (pictures(*size, 3, seed=i) + 1))
        made.append(model.translate(picture, **options).ravel())
    return np.concatenate(made)


def losses_in_double(recipe: str) -> list[dict[str, float]]:
    """Losses of ten steps in float64, from weights and on images drawn by NumPy."""
    with floats("float64"):
        model = cg.CycleGAN(small(recipe, pool_size=0, learning_rate=2e-3), 5)
        for i, network in enumerate(model.networks.values()):
            random = np.random.default_rng(i)
            network.set_weights(
                [random.normal(0, 0.1, w.shape) for w in network.get_weights()]
            )
        rows = []
        for step in range(NUM_STEPS):
            images = [
                tf.constant(pictures(1, 32, 32, 3, seed=2 * step + i), tf.float64)
                for i in range(2)
            ]
            losses = model.train_step(*images)
            rows.append({name: float(loss) for name, loss in losses.items()})
    return rows


def losses_of(run_dir) -> dict[int, dict[str, float]]:
    """By step, what the run's log says of its losses after it was saved."""
    return {
        row["step"]: {k: v for k, v in row.items() if k.endswith("_loss")}
        for row in read_log(pathlib.Path(run_dir) / "log.jsonl")
        if row["step"] > SAVED_AT and "gen_g_loss" in row
    }


def write(folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    inputs = pictures(2, 7, 5, 3).astype(np.float32)
    np.savez(folder / "norm.npz", inputs=inputs, outputs=normalised(inputs))
    # An epoch of 12 steps, as in the tests.
    shapes.NUM_TRAIN, shapes.NUM_TEST = 12, 3
    expected = {}
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as place:
            config = small(recipe, run_dir="run", max_steps=SAVED_AT)
            os.chdir(place)
            cg.train(config)
            for kept in ("config.json", "log.jsonl", "checkpoints"):
                target = folder / recipe / kept
                copy = shutil.copytree if kept == "checkpoints" else shutil.copy
                target.parent.mkdir(exist_ok=True)
                copy(pathlib.Path("run") / kept, target)
            run = cg.load("run")
            made = {d: translated(run, direction=d) for d in ("A2B", "B2A")}
            np.savez_compressed(folder / recipe / "translated.npz", **made)
            cg.export(
                "run", directions=("A2B",), formats=FORMATS, tflite_types=("float32",)
            )
            shutil.make_archive(str(folder / recipe / "export"), "zip", "run/export")
            cg.train(dataclasses.replace(config, max_steps=GONE_ON_TO))
            expected[recipe] = losses_of("run")
            os.chdir(ROOT)
    double = {recipe: losses_in_double(recipe) for recipe in RECIPES}
    stored = {"gone_on": expected, "in_double": double}
    (folder / "losses.json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    write(STORED / this_stack())
