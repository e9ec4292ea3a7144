"""Runs, whole and broken off."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.training.run_directory import newest_checkpoint
from cyclegan_tf.training.train import train


def assert_goes_on_to_the_bit(
    options: BaseOptions, folder: pathlib.Path, stop: int, groups: tuple[str, ...]
) -> list[dict]:
    """Trains as a whole and in two goes, and compares all that is saved.

    Args:
      options: Of the run, without a `run_dir`.
      folder: Where both runs go.
      stop: The step after which one is broken off.
      groups: What the names of all that must be equal begin with.

    Returns:
      The records of the whole run's log.
    """
    whole = dataclasses.replace(options, run_dir=str(folder / "whole"))
    broken = dataclasses.replace(options, run_dir=str(folder / "broken"))
    train(whole)
    train(dataclasses.replace(broken, max_steps=stop))
    train(broken)
    ours, theirs = tensors(whole.run_dir), tensors(broken.run_dir)
    assert ours.keys() == theirs.keys()
    for group in groups:
        names = [name for name in ours if name.startswith(group)]
        assert names
        for name in names:
            np.testing.assert_array_equal(ours[name], theirs[name], name)
    log = (folder / "whole/log.jsonl").read_text().splitlines()
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
