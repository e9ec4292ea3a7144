"""Checkpoints of a training: the newest three, each whole, restored strictly.

Every variable is saved under our own name, `group/name`. So a restore can list all
differences before it changes anything.
"""

import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.cyclegan import GENERATOR_NAMES, NETWORKS, build_network
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.core.state import State, average_of, mismatches, named_weights
from cyclegan_tf.files import plain_path, remove, remove_if_empty, written_whole
from cyclegan_tf.messages import LOG, UserError, reason
from cyclegan_tf.training.run_directory import (
    BEST_FILE,
    BEST_FOLDER,
    CHECKPOINTS_FOLDER,
    best_checkpoint,
    checkpoint_steps,
    load_config,
    newest_checkpoint,
    read_checkpoint,
    read_newest,
)

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

# Temporary files of TensorFlow.
_TEMPORARY = re.compile(
    r"step-\d+_temp|step-\d+\..+\.tempstate\d+|checkpoint\.tmp[0-9a-f]{32}"
)


class Checkpoints:
    """The checkpoints of a run of any model.

    Args:
      state: The variables to save and restore, by group and name.
      run_dir: The run directory.
      writes: False if another process of the training writes them.

    Attributes:
      last_step: The step of the last one saved or restored; 0 if there is none.
    """

    def __init__(self, state: State, run_dir: str | os.PathLike, writes: bool = True):
        self._writes = writes
        self._state = state
        self._checkpoint = tf.train.Checkpoint(**state)
        self._run_dir = pathlib.Path(run_dir)
        self._folder = self._run_dir / CHECKPOINTS_FOLDER
        self.last_step = 0

    def save(self, step: int) -> None:
        """Saves the state after `step` steps, once; a failure keeps earlier ones."""
        if step == self.last_step:
            return
        try:
            if self._writes:
                self._folder.mkdir(parents=True, exist_ok=True)
                with plain_path(self._folder) as folder:
                    tf.train.CheckpointManager(
                        self._checkpoint, folder, max_to_keep=3, checkpoint_name="step"
                    ).save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            for file in self._folder.glob(f"step-{step}[._]*"):
                remove(file)
            raise self._not_written(f"step-{step}", self._folder, error) from error
        self.last_step = step

    def _not_written(self, name, folder, error) -> UserError:
        return UserError(
            f"Checkpoint {name} can't be written to {folder}: {reason(error)}. "
            f"{last_good(self.last_step)}"
        )

    def keep_best(self, metric: str, value: float, higher: bool) -> bool:
        """Copies the checkpoint just saved to `best/` if it is the best so far.

        It also replaces the best by another metric. A failure keeps the one before.

        Args:
          metric: Name of the metric.
          value: Its value for this checkpoint.
          higher: Whether a higher value is better.

        Returns:
          Whether it is the best so far.
        """
        _, best = best_checkpoint(self._run_dir) or (None, {"metric": None})
        if best["metric"] == metric and best["step"] != self.last_step:
            before = best["value"]
            if value == before or (value > before) != higher:
                return False
        name, folder = f"step-{self.last_step}", self._run_dir / BEST_FOLDER
        record = {"metric": metric, "value": value, "step": self.last_step}
        try:
            folder.mkdir(exist_ok=True)
            for file in self._folder.glob(f"{name}.*"):
                with written_whole(folder / file.name) as temporary:
                    shutil.copyfile(file, temporary)
            # From here on it is the best; a crash before this keeps the old one.
            with written_whole(folder / BEST_FILE) as temporary:
                temporary.write_text(json.dumps(record) + "\n")
        except OSError as error:
            raise self._not_written(name, folder, error) from error
        finally:
            path, _ = best_checkpoint(self._run_dir) or ("", {})
            for file in folder.glob("step-*"):
                if file.stem != pathlib.Path(path).name:
                    remove(file)
            remove_if_empty(folder)
        return True

    def restore(self) -> int:
        """Restores the newest whole checkpoint.

        Newer damaged checkpoints are reported and moved to `checkpoints/damaged-N`.

        Returns:
          Its step; 0 if the run has no checkpoint.

        Raises:
          UserError: it does not match the training exactly, or all are damaged; no
            file changed.
        """
        damaged = {}
        names = {file.name.partition(".")[0] for file in self._folder.glob("step-*.*")}
        steps = [int(name[5:]) for name in names if name[5:].isdecimal()]
        for step in sorted(steps, reverse=True):
            path = str(self._folder / f"step-{step}")
            try:
                _check_whole(path)
            except DamagedError as error:
                damaged[path] = error
                continue
            _check_matches(self._state, shapes_in(path), path)
            for newer, error in damaged.items():
                LOG.warning(f"{error} Set aside in {_set_aside(newer)}.")
            with _reading(path) as plain:
                self._checkpoint.restore(plain).assert_consumed()
            self.last_step = step
            return step
        if damaged:
            reasons = " ".join(map(str, damaged.values()))
            raise UserError(
                f"{self._run_dir} has no checkpoint that can be read, and stays as it "
                f"is; name another run directory. {reasons}"
            )
        return 0


