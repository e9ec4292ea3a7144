"""Checkpoints of a training: three kept, each whole, restored strictly or not at all.

Every variable is saved under a name of ours, `group/name`, so that what is missing,
unexpected or of another shape can be told before anything is changed.
"""

import functools
import json
import os
import pathlib
import shutil
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.files import reason, remove_if_empty, written_whole
from cyclegan_tf.learning.averages import saved_as
from cyclegan_tf.learning.state import State, mismatches, named_weights
from cyclegan_tf.leftovers import remove
from cyclegan_tf.models.cyclegan import GENERATOR_NAMES, build_network
from cyclegan_tf.run_directory import (
    BEST_FILE,
    BEST_FOLDER,
    CHECKPOINTS_FOLDER,
    best_checkpoint,
    load_config,
    read_checkpoint,
    read_newest,
)
from cyclegan_tf.training.checkpoint_files import (
    DamagedError,
    check_matches,
    check_whole,
    networks_in,
    prefixes,
    reading,
    set_aside,
    shapes_in,
    shapes_of,
)
from cyclegan_tf.validation import UserError


class Checkpoints:
    """The checkpoints of a run directory, whatever its model.

    Args:
      state: Variables by group and name: what to save and restore.
      run_dir: The run directory.
      writes: False if another process of the training does.
    """

    def __init__(self, state: State, run_dir: str | os.PathLike, writes: bool = True):
        self._writes = writes
        self._state = state
        self._checkpoint = tf.train.Checkpoint(**state)
        self._run_dir = pathlib.Path(run_dir)
        self._folder = self._run_dir / CHECKPOINTS_FOLDER
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(self._folder),
            max_to_keep=3,
            checkpoint_name="step",
        )
        self.last_step = 0

    def save(self, step: int) -> None:
        """Saves the state after `step` steps, once.

        Raises:
          UserError: it can't be written; nothing of it is left, and the checkpoints
            before are as they were.
        """
        if step == self.last_step:
            return
        try:
            if self._writes:
                self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            for file in self._folder.glob(f"step-{step}[._]*"):
                remove(file)
            raise self._not_written(f"step-{step}", self._folder, error) from error
        self.last_step = step

    def _not_written(self, name, folder, error) -> UserError:
        last = self.last_step
        good = f"is of step {last:,}" if last else "does not exist"
        return UserError(
            f"Checkpoint {name} can't be written to {folder}: {reason(error)}. The "
            f"last good checkpoint {good}."
        )

    def keep_best(self, metric: str, value: float, higher: bool) -> bool:
        """Keeps a copy of the checkpoint just saved, if none was better.

        Args:
          metric: Name of a number; the best by another one is replaced.
          value: Of this checkpoint.
          higher: Whether a higher one is better.

        Returns:
          Whether it is the best so far.

        Raises:
          UserError: it can't be written.
        """
        held = best_checkpoint(self._run_dir)
        if held and held[1]["metric"] == metric and held[1]["step"] != self.last_step:
            before = held[1]["value"]
            if value == before or (value > before) != higher:
                return False
        name, folder = f"step-{self.last_step}", self._run_dir / BEST_FOLDER
        record = {"metric": metric, "value": value, "step": self.last_step}
        try:
            folder.mkdir(exist_ok=True)
            for file in self._folder.glob(f"{name}.*"):
                with written_whole(folder / file.name) as temporary:
                    shutil.copyfile(file, temporary)
            # From here on this one is the best; a crash before leaves the one before.
            with written_whole(folder / BEST_FILE) as temporary:
                temporary.write_text(json.dumps(record) + "\n")
        except OSError as error:
            if not held or held[1]["step"] != self.last_step:
                for file in folder.glob(f"{name}.*"):
                    remove(file)
            remove_if_empty(folder)
            raise self._not_written(name, folder, error) from error
        for file in folder.glob("step-*"):
            if file.stem != name:
                file.unlink()
        return True

    def restore(self) -> int:
        """Restores the newest checkpoint that is whole, if there is one.

        Damaged ones that are newer are told, and moved to a folder `damaged-N` beside.

        Returns:
          Its step; 0 if the run has no checkpoint yet.

        Raises:
          UserError: it does not match the training exactly, or all are damaged; no
            file was touched.
        """
        damaged = {}
        for path in prefixes(self._folder):
            try:
                check_whole(path)
            except DamagedError as error:
                damaged[path] = error
                continue
            check_matches(path, self._state)
            for newer, error in damaged.items():
                print(f"{error} Set aside in {set_aside(newer)}.", flush=True)
            with reading(path):
                self._checkpoint.restore(path).assert_consumed()
            self.last_step = int(path.rsplit("-", 1)[1])
            return self.last_step
        if damaged:
            reasons = " ".join(map(str, damaged.values()))
            raise UserError(
                f"{self._run_dir} has no checkpoint that can be read, and stays as it "
                f"is; name another run directory. {reasons}"
            )
        return 0


