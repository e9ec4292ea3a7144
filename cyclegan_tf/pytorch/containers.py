"""The two containers of PyTorch's files: a pickle, and storages full of numbers.

Both are only looked through: a storage is told by its place in the file, and nothing is
unpacked to disk.
"""

import dataclasses
import io
import os
import pathlib
import struct
import zipfile
import zlib

import ml_dtypes
import numpy as np

from cyclegan_tf.pytorch import pickles
from cyclegan_tf.pytorch.pickles import Storage
from cyclegan_tf.validation import UserError

# For the official networks both are below 50 kB.
_MAX_PICKLE = 4 * 2**20
_MAX_DIRECTORY = 2**19

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclasses.dataclass(frozen=True)
class Region:
    """Where the bytes of a storage lie in a file, and their checksum if it has one."""

    position: int
    num_bytes: int
    crc: int | None = None


class FileError(ValueError):
    """A file is damaged, hostile, or none of ours."""


def load(path: pathlib.Path, region: Region) -> bytes:
    """Reads a region of a file; a `UserError` if it is damaged or can't be read."""
    try:
        with open(path, "rb") as file:
            file.seek(region.position)
            data = file.read(region.num_bytes)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    damaged = region.crc is not None and zlib.crc32(data) != region.crc
    if damaged or len(data) != region.num_bytes:
        raise UserError(f"{path} is damaged.")
    return data


def num_bytes(storage: Storage) -> int:
    """How many bytes a storage takes in the file."""
    return storage.num_elements * dtype_of(storage.dtype).itemsize


def dtype_of(name: str) -> np.dtype:
    """NumPy's dtype of a name, with ml_dtypes' `bfloat16`."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


# --- The zip


class _Bounded(io.FileIO):
    """A file that never gives much at once: a zip's directory is read in one go."""

    def read(self, size: int = -1) -> bytes:
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > _MAX_DIRECTORY:
            raise FileError("is damaged, or has far too many entries")
        return super().read(size)


def read_zip(path: pathlib.Path) -> tuple[object, dict[str, Region]]:
    """The unpickled value of a zip, and the regions of its storages by key.

    Raises:
      FileError, PickleError: the file is damaged, or PyTorch did not write it.
    """
    size = path.stat().st_size
    with _Bounded(path) as file:
        entries = _entries(file, size)
        regions = {n: _region(file, entry, size) for n, entry in entries.items()}
    if "data.pkl" not in regions:
        raise FileError("is a zip, but not of PyTorch: it has no data.pkl")
    order = regions.get("byteorder")
    if order and _small(path, order, 16) != b"little":
        raise FileError("has big-endian numbers, which are not read here")
    pickled = io.BytesIO(_small(path, regions["data.pkl"], _MAX_PICKLE))
    value, _ = pickles.loads(pickled)
    return value, {
        name.removeprefix("data/"): region
        for name, region in regions.items()
        if name.startswith("data/")
    }


def _entries(file: io.FileIO, size: int) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip, if PyTorch may have written it, by name in its one folder."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except FileError:
        raise
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        OverflowError,
        EOFError,
        struct.error,
    ) as error:
        raise FileError("is cut off or damaged") from error
    named = {entry.orig_filename: entry for entry in entries}
    if len(named) < len(entries):
        raise FileError("has two entries of one name")
    roots = {name.split("/")[0] for name in named}
    if len(roots) > 1 or any(_is_odd(name) for name in named):
        raise FileError("has entries of names that PyTorch does not write")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise FileError("is compressed or encrypted, which PyTorch's are not")
        if entry.file_size != entry.compress_size:
            raise FileError("is damaged")
    if sum(entry.file_size for entry in entries) > size:
        raise FileError("is damaged: its entries are larger than the file")
    return {name.partition("/")[2]: entry for name, entry in named.items()}


def _is_odd(name: str) -> bool:
    parts = name.split("/")
    return len(parts) < 2 or bool({"", ".", ".."} & {*parts}) or "\\" in name


def _region(file: io.FileIO, entry: zipfile.ZipInfo, size: int) -> Region:
    """Where the bytes of an entry lie: behind a header of their own."""
    if not 0 <= entry.header_offset <= size:
        raise FileError("is damaged")
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\3\4"):
        raise FileError("is damaged")
    lengths = struct.unpack("<HH", header[26:])
    position = entry.header_offset + 30 + sum(lengths)
    if position + entry.file_size > size:
        raise FileError("is cut off")
    return Region(position, entry.file_size, entry.CRC)


def _small(path: pathlib.Path, region: Region, limit: int) -> bytes:
    if region.num_bytes > limit:
        raise FileError("is damaged, or holds far more than tensors")
    return load(path, region)


# --- The stream before PyTorch 1.6


def read_legacy(path: pathlib.Path) -> tuple[object, dict[str, Region]]:
    """The unpickled value of a stream, and the regions of its storages by key.

    Five pickles: a magic number, the format's version, the machine, the value, and the
    storages' keys; then each storage, its number of elements before it.

    Raises:
      FileError, PickleError: the file is damaged, or PyTorch did not write it.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read(_MAX_PICKLE))
        if pickles.loads(stream)[0] != _LEGACY_MAGIC:
            raise FileError("is a pickle, but not of PyTorch")
        version, machine = (pickles.loads(stream)[0] for _ in range(2))
        if version != _LEGACY_PROTOCOL or not isinstance(machine, dict):
            raise FileError("is of a version of PyTorch that is not known here")
        if machine.get("little_endian") is not True:
            raise FileError("has big-endian numbers, which are not read here")
        value, storages = pickles.loads(stream)
        keys, _ = pickles.loads(stream)
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise FileError("is damaged")
        if len(set(keys)) < len(keys) or {*keys} != storages.keys():
            raise FileError("is damaged: it lacks storages, or has too many")
        position, regions = stream.tell(), {}
        for key in keys:
            file.seek(position)
            if file.read(8) != struct.pack("<q", storages[key].num_elements):
                raise FileError("is cut off or damaged")
            regions[key] = Region(position + 8, num_bytes(storages[key]))
            position += 8 + regions[key].num_bytes
    if position != size:
        raise FileError("is cut off, or goes on behind its end")
    return value, regions
