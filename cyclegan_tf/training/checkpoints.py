"""Checkpoints of a training: three kept, each whole, restored strictly or not at all.

Every variable is saved under a name of ours, `group/name`, so that what is missing,
unexpected or of another shape can be told before anything is changed.
"""

import json
import os
import pathlib
import shutil
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.files import written_whole
from cyclegan_tf.learning.averages import saved_as
from cyclegan_tf.learning.state import State, mismatches, named_weights
from cyclegan_tf.models.cyclegan import GENERATOR_NAMES, NETWORKS, build_network
from cyclegan_tf.run_directory import (
    BEST_FILE,
    BEST_FOLDER,
    CHECKPOINTS_FOLDER,
    best_checkpoint,
    check_run,
    checkpoint_steps,
    load_config,
    newest_checkpoint,
)
from cyclegan_tf.validation import UserError

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

# What TensorFlow raises on a checkpoint whose files are cut off or overwritten.
_DAMAGE = (tf.errors.OpError, ValueError, IndexError)


class Checkpoints:
    """The checkpoints of a run directory, whatever its model.

    Args:
      state: Variables by group and name: what to save and restore.
      run_dir: The run directory.
    """

    def __init__(self, state: State, run_dir: str | os.PathLike):
        self._state = state
        self._checkpoint = tf.train.Checkpoint(**state)
        self._run_dir = pathlib.Path(run_dir)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(self._run_dir / CHECKPOINTS_FOLDER),
            max_to_keep=3,
            checkpoint_name="step",
        )
        self.last_step = 0

    def save(self, step: int) -> None:
        """Saves the state after `step` steps, once."""
        if step != self.last_step:
            self._manager.save(checkpoint_number=step)
            self.last_step = step

    def keep_best(self, metric: str, value: float, higher: bool) -> bool:
        """Keeps a copy of the checkpoint just saved, if none was better.

        Args:
          metric: Name of a number; the best by another one is replaced.
          value: Of this checkpoint.
          higher: Whether a higher one is better.

        Returns:
          Whether it is the best so far.
        """
        held = best_checkpoint(self._run_dir)
        if held and held[1]["metric"] == metric and held[1]["step"] != self.last_step:
            before = held[1]["value"]
            if value == before or (value > before) != higher:
                return False
        name, folder = f"step-{self.last_step}", self._run_dir / BEST_FOLDER
        folder.mkdir(exist_ok=True)
        for file in (self._run_dir / CHECKPOINTS_FOLDER).glob(f"{name}.*"):
            with written_whole(folder / file.name) as temporary:
                shutil.copyfile(file, temporary)
        record = {"metric": metric, "value": value, "step": self.last_step}
        # From here on this one is the best; a crash before leaves the one before.
        with written_whole(folder / BEST_FILE) as temporary:
            temporary.write_text(json.dumps(record) + "\n")
        for file in folder.glob("step-*"):
            if file.stem != name:
                file.unlink()
        return True

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one.

        Returns:
          Its step; 0 if the run has no checkpoint yet.

        Raises:
          UserError: it is damaged, or does not match the training exactly.
        """
        path = newest_checkpoint(self._run_dir)
        if path is None:
            return 0
        check_matches(path, self._state)
        try:
            self._checkpoint.restore(path).assert_consumed()
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        self.last_step = int(path.rsplit("-", 1)[1])
        return self.last_step


def networks_in(path: str) -> tuple[str, ...]:
    """Which of the four networks a checkpoint holds; imported ones may hold one.

    Args:
      path: The checkpoint's path prefix.

    Raises:
      UserError: the checkpoint is damaged.
    """
    groups = {name.partition("/")[0] for name in _shapes(path)}
    return tuple(name for name in NETWORKS if name in groups)


def check_matches(path: str, state: State) -> None:
    """Compares names and shapes of a checkpoint with those of a state.

    Args:
      path: The checkpoint's path prefix.
      state: Variables by group and name.

    Raises:
      UserError: lists all that is missing, unexpected or misshapen, or says that the
        checkpoint is damaged.
    """
    told = mismatches(_shapes_of(state), _shapes(path))
    if told:
        raise UserError(f"{path} does not match this training ({told}).")


def check_can_go_on(run_dir: str | os.PathLike) -> None:
    """Refuses a run whose newest checkpoint has networks only, as imported ones do.

    Raises:
      UserError: it has, or is damaged.
    """
    path = newest_checkpoint(run_dir)
    if path and not any(name.startswith("optimizer_of_") for name in _shapes(path)):
        raise UserError(
            f"{run_dir} has networks only, no optimizers to go on with. Name another "
            f"--run_dir, and --initialize_from {run_dir}."
        )


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
    path = newest_checkpoint(run_dir)
    names = networks_in(path) if path else ()
    taken = {name: networks[name] for name in names}
    take_over(taken, run_dir, "initialize_from")
    return names


def take_over(
    networks: Mapping[str, keras.Model], run_dir: str | os.PathLike, option: str
) -> None:
    """Gives networks the weights of the same names in a run's newest checkpoint.

    Args:
      networks: By name.
      run_dir: The run directory.
      option: What named it, for the message.

    Raises:
      UserError: as `initialize`.
    """
    path = newest_checkpoint(run_dir)
    if not path or not networks:
        raise UserError(f"`{option}` {run_dir} has no checkpoint with networks.")
    _restore(path, {name: named_weights(net) for name, net in networks.items()})


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
      discriminator to logits.

    Raises:
      UserError: there is no run, no checkpoint, or one that does not match.
    """
    config = load_config(run_dir)
    path = checkpoint or check_run(run_dir)
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
    found = {k: v for k, v in _shapes(path).items() if k.partition("/")[0] in state}
    told = mismatches(_shapes_of(state), found)
    if told:
        raise UserError(f"{path} does not match the configuration ({told}).")
    try:
        tf.train.Checkpoint(**state).restore(path).expect_partial()
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    return {
        f"{group}/{name}": tuple(variable.shape)
        for group, variables in state.items()
        for name, variable in variables.items()
    }


def _shapes(path: str) -> dict[str, tuple[int, ...]]:
    """Shapes in a checkpoint, by `group/name`."""
    try:
        variables = tf.train.list_variables(path)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return {
        key.removesuffix(_SUFFIX): tuple(shape)
        for key, shape in variables
        if key.endswith(_SUFFIX) and not key.startswith("save_counter")
    }


def _damaged(path: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0][:200]
    run_dir, step = pathlib.Path(path).parents[1], int(path.rpartition("-")[2])
    older = [other for other in checkpoint_steps(run_dir) if other < step]
    way = "There is none before it to go on from; name another run directory."
    if older:
        way = f"Remove {path}.* to go on from the one before, step-{older[-1]}."
    return UserError(f"Checkpoint {path} is damaged ({reason}). {way}")
