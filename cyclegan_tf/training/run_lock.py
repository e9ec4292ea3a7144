"""One writer per run: a training locks the file `run.lock` in its run directory.

The system holds the lock and releases it when the process ends, even if it is killed.
Imports no TensorFlow.
"""

import contextlib
import io
import os
import pathlib
import platform
import time
from collections.abc import Iterator

from cyclegan_tf.files import ensured_folder
from cyclegan_tf.messages import UserError, reason, warn
from cyclegan_tf.training.run_directory import LOCK_FILE


@contextlib.contextmanager
def one_writer(run_dir: str | os.PathLike) -> Iterator[None]:
    """Holds the lock of a run directory, which is created if it does not exist.

    The lock's file is removed at the end, and so are new folders that are empty.

    Raises:
      UserError: another process or thread holds the lock, or `run_dir` can't be
        written to.
    """
    path = pathlib.Path(run_dir) / LOCK_FILE
    with contextlib.ExitStack() as after:
        try:
            after.enter_context(ensured_folder(path.parent))
            file = after.enter_context(_locked(path))
            after.callback(_remove, path, file)
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
            _lock(file)
        except BlockingIOError as error:
            with file:
                file.seek(0)
                holder = file.readline(200).decode(errors="replace").strip()
            raise UserError(
                f"{path.parent} is held by {holder or 'another process'}. Wait for its "
                "end, or name another run directory."
            ) from error
        except OSError as error:
            warn(
                f"{path.parent} can't be locked ({reason(error)}): a second training "
                "there would not be refused."
            )
        if _is_at(file, path):
            return file
        file.close()  # Its holder removed it meanwhile.


def _lock(file: io.FileIO) -> None:
    """Locks a file, or raises BlockingIOError."""
    try:
        import fcntl
    except ImportError:
        _lock_on_windows(file)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_on_windows(file: io.FileIO) -> None:
    try:
        import msvcrt

        file.seek(1 << 30)  # Nobody can read a locked byte; the holder stands before.
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except ImportError as error:
        raise OSError("this system has no locks") from error
    except PermissionError as error:
        raise BlockingIOError from error


def _is_at(file: io.FileIO, path: pathlib.Path) -> bool:
    """Whether an open file still has its name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    return False


def _remove(path: pathlib.Path, file: io.FileIO) -> None:
    if _is_at(file, path):
        with contextlib.suppress(PermissionError):  # Windows keeps open files.
            path.unlink(missing_ok=True)
