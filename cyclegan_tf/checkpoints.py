"""Checkpoints of a training: three kept, each whole, restored strictly or not at all.

Every variable is saved under a name of ours, `group/name`, so that what is missing,
unexpected or of another shape can be told before anything is changed.
"""

import os
import pathlib

import keras
import tensorflow as tf

from cyclegan_tf.config import UserError, load_config
from cyclegan_tf.cyclegan import CycleGAN, named_weights
from cyclegan_tf.generators import GENERATORS

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_FOLDER = "checkpoints"

# What TensorFlow raises on a checkpoint whose files are cut off or overwritten.
_DAMAGE = (tf.errors.OpError, ValueError, IndexError)

State = dict[str, dict[str, tf.Variable]]


class Checkpoints:
    """The checkpoints of a run directory.

    Args:
      model: The training to save and restore.
      run_dir: The run directory.
    """

    def __init__(self, model: CycleGAN, run_dir: str | os.PathLike):
        self._state = model.state()
        self._checkpoint = tf.train.Checkpoint(**self._state)
        self._folder = pathlib.Path(run_dir) / _FOLDER
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(self._folder), max_to_keep=3, checkpoint_name="step"
        )
        self.last_step = 0

    def save(self, step: int) -> None:
        """Saves the state after `step` steps, once."""
        if step != self.last_step:
            self._manager.save(checkpoint_number=step)
            self.last_step = step

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one.

        Returns:
          Its step; 0 if the run has no checkpoint yet.

        Raises:
          UserError: it is damaged, or does not match the training exactly.
        """
        path = newest(self._folder.parent)
        if path is None:
            return 0
        check_matches(path, self._state)
        try:
            self._checkpoint.restore(path).assert_consumed()
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        self.last_step = int(path.rsplit("-", 1)[1])
        return self.last_step


def newest(run_dir: str | os.PathLike) -> str | None:
    """The newest checkpoint of a run that is there, as a path prefix, or None."""
    folder = pathlib.Path(run_dir) / _FOLDER
    names = [p.stem.split("-")[1] for p in folder.glob("step-*.index")]
    steps = [int(name) for name in names if name.isdecimal()]
    return str(folder / f"step-{max(steps)}") if steps else None


def check_matches(path: str, state: State) -> None:
    """Compares names and shapes of a checkpoint with those of a state.

    Args:
      path: The checkpoint's path prefix.
      state: Variables by group and name.

    Raises:
      UserError: lists all that is missing, unexpected or misshapen, or says that the
        checkpoint is damaged.
    """
    wanted = {
        f"{group}/{name}": tuple(variable.shape)
        for group, variables in state.items()
        for name, variable in variables.items()
    }
    found = _shapes(path)
    shared = wanted.keys() & found.keys()
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "unexpected": sorted(found.keys() - wanted.keys()),
        "misshapen": [
            f"{name} {found[name]} instead of {wanted[name]}"
            for name in sorted(shared)
            if found[name] != wanted[name]
        ],
    }
    told = "; ".join(
        f"{kind}: {', '.join(names[:8])}"
        + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        for kind, names in problems.items()
        if names
    )
    if told:
        raise UserError(f"{path} does not match this training ({told}).")


def load_generator(
    run_dir: str | os.PathLike, name: str, checkpoint: str | None = None
) -> keras.Model:
    """Builds a generator of a run with its weights.

    Args:
      run_dir: The run directory.
      name: `generator_g` (X to Y) or `generator_f` (Y to X).
      checkpoint: One that `newest` gave; None for the newest now.

    Returns:
      The model; it maps float32 [batch, height, width, 3] in [-1, 1] to the same.

    Raises:
      UserError: there is no run, no checkpoint, or one that does not match.
    """
    config = load_config(run_dir)
    path = checkpoint or newest(run_dir)
    if path is None:
        raise UserError(f"{run_dir} has no checkpoint yet.")
    generator = GENERATORS[config.generator](config, name)
    weights = named_weights(generator)
    saved = {k: v for k, v in _shapes(path).items() if k.startswith(f"{name}/")}
    wanted = {f"{name}/{k}": tuple(v.shape) for k, v in weights.items()}
    if saved != wanted:
        raise UserError(f"{path} does not hold the weights of {name}.")
    try:
        tf.train.Checkpoint(**{name: weights}).restore(path).expect_partial()
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return generator


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
    return UserError(
        f"Checkpoint {path} is damaged ({reason}). Remove {path}.* to go on from the "
        "one before."
    )
