"""The folder of a run: names of its files, configuration, checkpoints, one writer.

Imports no TensorFlow, so that a missing run is reported at once.
"""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.config import DRAWN_DATASETS, TFDS_CONFIGS, Config
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.files import ensured_folder, written_whole
from cyclegan_tf.messages import UserError, reason, warn

_Read = TypeVar("_Read")

CONFIG_FILE = "config.json"
DATA_FILE = "data.json"
CHECKPOINTS_FOLDER = "checkpoints"
BEST_FOLDER = "best"
BEST_FILE = "best.json"
GRIDS_FOLDER = "grids"
CURVES_FILE = "losses.png"
LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
EXPORT_FOLDER = "export"
LOCK_FILE = "run.lock"

# Former fields, with the value that changed nothing (None: every value).
_GONE = {
    "output_skip": False,
    "discriminator_norm": "instance",
    "lambda_r1": 0.0,
    "discriminator_pictures": 1,
    "critic_steps": 1,
    "beta_1": 0.5,
    "num_grid_images": None,
}

# These may grow when a run continues.
_LENGTHS = ("num_epochs", "num_decay_epochs", "num_steps")

# A run needs these each time; others only at its start.
_PATHS = ("dataset", "data_dir", "feature_weights", "evaluation_weights")


# --- Configuration


def load_config(run_dir: str | os.PathLike) -> Config:
    """Reads the configuration of a CycleGAN's run; see `load_options`."""
    config = load_options(run_dir)
    if config.model != Config.model:
        raise UserError(
            f"{run_dir} is a run of the model `{config.model}`; this needs a CycleGAN."
        )
    return config


def load_options(run_dir: str | os.PathLike) -> BaseOptions:
    """Reads the configuration of a run of any model.

    A missing field gets its default. `run_dir` is where the run is now.

    Raises:
      UserError: the file is missing or damaged, or this version does not know one of
        its fields or values.
    """
    path = pathlib.Path(run_dir) / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        # Early runs of CycleGAN do not name their model.
        kind = OPTIONS[values.pop("model", Config.model)]
        known = {field.name for field in dataclasses.fields(kind)}
        for name in _GONE.keys() & values.keys() - known:
            if values.pop(name) != _GONE[name] and _GONE[name] is not None:
                raise ValueError(f"it uses `{name}`, which this version does not have")
        if values.get("cache") in ("memory", "encoded"):  # Former choices.
            values["cache"] = "auto"
        return kind(**{**values, "run_dir": str(run_dir)})
    except OSError as error:
        raise UserError(f"No configuration at {path}: {reason(error)}.") from error
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a configuration of ours: {error}") from error


def save_config(config: BaseOptions) -> None:
    """Writes the configuration into its run directory, whole or not at all."""
    with written_whole(pathlib.Path(config.run_dir) / CONFIG_FILE) as temporary:
        temporary.write_text(config.to_json())


def with_absolute_paths(config: BaseOptions) -> BaseOptions:
    """Makes paths of pictures and weights absolute: a run may continue from elsewhere.

    Raises:
      UserError: the folder of the data set is gone.
    """
    values = dataclasses.asdict(config)
    paths = {n: os.path.expanduser(values[n]) for n in _PATHS if values.get(n)}
    dataset = paths.pop("dataset", "")
    names = DRAWN_DATASETS + (TFDS_CONFIGS if config.model == Config.model else ())
    if os.path.isdir(dataset):
        if dataset.removeprefix("cycle_gan/") not in names:
            paths["dataset"] = dataset
    elif os.path.isabs(dataset):
        raise UserError(
            f"`dataset` {dataset} is no folder. If its pictures moved, name their new "
            "folder by --dataset."
        )
    absolute = {name: os.path.abspath(path) for name, path in paths.items()}
    return dataclasses.replace(config, **absolute)


