"""One writer a run: who trains in a run directory holds its lock.

On one machine the kernel decides, by an exclusive lock on a file that ends with the
process, however that ends. Where such locks do not reach another machine, a file that
is renewed tells that its holder lives. Imports no TensorFlow.
"""

import contextlib
import json
import os
import pathlib
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from cyclegan_tf.files import remove_if_empty
from cyclegan_tf.leftovers import machine, name_aside
from cyclegan_tf.run_directory import LOCK_FILE
from cyclegan_tf.validation import UserError

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None


@contextlib.contextmanager
def one_writer(
    run_dir: str | os.PathLike,
    renew_seconds: float = 10,
    watch_seconds: int = 30,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Holds the lock of a run directory, which is made if it is not there.

    Folders that were made go in the end if they are empty then, and the lock's file in
    any case.

    Args:
      run_dir: The run directory.
      renew_seconds: From one renewal of the lock's file to the next.
      watch_seconds: How long the file of another machine is watched for a renewal. No
        clock of that machine is compared with ours.
      wait: Lets some seconds pass.

    Raises:
      UserError: another process holds it, or another thread of this one; or `run_dir`
        can't be written to.
    """
    path = pathlib.Path(run_dir) / LOCK_FILE
    with contextlib.ExitStack() as after:
        try:
            for place in (*reversed(path.parent.parents), path.parent):
                if not place.exists():
                    after.callback(remove_if_empty, place)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _take(path, watch_seconds, wait)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{run_dir} can't be written to: {reason}.") from error
        after.callback(_let_go, path, descriptor)
        ended = threading.Event()
        after.callback(ended.set)
        renewal = threading.Thread(target=_renew, args=(path, renew_seconds, ended))
        renewal.daemon = True
        renewal.start()
        yield


def _take(path: pathlib.Path, watch_seconds: int, wait) -> int:
    """The open file, once it is ours."""
    while (ours := _made(path)) is None:
        try:
            theirs = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue  # Its holder has just ended.
        try:
            _clear(path, theirs, watch_seconds, wait)
        finally:
            os.close(theirs)
    return ours


def _made(path: pathlib.Path) -> int | None:
    """Makes the file, whole and locked before it has its name; None if one is there."""
    aside = path.with_name(f"{name_aside()}{secrets.token_hex(4)}.tmp")
    record = {
        "host": platform.node(),
        "process": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "machine": machine(),
    }
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    with contextlib.ExitStack() as failed:
        failed.callback(os.close, descriptor)
        try:
            os.write(descriptor, json.dumps(record).encode() + b"\n")
            _lock(descriptor)
            _name(aside, path)
        except FileExistsError:
            return None
        finally:
            aside.unlink(missing_ok=True)
        failed.pop_all()
    return descriptor


def _name(aside: pathlib.Path, path: pathlib.Path) -> None:
    """Gives a file its name, if none has it."""
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # A file system without links.
        if path.exists():
            raise FileExistsError from None
        aside.rename(path)


def _clear(path: pathlib.Path, descriptor: int, watch_seconds: int, wait) -> None:
    """Removes the file of a dead holder; a `UserError` if the holder lives."""
    locked, record = _lock(descriptor), _read(path)
    if locked is False:
        raise _held(path, record)
    holder, before = _told(record), _state(path)
    if not _is_at(descriptor, path):
        return  # It ended, and another may have come.
    if not locked or record.get("machine") != machine():
        print(
            f"{path.parent} was held by {holder}: watching for {watch_seconds} seconds "
            "whether that lives.",
            flush=True,
        )
        for _ in range(watch_seconds):
            wait(1)
            if _state(path) != before:
                break
        if not _is_at(descriptor, path):
            return
        if _state(path) != before:
            raise _held(path, record)
        print(f"It gave no sign of life: {path.parent} is ours now.", flush=True)
    path.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool | None:
    """Takes the kernel's lock on an open file, or not; None if there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # Of some network file systems.
        return None
    return True


def _read(path: pathlib.Path) -> dict:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _state(path: pathlib.Path) -> tuple | None:
    """What a renewal changes; opened anew, since NFS asks its server only then."""
    try:
        with path.open() as file:
            return os.fstat(file.fileno()).st_mtime_ns, file.read()
    except OSError:
        return None


def _told(record: dict) -> str:
    names = ("process", "host", "since")
    if not record.keys() >= {*names}:
        return "another process"
    process, host, since = (str(record[name])[:80] for name in names)
    return f"process {process} on {host} since {since}"


def _held(path: pathlib.Path, record: dict) -> UserError:
    return UserError(
        f"{path.parent} is held by {_told(record)}. Wait for its end, or name another "
        "run directory."
    )


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
    """Whether an open file is the one that has a name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _renew(path: pathlib.Path, seconds: float, ended: threading.Event) -> None:
    while not ended.wait(seconds):
        with contextlib.suppress(OSError):
            os.utime(path)


def _let_go(path: pathlib.Path, descriptor: int) -> None:
    if _is_at(descriptor, path):
        path.unlink(missing_ok=True)
    os.close(descriptor)
