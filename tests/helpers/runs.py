"""Runs of the models beside CycleGAN, whole and broken off."""

import dataclasses
import json
import pathlib

import numpy as np
import tensorflow as tf

from cyclegan_tf.options import Common
from cyclegan_tf.run_directory import newest_checkpoint
from cyclegan_tf.training.train import train


def assert_goes_on_to_the_bit(
    options: Common, folder: pathlib.Path, stop: int, groups: tuple[str, ...]
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
    ends = [newest_checkpoint(config.run_dir) for config in (whole, broken)]
    ours, theirs = (tf.train.load_checkpoint(end) for end in ends)
    shapes = ours.get_variable_to_shape_map()
    assert shapes == theirs.get_variable_to_shape_map()
    names = [name for name in shapes if name.startswith(groups)]
    assert {group for group in groups if any(n.startswith(group) for n in names)} == {
        *groups
    }
    for name in names:
        np.testing.assert_array_equal(
            ours.get_tensor(name), theirs.get_tensor(name), name
        )
    log = (folder / "whole/log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in log]
