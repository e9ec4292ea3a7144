"""Runs, whole and broken off."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from cyclegan_tf.options import Common
from cyclegan_tf.run_directory import checkpoint_steps, newest_checkpoint
from cyclegan_tf.training.train import train


def assert_goes_on_to_the_bit(
    options: Common, folder: pathlib.Path, stop: int, groups: tuple[str, ...]
) -> list[dict]:
    """Trains a run, and its second part again; compares all that is saved.

    Args:
      options: Of the run, without a `run_dir`.
      folder: Where the run goes, as `whole`.
      stop: The step of the checkpoint from which it goes on a second time.
      groups: What the names of all that must be equal begin with.

    Returns:
      The records of the run's log.
    """
    run_dir = folder / "whole"
    fields = {"run_dir": str(run_dir), "save_every_steps": stop}
    options = dataclasses.replace(options, **fields)
    train(options)
    whole = tensors(run_dir)
    lost = [step for step in checkpoint_steps(run_dir) if step > stop]
    for step in lost:
        for path in (run_dir / "checkpoints").glob(f"step-{step}.*"):
            path.unlink()
    assert lost and newest_checkpoint(run_dir).endswith(f"step-{stop}")
    train(options)
    again = tensors(run_dir)
    assert whole.keys() == again.keys()
    for group in groups:
        names = [name for name in whole if name.startswith(group)]
        assert names
        for name in names:
            np.testing.assert_array_equal(whole[name], again[name], name)
    log = (run_dir / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in log]


def tensors(run_dir: str | os.PathLike) -> dict[str, np.ndarray]:
    """What the newest checkpoint of a run holds, by name."""
    reader = tf.train.load_checkpoint(newest_checkpoint(run_dir))
    names = [
        name
        for name in reader.get_variable_to_shape_map()
        if "OBJECT_GRAPH" not in name and not name.startswith("save_counter")
    ]
    return {name: reader.get_tensor(name) for name in names}
