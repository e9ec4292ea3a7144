"""The folder of a run: the names of its files, its configuration and its checkpoints.

Imports no TensorFlow, so that a missing run is reported at once.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable
from typing import TypeVar

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import UserError

_Read = TypeVar("_Read")

CONFIG_FILE = "config.json"
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


def differences(ours: BaseOptions, theirs: BaseOptions) -> list[str]:
    """Lists the fields that decide what is learned and differ, with both values.

    Returns:
      `name: theirs there, ours requested` per field, or the model alone if it differs;
      empty if the run of `theirs` can continue as `ours`.
    """
    if ours.model != theirs.model:
        return [f"model: {theirs.model} there, {ours.model} requested"]
    return [
        f"{f.name}: {getattr(theirs, f.name)} there, {getattr(ours, f.name)} requested"
        for f in dataclasses.fields(ours)
        if not f.metadata["changeable"]
        and getattr(ours, f.name) != getattr(theirs, f.name)
    ]


def check_same(config: BaseOptions) -> None:
    """Refuses to continue a run with another configuration.

    Raises:
      UserError: `config.run_dir` holds such a run; the message lists the differences.
    """
    if not (pathlib.Path(config.run_dir) / CONFIG_FILE).exists():
        return
    if differing := differences(config, load_options(config.run_dir)):
        raise UserError(
            f"{config.run_dir} holds a run of another configuration "
            f"({'; '.join(differing)}). Choose another --run_dir, or the same values."
        )


def newest_checkpoint(run_dir: str | os.PathLike) -> str | None:
    """The newest checkpoint of a run, as a path prefix, or None."""
    steps = checkpoint_steps(run_dir)
    return _prefix(run_dir, steps[-1]) if steps else None


def checkpoint_steps(run_dir: str | os.PathLike) -> list[int]:
    """The steps of a run's checkpoints, in order."""
    folder = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER
    names = [p.stem.split("-")[1] for p in folder.glob("step-*.index")]
    return sorted(int(name) for name in names if name.isdecimal())


def _prefix(run_dir: str | os.PathLike, step: int) -> str:
    return str(pathlib.Path(run_dir) / CHECKPOINTS_FOLDER / f"step-{step}")


def best_checkpoint(run_dir: str | os.PathLike) -> tuple[str, dict] | None:
    """The best checkpoint, by `keep_best`.

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
    """Checks that a CycleGAN's run has a checkpoint.

    Args:
      run_dir: The run directory.
      checkpoint: `latest`, `best` (see `keep_best`) or a step.

    Returns:
      The checkpoint's path prefix.

    Raises:
      UserError: there is no run, or no such checkpoint.
    """
    load_options(run_dir)
    best, steps = best_checkpoint(run_dir), checkpoint_steps(run_dir)
    if checkpoint == "latest" and not steps:
        raise UserError(f"{run_dir} has no checkpoint yet.")
    if checkpoint == "best" and best is None:
        raise UserError(f"{run_dir} has no best checkpoint: train with --keep_best.")
    paths = {"best": best[0], str(best[1]["step"]): best[0]} if best else {}
    paths |= {str(step): _prefix(run_dir, step) for step in steps}
    paths |= {"latest": _prefix(run_dir, steps[-1])} if steps else {}
    name = str(int(checkpoint)) if checkpoint.isdecimal() else checkpoint
    if name in paths:
        return paths[name]
    there = ", ".join([*map(str, steps), "latest"] + ["best"] * (best is not None))
    raise UserError(
        f"`checkpoint` must be one of {run_dir}: {there}. Received: {checkpoint!r}."
    )


def read_checkpoint(
    run_dir: str | os.PathLike,
    read: Callable[[str], _Read],
    checkpoint: str = "latest",
) -> _Read:
    """Reads a checkpoint, or the next one if a training deletes it meanwhile.

    Args:
      run_dir: The run directory.
      read: Takes the checkpoint's path prefix; may be called again with another one.
      checkpoint: As for `check_run`.

    Returns:
      The result of `read`.

    Raises:
      UserError: from `check_run`, or from `read` for a checkpoint that still exists.
    """
    return _retried(read, lambda: check_run(run_dir, checkpoint))


def read_newest(
    run_dir: str | os.PathLike, read: Callable[[str], _Read], option: str
) -> _Read:
    """Like `read_checkpoint`, for the newest checkpoint of a run of any model.

    `option` names the run in the message if it has no checkpoint.
    """

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


def load_config(run_dir: str | os.PathLike) -> Config:
    """Reads `config.json` from a CycleGAN's run directory.

    Raises:
      UserError: from `load_options`, or the run has another model.
    """
    config = load_options(run_dir)
    if config.model != Config.model:
        raise UserError(
            f"{run_dir} is a run of the model `{config.model}`; this needs a CycleGAN."
        )
    return config


def load_options(run_dir: str | os.PathLike) -> BaseOptions:
    """Reads `config.json` from a run directory, for any model.

    Raises:
      UserError: the file is missing or damaged, or has a field or value that this
        version does not know. A missing field gets its default.
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
        raise UserError(f"No configuration at {path}: {error.strerror}.") from error
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a configuration of ours: {error}") from error


def save_config(config: BaseOptions) -> None:
    """Writes `config.json` into the run directory, whole or not at all."""
    with written_whole(pathlib.Path(config.run_dir) / CONFIG_FILE) as temporary:
        temporary.write_text(config.to_json())