def differences(ours: BaseOptions, theirs: BaseOptions) -> dict[str, str]:
    """Finds the fields that decide what is learned and differ, with both values.

    The run of `theirs` can continue as `ours` if there are none. If the model differs,
    it is the only entry.
    """
    if ours.model != theirs.model:
        return {"model": f"model: {theirs.model} there, {ours.model} requested"}
    differing = [
        field.name
        for field in dataclasses.fields(ours)
        if not field.metadata["changeable"]
        and getattr(ours, field.name) != getattr(theirs, field.name)
    ]
    return {
        name: f"{name}: {getattr(theirs, name)} there, {getattr(ours, name)} requested"
        for name in differing
    }


def check_same(config: BaseOptions) -> str:
    """Refuses to continue a run with another configuration, and lists the fields.

    A run may become longer. Its pictures may be in another folder: the caller compares
    them with the run's record.

    Returns:
      The fields that make the run longer, with both values; empty if there are none.
    """
    run_dir = pathlib.Path(config.run_dir)
    if not (run_dir / CONFIG_FILE).exists():
        return ""
    stored = load_options(run_dir)
    differing = differences(config, stored)
    if (run_dir / DATA_FILE).exists():
        differing.pop("dataset", None)
    longer = []
    for name in differing.keys() & set(_LENGTHS):
        there, requested = getattr(stored, name), getattr(config, name)
        # With `num_steps` of 0 epochs count.
        if requested > there and (there or name != "num_steps"):
            longer.append(differing.pop(name))
    if differing:
        message = (
            f"{run_dir} holds a run of another configuration "
            f"({'; '.join(differing.values())}). Choose another --run_dir, or the same "
            "values."
        )
        if config.model == stored.model == Config.model:
            message += f" --initialize_from {run_dir} starts with its networks."
        raise UserError(message)
    return "; ".join(sorted(longer))


def check_begins(options: BaseOptions, given: dict) -> None:
    """Refuses a `run_dir` without a run if no other option says what to train.

    `given` has the user's options by name, `run_dir` among them.
    """
    fields = {field.name: field for field in dataclasses.fields(options)}
    only_continues = all(fields[name].metadata["changeable"] for name in given)
    path = pathlib.Path(given["run_dir"]) / CONFIG_FILE
    if only_continues and not path.exists():
        raise UserError(
            f"There is no run in {given['run_dir']}. A new run needs --preset, --model "
            "or --dataset."
        )


# --- Checkpoints


def newest_checkpoint(run_dir: str | os.PathLike) -> str | None:
    """Returns the path prefix of a run's newest checkpoint, or None."""
    steps = checkpoint_steps(run_dir)
    return _prefix(run_dir, steps[-1]) if steps else None


def checkpoint_steps(run_dir: str | os.PathLike) -> list[int]:
    """Returns the steps of a run's checkpoints, in order."""
    folder = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER
    names = [p.stem.split("-")[1] for p in folder.glob("step-*.index")]
    return sorted(int(name) for name in names if name.isdecimal())


def _prefix(run_dir: str | os.PathLike, step: int) -> str:
    return str(pathlib.Path(run_dir) / CHECKPOINTS_FOLDER / f"step-{step}")


