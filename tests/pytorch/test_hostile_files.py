"""Files from strangers: refused in one line, or read as what they are; never run."""

import dataclasses
import gc
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from helpers.hostile_files import GOOD, GROUPS, Case, good_pth
from helpers.hostile_pickles import IN_FILE, REFUSE, UNCHANGED, VALUES

from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch import files as pytorch_files

MIB = 2**20


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: these tests need no TensorFlow."""


# --- What a reader does while it reads

_watched = []


def _watch(event: str, arguments: tuple) -> None:
    if _watched and _watched[0] == threading.get_ident():
        _watched.append((event, arguments))


# It stays until Python ends, but notes only what happens during an attempt.
sys.addaudithook(_watch)

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def is_harmless(event: str, arguments: tuple, path: pathlib.Path) -> bool:
    """Whether it is no more than reading the file; to run code is an event too."""
    if event == "open":
        name, _, flags = arguments
        return str(name) == str(path) and not (flags or 0) & WRITES
    return event in ("object.__getattr__", "os.listdir", "os.scandir")


def listing(folder: pathlib.Path) -> dict[str, tuple]:
    status = {str(path): path.lstat() for path in folder.rglob("*")}
    return {p: (s.st_size, s.st_mtime_ns, s.st_ino) for p, s in status.items()}


@dataclasses.dataclass
class Attempt:
    """What came of reading a file with all its tensors, and what that took."""

    path: pathlib.Path
    error: BaseException | None = None
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    peak: int = 0
    did: list = dataclasses.field(default_factory=list)


def attempt(path: pathlib.Path) -> Attempt:
    found = Attempt(path)
    before, modules = listing(path.parent), {*sys.modules}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        # Python shows these to nobody.
        warnings.simplefilter("ignore", DeprecationWarning)
        # It would run what the garbage of other tests asks for.
        gc.disable()
        tracemalloc.start()
        _watched.append(threading.get_ident())
        try:
            tensors = pytorch_files.read(path)
            found.arrays = {name: part.numpy() for name, part in tensors.items()}
            for name, array in found.arrays.items():
                told = (tensors[name].shape, tensors[name].dtype)
                assert (array.shape, array.dtype) == told
        except BaseException as error:
            found.error = error
        finally:
            events = _watched[1:]
            _watched.clear()
            found.peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            gc.enable()
    found.did += [event for event in events if not is_harmless(*event, path)]
    found.did += [f"import {name}" for name in {*sys.modules} - modules]
    found.did += [f"warn {warning.message}" for warning in warned]
    found.did += ["write files"] * (listing(path.parent) != before)
    return found


def complaints(found: Attempt, case: Case) -> list[str]:
    """What is wrong with what came of a case."""
    wrong = [f"did {str(found.did[:3])[:300]}"] if found.did else []
    if found.peak > 2 * len(case.data) + 16 * MIB:
        wrong.append(f"took {found.peak:,} bytes for a file of {len(case.data):,}")
    if found.error is None:
        shown = {name[:20]: a.shape for name, a in found.arrays.items()}
        return wrong + [f"gave {str(shown)[:300]}"] * (not is_right(found.arrays, case))
    if not isinstance(found.error, UserError):
        return [*wrong, f"raised {found.error!r}"[:300]]
    message = str(found.error)
    if len(message.splitlines()) != 1 or not message.isprintable():
        wrong.append(f"is not one line of text: {message[:300]!a}")
    if str(found.path) not in message:
        wrong.append(f"does not name the file: {message[:300]!a}")
    if len(message) > len(str(found.path)) + 700:
        wrong.append(f"has {len(message)} characters: {message[:300]!a}")
    if case.says not in message:
        wrong.append(f"does not say {case.says!r}: {message[:300]!a}")
    return wrong


def is_right(arrays: dict[str, np.ndarray], case: Case) -> bool:
    if case.allowed == UNCHANGED:
        return are_unchanged(arrays)
    assert case.allowed in (REFUSE, IN_FILE)
    sizes = sum(array.nbytes for array in arrays.values())
    return case.allowed == IN_FILE and (
        # Names for the same megabytes may share them.
        sizes > 2 * MIB or all(is_in(a, case.data) for a in arrays.values())
    )


def are_unchanged(arrays: dict[str, np.ndarray]) -> bool:
    return arrays.keys() == VALUES.keys() and all(
        array.dtype == VALUES[name].dtype
        and array.shape == VALUES[name].shape
        and array.tobytes() == VALUES[name].tobytes()
        for name, array in arrays.items()
    )


def is_in(array: np.ndarray, data: bytes) -> bool:
    """Whether each number of an array is somewhere in a file."""
    bits = np.unique(array.reshape(-1).view(f"V{array.dtype.itemsize}"))
    return array.nbytes <= len(data) and all(n.tobytes() in data for n in bits)


# --- Cases


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for everything that a reader might write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # What the first use of anything imports.
    for codec in ("cp437", "raw_unicode_escape", "unicode_escape", "latin-1"):
        b"x".decode(codec)
    assert_good_files_are_read(tmp_path)
    return tmp_path


def assert_good_files_are_read(place: pathlib.Path) -> None:
    for suffix, make in GOOD.values():
        path = place / f"good{suffix}"
        path.write_bytes(make())
        found = attempt(path)
        assert found.error is None and are_unchanged(found.arrays)
        path.unlink()


def check(group: str, cases, place: pathlib.Path) -> int:
    """Reads cases, and then good files, for which no case spoils the reader."""
    names, wrong = set(), []
    for case in cases:
        assert case.name not in names
        names.add(case.name)
        path = place / f"file{case.suffix}"
        path.write_bytes(case.data)
        found = complaints(attempt(path), case)
        wrong += [f"{case.name}: {'; '.join(found)}"] if found else []
        # To write over a file takes far longer than to write another.
        path.unlink()
    if wrong:
        told = [f"{len(wrong)} of {len(names)} cases of {group}:", *wrong[:50]]
        pytest.fail("\n".join(told), pytrace=False)
    assert_good_files_are_read(place)
    return len(names)


@pytest.mark.hostile
def test_hostile_files_are_refused_by_name_or_read_as_they_are(place):
    assert sum(check(group, make(), place) for group, make in GROUPS.items()) >= 7_000


# All of their cases take seconds to make.
LARGE = ("packed_bombs", "many_members", "safetensors_headers")


def test_sample_of_hostile_files_is_refused_by_name_or_read_as_it_is(place):
    for group, make in GROUPS.items():
        few = (0, 3, 1) if group in LARGE else (0, None, 40)
        check(group, itertools.islice(make(), *few), place)


def test_place_that_is_no_file_is_refused_by_name(place):
    loop = place / "loop.pth"
    loop.symlink_to(loop)
    (place / "folder.pth").mkdir()
    (place / "file.pth").write_bytes(good_pth())
    names = "missing.pth missing/x.pth folder.pth file.pth/x.pth loop.pth ."
    for name in (*names.split(), "x" * 300):
        assert not complaints(attempt(place / name), Case(name, b""))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_unreadable_file_is_refused_by_name(place):
    path = place / "file.pth"
    path.write_bytes(good_pth())
    path.chmod(0)
    assert not complaints(attempt(path), Case("unreadable", b""))


# --- Memory beyond Python's

READ_WITH_LITTLE_MEMORY = """
import resource, sys
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.messages import UserError

