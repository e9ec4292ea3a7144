"""What a data set is known by: names and sizes of its files, not their bytes.

Imports no TensorFlow.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping

from cyclegan_tf.files import written_whole
from cyclegan_tf.run_directory import DATA_FILE
from cyclegan_tf.validation import UserError

# Bytes by split and name; None of a picture that could not be read. Empty for data
# that is drawn.
Sizes = Mapping[str, Mapping[str, int | None]]

_MAX_NAMES = 3


def size_of(item: bytes | str | os.PathLike) -> int | None:
    """Bytes of a picture or its file; None of a file that is not there."""
    if isinstance(item, bytes):
        return len(item)
    try:
        return os.path.getsize(item)
    except OSError:
        return None


def check_unchanged(run_dir: str | os.PathLike, sizes: Sizes, allowed: bool) -> str:
    """Refuses to go on with other pictures than those that a run began with.

    Args:
      run_dir: The run directory; one that knows no data set agrees with any.
      sizes: Of the data set now.
      allowed: Whether it may be another one.

    Returns:
      What changed; empty if nothing did.

    Raises:
      UserError: it is another one, and not allowed; or the file is damaged.
    """
    path = pathlib.Path(run_dir) / DATA_FILE
    if not path.exists():
        return ""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        told = _changes(before, sizes)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        if allowed:
            return f"{path} can't be read: {error}."
        raise UserError(
            f"{path} can't be read: {error}. --allow_changed_data makes it anew."
        ) from error
    if told and not allowed:
        raise UserError(
            f"The data set of {run_dir} has changed ({told}). Bring it back, or give "
            "--allow_changed_data to go on with it as it is now."
        )
    return told


def save(run_dir: str | os.PathLike, sizes: Sizes) -> None:
    """Writes it into the run directory, whole or not at all; nothing of drawn data."""
    if sizes:
        with written_whole(pathlib.Path(run_dir) / DATA_FILE) as temporary:
            temporary.write_text(json.dumps(sizes, indent=0) + "\n", encoding="utf-8")


def _changes(before: Sizes, now: Sizes) -> str:
    told = []
    for split in sorted(before.keys() | now.keys()):
        old, new = before.get(split, {}), now.get(split, {})
        both = old.keys() & new.keys()
        kinds = {
            "gone": old.keys() - new.keys(),
            "new": new.keys() - old.keys(),
            "of another size": {name for name in both if old[name] != new[name]},
        }
        parts = [_named(kind, names) for kind, names in kinds.items() if names]
        if parts:
            told.append(f"{split}: {', '.join(parts)}")
    return "; ".join(told)


def _named(kind: str, names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{len(names)} {kind} ({', '.join(names[:_MAX_NAMES])}{more})"
