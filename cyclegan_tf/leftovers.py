"""What killed processes left: what they wrote aside, and halves of checkpoints.

The name of what is written aside tells its machine and its process, so that the next
one that writes there knows what is dead. Imports no TensorFlow.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import re
import shutil
import time

_OURS = re.compile(r"\.cyclegan_tf-([0-9a-f]{8})-(\d+)-(\d+)-[a-z0-9_]{8}(\.tmp)?")

# Of another machine nothing is known but the time of its files.
_OTHERS_SECONDS = 24 * 60 * 60

# As TensorFlow writes a checkpoint aside, and the list of all that there are.
_HALF_A_CHECKPOINT = re.compile(
    r"step-\d+_temp|step-\d+\..+\.tempstate\d+|checkpoint\.tmp[0-9a-f]{32}"
)
_INDEX = re.compile(r"step-(\d+)\.index")
_DATA = re.compile(r"step-(\d+)\.data-\d{5}-of-\d{5}")


@functools.cache
def machine() -> str:
    """Eight digits for where a process id is unique: this machine, until it restarts.

    A container whose processes are numbered by themselves is a machine of its own.
    """
    told = [platform.node()]
    with contextlib.suppress(OSError):
        told.append(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text())
        told.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def name_aside() -> str:
    """What the name of something written aside begins with; eight characters follow.

    It is hidden, so that nothing takes it for a picture, and short, however long the
    name in the end.
    """
    process = os.getpid()
    return f".cyclegan_tf-{machine()}-{process}-{_start(process)}-"


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes what dead processes left in a folder, at any time.

    What processes of this machine wrote aside goes once they are dead, that of another
    machine after a day. Nothing else is touched.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if found := _OURS.fullmatch(name):
            path = pathlib.Path(folder) / name
            with contextlib.suppress(OSError):
                if _is_left(path, *found.groups()[:3]):
                    remove(path)


def remove_half_checkpoints(folder: str | os.PathLike) -> None:
    """Removes what TensorFlow left of checkpoints when it was killed while it saved.

    That is what it wrote aside, and of an old checkpoint that it was deleting the data
    without their index. Only for who holds the run: a checkpoint that is being written
    looks the same.
    """
    try:
        paths = sorted(pathlib.Path(folder).iterdir())
    except OSError:
        return
    found = (_INDEX.fullmatch(path.name) for path in paths)
    indexed = {int(index[1]) for index in found if index}
    for path in paths:
        half = _HALF_A_CHECKPOINT.fullmatch(path.name)
        if data := _DATA.fullmatch(path.name):
            step = int(data[1])
            half = step not in indexed and step < max(indexed, default=0)
        if half:
            with contextlib.suppress(OSError):
                remove(path)


def remove(path: pathlib.Path) -> None:
    """Removes a file, or a folder with all that it holds."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_left(path: pathlib.Path, where: str, process: str, start: str) -> bool:
    if where == machine():
        return not _is_alive(int(process), start)
    newest = max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
    return time.time() - newest > _OTHERS_SECONDS


def _is_alive(process: int, start: str) -> bool:
    """Whether a process of this machine lives that began when `start` says."""
    if os.name == "nt":
        return True  # There `os.kill` kills.
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # Another user's.
    return _start(process) == start


def _start(process: int) -> str:
    """When a living process began, in ticks of the kernel; 0 where nothing says so."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return "0"
    state, *numbers = text.rpartition(")")[2].split()
    return "dead" if state in "ZX" else numbers[18]