def initialize(
    networks: Mapping[str, keras.Model], run_dir: str | os.PathLike
) -> tuple[str, ...]:
    """Takes over the networks of a run, or imported ones, and nothing else of it.

    Args:
      networks: Those of a training that has not begun, by name.
      run_dir: The run directory. Networks that it lacks keep their random weights.

    Returns:
      The networks that were taken over.

    Raises:
      UserError: it has no checkpoint, one that is damaged, or one that does not match;
        that leaves `networks` as they were.
    """

    def read(path: str) -> tuple[str, ...]:
        names = networks_in(path)
        if not names:
            raise UserError(f"`initialize_from` {run_dir} has no networks.")
        _restore(path, {name: named_weights(networks[name]) for name in names})
        return names

    return read_newest(run_dir, read, "initialize_from")


def take_over(
    networks: Mapping[str, keras.Model], run_dir: str | os.PathLike, option: str
) -> str:
    """Gives networks the weights of the same names in a run's newest checkpoint.

    Args:
      networks: By name.
      run_dir: The run directory.
      option: What named it, for the message.

    Returns:
      The checkpoint's path prefix.

    Raises:
      UserError: as `initialize`.
    """

    def read(path: str) -> str:
        restore_networks(path, networks)
        return path

    return read_newest(run_dir, read, option)


def restore_networks(path: str, networks: Mapping[str, keras.Model]) -> None:
    """Gives networks the weights of the same names in a checkpoint.

    Args:
      path: The checkpoint's path prefix.
      networks: By name.

    Raises:
      UserError: the checkpoint is damaged or does not match.
    """
    _restore(path, {name: named_weights(network) for name, network in networks.items()})


def load_network(
    run_dir: str | os.PathLike, name: str, checkpoint: str | None = None
) -> keras.Model:
    """Builds a network of a run with its weights, of a generator the average if on.

    Args:
      run_dir: The run directory.
      name: `generator_g` (X to Y), `generator_f` (Y to X), `discriminator_x` or
        `discriminator_y`.
      checkpoint: One that `check_run` gave; None for the newest now.

    Returns:
      The model; it maps float32 [batch, height, width, 3] in [-1, 1] to the same, a
      discriminator to logits (a `projected` one maps feature maps to logits).

    Raises:
      UserError: there is no run, no checkpoint, or one that does not match.
    """
    if checkpoint is None:
        return read_checkpoint(run_dir, functools.partial(load_network, run_dir, name))
    config, path = load_config(run_dir), checkpoint
    held = networks_in(path)
    if name not in held:
        others = f"; it holds {', '.join(held)}" if held else ""
        raise UserError(f"{path} does not hold {name}{others}.")
    network = build_network(config, name)
    shown = name
    if config.average_decay and name in GENERATOR_NAMES:
        shown = saved_as(name)
    _restore(path, {shown: named_weights(network)})
    return network


def save_networks(
    run_dir: str | os.PathLike,
    networks: dict[str, dict[str, np.ndarray]],
    step: int = 0,
) -> None:
    """Writes a checkpoint of networks alone.

    Args:
      run_dir: The run directory.
      networks: Arrays by network and by our names of its weights.
      step: That it is of.
    """
    variables = {
        name: {key: tf.Variable(array) for key, array in weights.items()}
        for name, weights in networks.items()
    }
    path = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER / f"step-{step}"
    tf.train.Checkpoint(**variables).write(str(path))


def _restore(path: str, state: State) -> None:
    """Restores some groups of a checkpoint, and checks that these match exactly."""
    found = {k: v for k, v in shapes_in(path).items() if k.partition("/")[0] in state}
    told = mismatches(shapes_of(state), found)
    if told:
        raise UserError(f"{path} does not match the configuration ({told}).")
    with reading(path):
        tf.train.Checkpoint(**state).restore(path).expect_partial()
