"""The record of a run's data set: names and sizes of its files, not their bytes.

Imports no TensorFlow.
"""

import json
import os
import pathlib
from collections.abc import Mapping

from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import UserError, some_of

DATA_FILE = "data.json"

# Bytes by split and name; None for a picture that can't be read. Empty for drawn data.
Sizes = Mapping[str, Mapping[str, int | None]]

_NAMED = 3


def size_of(item: bytes | str | os.PathLike) -> int | None:
    """Bytes of an encoded picture or of its file; None for a missing file."""
    try:
        return len(item) if isinstance(item, bytes) else os.path.getsize(item)
    except OSError:
        return None


def check_unchanged(run_dir: str | os.PathLike, sizes: Sizes, allowed: bool) -> str:
    """Compares a data set with the record in a run directory, if there is one.

    Returns:
      The changes, empty if there are none.

    Raises:
      UserError: there are changes, or the record is damaged, and `allowed` is false.
    """
    path = pathlib.Path(run_dir) / DATA_FILE
    if not path.exists():
        return ""
    try:
        changes = _changes(json.loads(path.read_text(encoding="utf-8")), sizes)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        changes = f"{path} can't be read: {error}"
    if changes and not allowed:
        raise UserError(
            f"The data set of {run_dir} has changed ({changes}). Restore it, or pass "
            "--allow_changed_data to train on it as it is now."
        )
    return changes


def save(run_dir: str | os.PathLike, sizes: Sizes) -> None:
    """Writes the record; drawn data have none."""
    if sizes:
        with written_whole(pathlib.Path(run_dir) / DATA_FILE) as temporary:
            temporary.write_text(json.dumps(sizes, indent=0) + "\n", encoding="utf-8")


def _changes(before: Sizes, now: Sizes) -> str:
    old, new = _flat(before), _flat(now)
    kinds = {
        "gone": old.keys() - new.keys(),
        "new": new.keys() - old.keys(),
        "with another size": {n for n in old.keys() & new.keys() if old[n] != new[n]},
    }
    changes = []
    for kind, names in kinds.items():
        if names:
            listed = some_of(sorted(names), _NAMED)
            changes.append(f"{len(names)} {kind} ({listed})")
    return "; ".join(changes)


def _flat(sizes: Sizes) -> dict[str, int | None]:
    return {
        f"{split}/{n}": size
        for split, part in sizes.items()
        for n, size in part.items()
    }