def best_checkpoint(run_dir: str | os.PathLike) -> tuple[str, dict] | None:
    """Finds the best checkpoint, chosen by `keep_best`.

    Returns:
      Its path prefix, and its `metric`, `value` and `step`; None without one.
    """
    folder = pathlib.Path(run_dir) / BEST_FOLDER
    try:
        record = json.loads((folder / BEST_FILE).read_text(encoding="utf-8"))
        path = folder / f"step-{int(record['step'])}"
        found = {name: record[name] for name in ("metric", "step")}
        found["value"] = float(record["value"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (str(path), found) if path.with_suffix(".index").exists() else None


def check_run(run_dir: str | os.PathLike, checkpoint: str = "latest") -> str:
    """Returns the path prefix of a run's checkpoint: `latest`, `best` or a step.

    Raises:
      UserError: there is no run, or no such checkpoint.
    """
    load_options(run_dir)
    best, steps = best_checkpoint(run_dir), checkpoint_steps(run_dir)
    if checkpoint == "latest" and not steps:
        raise UserError(f"{run_dir} has no checkpoint yet.")
    if checkpoint == "best" and best is None:
        raise UserError(f"{run_dir} has no best checkpoint: train with --keep_best.")
    paths = {str(step): _prefix(run_dir, step) for step in steps}
    if steps:
        paths["latest"] = _prefix(run_dir, steps[-1])
    if best:
        paths["best"] = best[0]
    there = ", ".join(paths)
    if best:
        paths[str(best[1]["step"])] = best[0]
    name = str(int(checkpoint)) if checkpoint.isdecimal() else checkpoint
    if name not in paths:
        raise UserError(
            f"`checkpoint` must be one of {run_dir}: {there}. Received: {checkpoint!r}."
        )
    return paths[name]


def read_checkpoint(
    run_dir: str | os.PathLike, read: Callable[[str], _Read], checkpoint: str = "latest"
) -> _Read:
    """Reads a checkpoint, or the next one if a training deletes it meanwhile.

    Args:
      run_dir: The run directory.
      read: Takes the checkpoint's path prefix; may be called again with another one.
      checkpoint: As for `check_run`.

    Raises:
      UserError: from `check_run`, or from `read` for a checkpoint that still exists.
    """
    return _retried(read, lambda: check_run(run_dir, checkpoint))


def read_newest(
    run_dir: str | os.PathLike, read: Callable[[str], _Read], option: str
) -> _Read:
    """Like `read_checkpoint`, for the run in an option, which errors name."""

    def newest() -> str:
        if path := newest_checkpoint(run_dir):
            return path
        raise UserError(f"`{option}` {run_dir} has no checkpoint.")

    return _retried(read, newest)


def _retried(read: Callable[[str], _Read], find: Callable[[], str]) -> _Read:
    path = find()
    while True:
        try:
            return read(path)
        except UserError:
            before, path = path, find()
            if path == before:
                raise


# --- One writer


@contextlib.contextmanager
def one_writer(run_dir: str | os.PathLike) -> Iterator[None]:
    """Holds the lock of a run directory, the file `run.lock`.

    The kernel releases the lock when the process ends, even if it is killed. The folder
    is created if necessary; at the end the lock's file and new empty folders go.

    Raises:
      UserError: another process or thread holds the lock, or `run_dir` can't be
        written to.
    """
    path = pathlib.Path(run_dir) / LOCK_FILE
    with contextlib.ExitStack() as after:
        try:
            after.enter_context(ensured_folder(path.parent))
            file = after.enter_context(_locked(path))
            after.callback(lambda: _is_at(file, path) and path.unlink())
            now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            holder = f"process {os.getpid()} on {platform.node()} since {now}"
            file.truncate(0)  # The holder before may have been killed.
            file.write(f"{holder}\n".encode())
        except OSError as error:
            raise UserError(
                f"{run_dir} can't be written to: {reason(error)}."
            ) from error
        yield


def _locked(path: pathlib.Path) -> io.FileIO:
    """Opens and locks the file; a `UserError` names the holder."""
    while True:
        file = path.open("ab+", buffering=0)
        try:
            import fcntl  # Windows has none.

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with file:
                file.seek(0)
                holder = file.readline(200).decode(errors="replace").strip()
            raise UserError(
                f"{path.parent} is held by {holder or 'another process'}. Wait for its "
                "end, or name another run directory."
            ) from error
        except (OSError, ImportError) as error:
            warn(
                f"{path.parent} can't be locked ({reason(error)}): a second training "
                "there would not be refused."
            )
        if _is_at(file, path):
            return file
        file.close()  # Its holder removed it meanwhile.


def _is_at(file: io.FileIO, path: pathlib.Path) -> bool:
    """Whether an open file still has its name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    return False
