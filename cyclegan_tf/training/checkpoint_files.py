"""What is in a checkpoint's files, and whether they are whole.

A checkpoint is damaged if a file is cut off, overwritten or missing.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from cyclegan_tf.learning.state import State, mismatches
from cyclegan_tf.models.cyclegan import NETWORKS
from cyclegan_tf.run_directory import checkpoint_steps, newest_checkpoint
from cyclegan_tf.validation import UserError

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


class DamagedError(UserError):
    """A checkpoint's files are damaged."""


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Tells of damage what TensorFlow raises on it.

    Args:
      path: The checkpoint's path prefix, which is read within.

    Raises:
      DamagedError: it is damaged.
      UserError: its files must not be read.
    """
    try:
        yield
    except tf.errors.PermissionDeniedError as error:
        raise UserError(f"Checkpoint {path} can't be read: {error.message}") from error
    except (tf.errors.OpError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0][:200]
        run_dir, step = pathlib.Path(path).parents[1], int(path.rpartition("-")[2])
        older = [other for other in checkpoint_steps(run_dir) if other < step]
        before = f"The one before is step-{older[-1]}." if older else "It is the first."
        raise DamagedError(
            f"Checkpoint {path} is damaged ({reason}). {before}"
        ) from error


def shapes_in(path: str) -> dict[str, tuple[int, ...]]:
    """Shapes in a checkpoint, by `group/name`; raises as `reading`."""
    with reading(path):
        variables = tf.train.list_variables(path)
    return {
        key.removesuffix(_SUFFIX): tuple(shape)
        for key, shape in variables
        if key.endswith(_SUFFIX) and not key.startswith("save_counter")
    }


def shapes_of(state: State) -> dict[str, tuple[int, ...]]:
    """Shapes of a state, by `group/name`."""
    return {
        f"{group}/{name}": tuple(variable.shape)
        for group, variables in state.items()
        for name, variable in variables.items()
    }


def networks_in(path: str) -> tuple[str, ...]:
    """Which of the four networks a checkpoint holds; imported ones may hold one.

    Args:
      path: The checkpoint's path prefix.

    Raises:
      UserError: the checkpoint is damaged.
    """
    groups = {name.partition("/")[0] for name in shapes_in(path)}
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
    told = mismatches(shapes_of(state), shapes_in(path))
    if told:
        raise UserError(f"{path} does not match this training ({told}).")


def check_can_go_on(run_dir: str | os.PathLike) -> None:
    """Refuses a run whose newest checkpoint has networks only, as imported ones do.

    Raises:
      UserError: it has.
    """
    path = newest_checkpoint(run_dir)
    with contextlib.suppress(DamagedError):  # Then others are looked for.
        names = shapes_in(path) if path else ["optimizer_of_all"]
        if any(name.startswith("optimizer_of_") for name in names):
            return
        raise UserError(
            f"{run_dir} has networks only, no optimizers to go on with. Name another "
            f"--run_dir, and --initialize_from {run_dir}."
        )


def check_whole(path: str) -> None:
    """Reads all of a checkpoint, whose tensors have check sums; raises as `reading`."""
    with reading(path):
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)


def prefixes(folder: pathlib.Path) -> list[str]:
    """Path prefixes of all checkpoints in a folder, whole or not, newest first."""
    names = {file.name.partition(".")[0] for file in folder.glob("step-*.*")}
    steps = [int(n.removeprefix("step-")) for n in names if n[5:].isdecimal()]
    return [str(folder / f"step-{step}") for step in sorted(steps, reverse=True)]


def set_aside(path: str) -> pathlib.Path:
    """Moves a checkpoint's files into a new folder beside them, which it gives."""
    files = pathlib.Path(path).parent.glob(f"{pathlib.Path(path).name}.*")
    number = 1
    while (aside := pathlib.Path(path).parent / f"damaged-{number}").exists():
        number += 1
    aside.mkdir()
    for file in list(files):
        file.replace(aside / file.name)
    return aside