def read(path):
    try:
        arrays = [part.numpy() for part in pytorch_files.read(path).values()]
        return f"read {len(arrays)}"
    except UserError as error:
        return "refused"

good, *paths = sys.argv[1:]
assert read(good) == "read 2"
for path in paths:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    with open(path, "rb") as file:
        size = file.seek(0, 2)
    limit = used + 2 * size + 32 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, -1))
    print(read(path))
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
"""
HUNGRY = """bombs: a million dicts; a million marks
lying_lengths: BYTEARRAY8 of 0x10000000000
tensors: tensor expanded; tensor expanded in one direction
packed_bombs: 33554432 bytes by 8 for 2
many_members: 40000 members
stream_data: 0x4000000000000000 numbers of bias
safetensors_headers: header of 0x8000000000000000 bytes; ten million entries
safetensors_layouts: 1,000 names for 10 MB"""


@pytest.mark.hostile
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="for Linux")
def test_hungry_file_is_refused_with_little_memory(tmp_path):
    good = tmp_path / "good.pth"
    good.write_bytes(good_pth())
    paths = [str(good)]
    for group, _, names in (line.partition(": ") for line in HUNGRY.splitlines()):
        for case in GROUPS[group]():
            if case.name.rpartition(" (")[0] in names.split("; "):
                paths.append(str(tmp_path / f"{len(paths)}{case.suffix}"))
                pathlib.Path(paths[-1]).write_bytes(case.data)
    assert len(paths) == 1 + 11
    done = subprocess.run(
        [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, *paths],
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * (len(paths) - 1)
