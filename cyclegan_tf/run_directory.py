"""The folder of a run: what its files are called, and the configuration stored there.

Imports no TensorFlow, so that a missing run is told at once.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import TypeVar

from cyclegan_tf.config import Config
from cyclegan_tf.files import written_whole
from cyclegan_tf.options import OPTIONS, Common
from cyclegan_tf.validation import UserError

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


def differences(ours: Config | Common, theirs: Config | Common) -> list[str]:
    """Names the fields that decide what is learned and differ, with both values.

    Args:
      ours: The configuration asked for.
      theirs: The one a run was made with.

    Returns:
      One `name: theirs there, ours asked for` a field, or the model alone if that is
      another; empty if a resume is sound.
    """
    if ours.model != theirs.model:
        return [f"model: {theirs.model} there, {ours.model} asked for"]
    return [
        f"{f.name}: {getattr(theirs, f.name)} there, {getattr(ours, f.name)} asked for"
        for f in dataclasses.fields(ours)
        if not f.metadata["changeable"]
        and getattr(ours, f.name) != getattr(theirs, f.name)
    ]


def check_same(config: Config | Common) -> None:
    """Refuses to go on with a run of another configuration.

    Raises:
      UserError: `config.run_dir` holds one; the fields that differ are named.
    """
    if not (pathlib.Path(config.run_dir) / CONFIG_FILE).exists():
        return
    differing = differences(config, load_options(config.run_dir))
    if differing:
        raise UserError(
            f"{config.run_dir} holds a run of another configuration ("
            + "; ".join(differing)
            + "). Name another --run_dir, or ask for the same."
        )


def newest_checkpoint(run_dir: str | os.PathLike) -> str | None:
    """The newest checkpoint of a run, as a path prefix, or None."""
    steps = checkpoint_steps(run_dir)
    folder = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER
    return str(folder / f"step-{steps[-1]}") if steps else None


def checkpoint_steps(run_dir: str | os.PathLike) -> list[int]:
    """The steps that a run has checkpoints of, in order."""
    folder = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER
    names = [p.stem.split("-")[1] for p in folder.glob("step-*.index")]
    return sorted(int(name) for name in names if name.isdecimal())


def best_checkpoint(run_dir: str | os.PathLike) -> tuple[str, dict] | None:
    """The checkpoint that `keep_best` kept.

    Returns:
      Its path prefix, and its `metric`, `value` and `step`; None if none was kept.
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
    """Makes sure that a run is there, with a checkpoint.

    Args:
      run_dir: The run directory.
      checkpoint: `latest`, `best` (see `keep_best`) or a step.

    Returns:
      The checkpoint's path prefix.

    Raises:
      UserError: there is no run, or it has no such checkpoint.
    """
    load_options(run_dir)
    best, steps = best_checkpoint(run_dir), checkpoint_steps(run_dir)
    if checkpoint == "latest":
        if not steps:
            raise UserError(f"{run_dir} has no checkpoint yet.")
        return newest_checkpoint(run_dir)
    if checkpoint == "best" and best is None:
        raise UserError(f"{run_dir} has no best checkpoint: train with --keep_best.")
    if checkpoint == "best":
        return best[0]
    if checkpoint.isdecimal() and int(checkpoint) in steps:
        folder = pathlib.Path(run_dir) / CHECKPOINTS_FOLDER
        return str(folder / f"step-{int(checkpoint)}")
    if best and checkpoint.isdecimal() and int(checkpoint) == best[1]["step"]:
        return best[0]
    there = ", ".join([*map(str, steps), "latest"] + ["best"] * (best is not None))
    raise UserError(
        f"`checkpoint` must be one that {run_dir} has: {there}. Received: "
        f"{checkpoint!r}."
    )


def read_checkpoint(
    run_dir: str | os.PathLike,
    read: Callable[[str], _Read],
    checkpoint: str = "latest",
) -> _Read:
    """Has a checkpoint read, or the next if a training deletes it meanwhile.

    Args:
      run_dir: The run directory.
      read: Takes the checkpoint's path prefix, and may be called again with another.
      checkpoint: As `check_run` takes it.

    Returns:
      What `read` gives.

    Raises:
      UserError: as `check_run`, or what `read` raises of a checkpoint that stays.
    """
    return _retried(read, functools.partial(check_run, run_dir, checkpoint))


def read_newest(
    run_dir: str | os.PathLike, read: Callable[[str], _Read], option: str
) -> _Read:
    """As `read_checkpoint` of the newest, in a run of any model.

    Args:
      run_dir: The run directory.
      read: As for `read_checkpoint`.
      option: What named the run, for the message.

    Raises:
      UserError: it has no checkpoint, or what `read` raises of one that stays.
    """

    def newest() -> str:
        if path := newest_checkpoint(run_dir):
            return path
        raise UserError(f"`{option}` {run_dir} has no checkpoint.")

    return _retried(read, newest)


def _retried(read: Callable[[str], _Read], find: Callable[[], str]) -> _Read:
    """What `read` gives of a checkpoint, or of the one that is found in its place."""
    path = find()
    while True:
        try:
            return read(path)
        except UserError:
            before, path = path, find()
            if path == before:
                raise


def load_config(run_dir: str | os.PathLike) -> Config:
    """Reads `config.json` of a CycleGAN's run directory.

    Raises:
      UserError: as `load_options`, or the run is of another model.
    """
    config = load_options(run_dir)
    if not isinstance(config, Config):
        raise UserError(
            f"{run_dir} is a run of the model `{config.model}`; this needs a CycleGAN."
        )
    return config


def load_options(run_dir: str | os.PathLike) -> Config | Common:
    """Reads `config.json` of a run directory, whatever its model.

    Raises:
      UserError: the file is missing or damaged, or has a field or value that this
        version does not know. A field it lacks takes its default.
    """
    path = pathlib.Path(run_dir) / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = Config
        if "model" in values:
            kind = OPTIONS[values.pop("model")]
        else:
            _drop_what_went(values)
        return kind(**{**values, "run_dir": str(run_dir)})
    except OSError as error:
        raise UserError(f"No configuration at {path}: {error.strerror}.") from error
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is not a configuration of ours: {error}") from error


# Fields that a `Config` had once, at the value that left them out.
_WENT = {
    "output_skip": False,
    "discriminator_norm": "instance",
    "lambda_r1": 0.0,
    "discriminator_pictures": 1,
    "critic_steps": 1,
}


def _drop_what_went(values: dict) -> None:
    """Removes fields that are no more, where they changed nothing."""
    for name, unused in _WENT.items():
        if name in values and values.pop(name) != unused:
            raise ValueError(f"it uses `{name}`, which this version no longer has")


def save_config(config: Config | Common) -> None:
    """Writes `config.json` into the run directory, whole or not at all."""
    with written_whole(pathlib.Path(config.run_dir) / CONFIG_FILE) as temporary:
        temporary.write_text(config.to_json())