def last_good(step: int) -> str:
    """Names the last good checkpoint in a sentence; 0 if there is none."""
    good = f"is of step {step:,}" if step else "does not exist"
    return f"The last good checkpoint {good}."


# --- Networks of a run


def initialize(
    networks: Mapping[str, keras.Model], run_dir: str | os.PathLike
) -> tuple[str, ...]:
    """Loads the weights of the networks that a run has; others stay random.

    Returns:
      The names of the loaded networks.

    Raises:
      UserError: the run has no checkpoint, a damaged one, or one that does not match;
        `networks` did not change.
    """

    def read(path: str) -> tuple[str, ...]:
        names = networks_in(path)
        if not names:
            raise UserError(f"`initialize_from` {run_dir} has no networks.")
        restore_networks(path, {name: networks[name] for name in names})
        return names

    return read_newest(run_dir, read, "initialize_from")


def restore_networks(path: str, networks: Mapping[str, keras.Model]) -> None:
    """Loads weights from a checkpoint into the networks of the same names.

    Raises:
      UserError: the checkpoint is damaged or does not match; nothing changed.
    """
    state = {name: named_weights(network) for name, network in networks.items()}
    shapes = shapes_in(path).items()
    shapes = {name: shape for name, shape in shapes if name.partition("/")[0] in state}
    _check_matches(state, shapes, path)
    with _reading(path) as plain:
        tf.train.Checkpoint(**state).restore(plain).expect_partial()


@computing_in("float32")
def load_network(
    run_dir: str | os.PathLike, name: str, checkpoint: str | None = None
) -> keras.Model:
    """Builds a network of a run with its weights; for a generator the averages, if any.

    Args:
      run_dir: The run directory.
      name: `generator_g` (X to Y), `generator_f` (Y to X), `discriminator_x` or
        `discriminator_y`.
      checkpoint: A path prefix from `check_run`; None for the newest one.

    Returns:
      The model. A generator maps float32 [batch, height, width, 3] in [-1, 1] to the
      same, a discriminator to logits; the input of a `projected` one is feature maps.

    Raises:
      UserError: there is no run, no checkpoint, or one that does not match.
    """
    if checkpoint is None:
        return read_checkpoint(run_dir, functools.partial(load_network, run_dir, name))
    config, names = load_config(run_dir), networks_in(checkpoint)
    if name not in names:
        others = f"; it holds {', '.join(names)}" if names else ""
        raise UserError(f"{checkpoint} does not hold {name}{others}.")
    network = build_network(config, name)
    averages = config.average_decay and name in GENERATOR_NAMES
    restore_networks(checkpoint, {average_of(name) if averages else name: network})
    return network


