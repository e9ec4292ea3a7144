"""Measures a training in a new process, and the input pipeline alone."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import tensorflow as tf
from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.data import datasets, shapes
from cyclegan_tf.data.pipeline import training_batches
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.training.run_directory import LOG_FILE

ROOT = pathlib.Path(__file__).parents[2]
_NUM_FILES, _NUM_PICTURES = 8, 400


def fresh_run(config: Config) -> tuple[float, float]:
    """Trains three steps with the command `train`, in a process of its own.

    Returns:
      Seconds from the start of `train` to the end of the first step, and the peak
      memory of the process in gigabytes, with its data.
    """
    with _pictures(config.picture_size) as folder:
        run_dir = pathlib.Path(folder, "run")
        values = json.loads(config.to_json()) | {
            "run_dir": str(run_dir),
            "dataset": folder,
            "max_steps": 3,
            "log_every_steps": 1,
            "evaluate_every_epochs": 0,
        }
        flags = [
            f"--{'' if value else 'no'}{name}"
            if isinstance(value, bool)
            else f"--{name}={value}"
            for name, value in values.items()
            if value != ""
        ]
        command = [sys.executable, "-m", "cyclegan_tf", "train", *flags]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"error: a training in a new process failed: {done.stderr}")
        log = read_log(run_dir / LOG_FILE)
    peak = max(record.get("peak_memory_gigabytes", 0) for record in log)
    return next(r["first_step_seconds"] for r in log if "first_step_seconds" in r), peak


def pictures_per_second(config: Config, cache: str) -> float:
    """How many training pictures of both domains the input pipeline prepares a second.

    Args:
      config: Sizes and augmentation.
      cache: `none` reads and decodes JPEG files each time; `auto` crops and flips
        decoded pictures.
    """
    with _pictures(config.image_size) as folder:
        fields = {"dataset": folder, "batch_size": 1, "max_steps": 0}
        config = dataclasses.replace(config, **fields, num_epochs=10**6, cache=cache)
        data, strategy = datasets.load(config), tf.distribute.get_strategy()
        steps = _NUM_PICTURES // 2
        batches = iter(training_batches(data, config, strategy, 0, 2 * steps))
        for _ in range(steps):  # Fills the memory and the buffers.
            next(batches)
        start = time.perf_counter()
        for _ in range(steps // 2):
            next(batches)
        return steps // 2 * 2 / (time.perf_counter() - start)


@contextlib.contextmanager
def _pictures(size: int) -> Iterator[str]:
    """A folder with a small data set of JPEG files."""
    with tempfile.TemporaryDirectory() as folder:
        for split in ("trainA", "trainB", "testA", "testB"):
            pathlib.Path(folder, split).mkdir()
            for seed in range(_NUM_FILES):
                picture = shapes.draw_pair((seed,), 64)["AB".index(split[-1])]
                resized = Image.fromarray(picture).resize((size, size))
                resized.save(f"{folder}/{split}/{seed}.jpg", quality=90)
        yield folder
