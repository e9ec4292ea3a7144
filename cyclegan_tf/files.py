"""Files and folders that appear whole or not at all.

Imports no TensorFlow.
"""

import contextlib
import errno
import functools
import os
import pathlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator

from cyclegan_tf.leftovers import name_aside, remove, remove_leftovers
from cyclegan_tf.validation import UserError


@contextlib.contextmanager
def written_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Has a file written beside its place, and puts it there once that is done.

    Args:
      path: The file; replaced if it is there.

    Yields:
      Where to write, hidden (see `name_aside`).
    """
    _remove_leftovers_once(os.path.abspath(path.parent))
    temporary = path.parent / f"{name_aside()}{secrets.token_hex(4)}.tmp"
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def staging(
    output: pathlib.Path, failures: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[pathlib.Path]:
    """Makes a hidden folder in `output`, and removes it in the end.

    What killed processes left in `output` goes first.

    Folders above it that had to be made, `output` among them, go as well if they are
    empty then.

    Args:
      output: Where the files are to be in the end; files are moved there quickly.
      failures: What writing may raise.

    Yields:
      The folder.

    Raises:
      UserError: one of `failures` was raised.
    """
    made, folder = [], None
    try:
        made = [p for p in (output, *output.parents) if not p.exists()]
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=name_aside(), dir=output))
        yield folder
    except BrokenPipeError:
        raise  # Of who reads what is printed, not of the disk.
    except failures as error:
        raise UserError(f"{output} can't be written to: {reason(error)}.") from error
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        for place in made:
            remove_if_empty(place)


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """Makes a folder among the system's temporary files, and removes it in the end.

    What killed processes of ours left there goes first.

    Yields:
      The folder.
    """
    remove_leftovers(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=name_aside()) as folder:
        yield folder


def put_in_place(folder: pathlib.Path, output: pathlib.Path) -> None:
    """Moves all that a staging folder holds to where it was not before, in order.

    If one can't be moved, those that were go again, and an `OSError` is raised.
    """
    with contextlib.ExitStack() as undo:
        for source in sorted(folder.iterdir()):
            target = output / source.name
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, f"{source.name} is there already")
            source.replace(target)
            undo.callback(remove, target)
        undo.pop_all()


def remove_if_empty(folder: pathlib.Path) -> None:
    """Removes a folder that is there and empty."""
    with contextlib.suppress(OSError):
        folder.rmdir()


@functools.cache
def _remove_leftovers_once(folder: str) -> None:
    """A process that writes thousands of files into a folder looks through it once."""
    remove_leftovers(folder)


def reason(error: Exception) -> str:
    """Why writing failed; TensorFlow's own errors say so behind an operation's name."""
    told = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return re.sub(r" \[Op:\w+\]$", "", told).rpartition("; ")[2]