def save_networks(
    run_dir: str | os.PathLike,
    networks: dict[str, dict[str, np.ndarray]],
    step: int = 0,
) -> None:
    """Writes a checkpoint of networks alone; `networks` has arrays by their names."""
    variables = {
        name: {key: tf.Variable(array) for key, array in weights.items()}
        for name, weights in networks.items()
    }
    folder = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with plain_path(folder) as plain:
        tf.train.Checkpoint(**variables).write(f"{plain}/step-{step}")


def networks_in(path: str) -> tuple[str, ...]:
    """Returns the names of a CycleGAN's networks in a checkpoint."""
    groups = {name.partition("/")[0] for name in shapes_in(path)}
    return tuple(name for name in NETWORKS if name in groups)


def check_can_go_on(run_dir: str | os.PathLike) -> None:
    """Raises a `UserError` for a run without optimizers, such as an imported one."""
    path = newest_checkpoint(run_dir)
    with contextlib.suppress(DamagedError):  # `restore` looks for another one.
        if path and not any(k.startswith("optimizer_of_") for k in shapes_in(path)):
            raise UserError(
                f"{run_dir} has networks only, no optimizers to go on with. Name "
                f"another --run_dir, and --initialize_from {run_dir}."
            )


# --- Files of checkpoints


class DamagedError(UserError):
    """A file of a checkpoint is cut off, overwritten or missing."""


def remove_half_checkpoints(run_dir: str | os.PathLike) -> None:
    """Removes temporary files and old data files without an index of a killed process.

    Needs the run's lock: a checkpoint that is being written looks the same.
    """
    newest = max(steps := checkpoint_steps(run_dir), default=0)
    for path in (pathlib.Path(run_dir) / CHECKPOINTS_FOLDER).glob("*"):
        data = re.fullmatch(r"step-(\d+)\.data-\d{5}-of-\d{5}", path.name)
        half = data and int(data[1]) < newest and int(data[1]) not in steps
        if half or _TEMPORARY.fullmatch(path.name):
            remove(path)


def shapes_in(path: str) -> dict[str, tuple[int, ...]]:
    """Returns the shapes in a checkpoint by `group/name`; raises `DamagedError`."""
    with _reading(path) as plain:
        variables = tf.train.list_variables(plain)
    return {
        key.removesuffix(_SUFFIX): tuple(shape)
        for key, shape in variables
        if key.endswith(_SUFFIX) and not key.startswith("save_counter")
    }


@contextlib.contextmanager
def _reading(path: str) -> Iterator[str]:
    """Yields a path for TensorFlow, and turns its errors into a `DamagedError`."""
    folder, name = os.path.split(path)
    try:
        with plain_path(folder) as plain:
            yield os.path.join(plain, name)
    except tf.errors.PermissionDeniedError as error:
        raise UserError(f"Checkpoint {path} can't be read: {error.message}") from error
    except (tf.errors.OpError, ValueError, IndexError) as error:
        run_dir, step = pathlib.Path(path).parents[1], int(path.rpartition("-")[2])
        older = [other for other in checkpoint_steps(run_dir) if other < step]
        before = f"The one before is step-{older[-1]}." if older else "It is the first."
        raise DamagedError(
            f"Checkpoint {path} is damaged ({reason(error)}). {before}"
        ) from error


def _check_whole(path: str) -> None:
    """Reads all tensors; TensorFlow compares their check sums."""
    with _reading(path) as plain:
        reader = tf.train.load_checkpoint(plain)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)


def _check_matches(state: State, found: dict[str, tuple[int, ...]], path: str) -> None:
    wanted = {
        f"{group}/{name}": tuple(variable.shape)
        for group, variables in state.items()
        for name, variable in variables.items()
    }
    if differences := mismatches(wanted, found):
        raise UserError(f"{path} does not match the configuration ({differences}).")


def _set_aside(path: str) -> pathlib.Path:
    folder, number = pathlib.Path(path).parent, 1
    while (aside := folder / f"damaged-{number}").exists():
        number += 1
    aside.mkdir()
    for file in list(folder.glob(f"{pathlib.Path(path).name}.*")):
        file.replace(aside / file.name)
    return aside
