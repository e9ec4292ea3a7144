"""Files and folders that appear whole or not at all.

Unfinished ones have a hidden temporary name with the machine and the process, so that
the next writer can remove stale ones. Imports no TensorFlow.
"""

import contextlib
import errno
import functools
import hashlib
import os
import pathlib
import platform
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator

from cyclegan_tf.messages import UserError, reason

# Earlier versions added a third number.
_TEMPORARY = re.compile(
    r"\.cyclegan_tf-([0-9a-f]{8})-(\d{1,9})-(\d+-)?[a-z0-9_]{8}(\.tmp)?"
)
_DAY_SECONDS = 24 * 60 * 60

# TensorFlow takes paths with *, ?, [ and \ for patterns, and only UTF-8.
_NOT_PLAIN = re.compile(r"[*?\[\\\ud800-\udfff]")


@contextlib.contextmanager
def written_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same folder; at the end it replaces `path`."""
    _remove_stale_once(os.path.abspath(path.parent))
    temporary = path.parent / f"{_prefix()}{secrets.token_hex(4)}.tmp"
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
    """Yields a hidden folder in `output`, and removes it at the end.

    Args:
      output: The folder for the finished files, created if necessary. Its stale
        temporary files are removed.
      failures: Errors that mean that writing failed.

    Raises:
      UserError: one of `failures` was raised.
    """
    try:
        with ensured_folder(output):
            remove_stale(output)
            with tempfile.TemporaryDirectory(
                prefix=_prefix(), dir=output, ignore_cleanup_errors=True
            ) as folder:
                yield pathlib.Path(folder)
    except BrokenPipeError:
        raise  # The reader of our output left; the disk is fine.
    except failures as error:
        raise UserError(f"{output} can't be written to: {reason(error)}.") from error


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """Yields a folder in the system's temporary folder, and removes it at the end."""
    place = tempfile.gettempdir()
    if not _is_plain(place):
        place = "/tmp"
    remove_stale(place)
    with tempfile.TemporaryDirectory(prefix=_prefix(), dir=place) as folder:
        yield folder


@contextlib.contextmanager
def plain_path(folder: str | os.PathLike) -> Iterator[str]:
    """Yields a path of a folder that TensorFlow does not take for a pattern.

    It is the folder's own path, or a temporary link.
    """
    if _is_plain(str(folder)):
        yield str(folder)
        return
    with scratch() as place:
        link = os.path.join(place, "link")
        os.symlink(os.path.abspath(folder), link)
        yield link


@contextlib.contextmanager
def ensured_folder(folder: pathlib.Path) -> Iterator[None]:
    """Creates a folder and its parents; at the end removes new ones that are empty."""
    with contextlib.ExitStack() as after:
        for place in (*reversed(folder.parents), folder):
            if not place.exists():
                after.callback(remove_if_empty, place)
        folder.mkdir(parents=True, exist_ok=True)
        yield


def _is_plain(path: str) -> bool:
    return not _NOT_PLAIN.search(path.replace(os.sep, "/"))


def put_in_place(folder: pathlib.Path, output: pathlib.Path) -> None:
    """Moves the contents of a staging folder to `output`, all or nothing, in order."""
    with contextlib.ExitStack() as undo:
        for source in sorted(folder.iterdir()):
            target = output / source.name
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, f"{source.name} is there already")
            source.replace(target)
            undo.callback(remove, target)
        undo.pop_all()


def remove(path: pathlib.Path) -> None:
    """Removes a file, or a folder with its contents."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_if_empty(folder: pathlib.Path) -> None:
    """Removes a folder if it exists and is empty."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def remove_stale(folder: str | os.PathLike) -> None:
    """Removes temporary files and folders of dead processes in a folder.

    Those of other machines are stale after a day without a change.
    """
    with contextlib.suppress(OSError):
        for name in filter(None, map(_TEMPORARY.fullmatch, os.listdir(folder))):
            path = pathlib.Path(folder) / name[0]
            with contextlib.suppress(OSError):
                if _is_stale(path, name[1], int(name[2])):
                    remove(path)


# Once for each folder: a process may write thousands of files there.
_remove_stale_once = functools.cache(remove_stale)


def _is_stale(path: pathlib.Path, where: str, process: int) -> bool:
    if where == machine() and os.name == "posix":  # Windows would send Ctrl-C.
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # It is alive, and another user's.
    newest = max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
    return time.time() - newest > _DAY_SECONDS


@functools.cache
def machine() -> str:
    """Returns eight digits for this machine since its start, or for this container.

    A process number is unique in it.
    """
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _prefix() -> str:
    # Short: the longest name of a file has 255 characters.
    return f".cyclegan_tf-{machine()}-{os.getpid()}-"
