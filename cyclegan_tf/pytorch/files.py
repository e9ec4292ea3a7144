"""Reads and writes tensors in PyTorch and safetensors files, without PyTorch.

It reads three formats: the zip that `torch.save` writes since PyTorch 1.6, the older
stream, and safetensors. Files may be hostile: no code runs, nothing is unpacked to
disk, and all tensors of a file take at most twice its size, plus 16 MB for names and
shapes, whose number is limited.
"""

import contextlib
import dataclasses
import functools
import io
import math
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from cyclegan_tf.messages import UserError, reason
from cyclegan_tf.pytorch import other_programs, pickles
from cyclegan_tf.pytorch.pickles import FileError, View, is_possible

# The pickles of the official networks take less than 50 kB.
_MAX_PICKLE = 4 * 2**20
_MAX_DIRECTORY = 2**19
_MAX_HEADER = 2**20
_MAX_NAME = 512
_MAX_NESTING = 8
_MAX_VALUES = 5_000

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# PyTorch aligns the storages in a zip to this many bytes.
_ALIGNMENT = 64

# Errors of `zipfile` and `safetensors`.
_DAMAGES = (
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
    safetensors.SafetensorError,
    struct.error,
    zipfile.BadZipFile,
)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file: shape, dtype, and `numpy()`, which reads its numbers.

    `numpy()` raises a `UserError` if the file is damaged there.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    numpy: Callable[[], np.ndarray]


def read(path: str | os.PathLike) -> dict[str, Tensor]:
    """Finds all tensors of a file; `Tensor.numpy()` reads their numbers later.

    Args:
      path: A safetensors file, or a file of `torch.save` with a state dict, which may
        be inside other dictionaries.

    Returns:
      Tensors by name; dots join the keys of nested dictionaries. Plain data beside them
      is left out.

    Raises:
      UserError: the file is missing, damaged or of another program.
    """
    path = pathlib.Path(path)
    with _one_line_errors(path):
        if os.path.exists(f"{path}.index"):
            raise FileError(other_programs.TENSORFLOW)
        with open(path, "rb") as file:
            start = file.read(512)
        # This test comes first: the length before the brace may look like the others.
        if start[8:9] == b"{":
            return _read_safetensors(path)
        if start.startswith(b"PK"):
            return _tensors(path, *_read_zip(path))
        if start.startswith(b"\x80"):
            return _tensors(path, *_read_legacy(path))
        raise FileError(other_programs.describe_file(path, start))


@contextlib.contextmanager
def _one_line_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except FileError as error:
        raise UserError(f"{path} {error}.") from error
    except OSError as error:
        raise UserError(f"{path} can't be read: {reason(error)}.") from error
    except _DAMAGES as error:
        raise UserError(f"{path} is damaged.") from error


class _Block(NamedTuple):
    """The bytes of a storage: how many, and a function that reads them."""

    num_bytes: int
    load: Callable[[], bytes]


# --- The zip


class _BoundedFile(io.FileIO):
    """Limits the size of one read: `zipfile` reads a whole directory at once."""

    limit = _MAX_DIRECTORY

    def read(self, size: int = -1) -> bytes:
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > self.limit:
            raise FileError("is damaged, or holds far more than tensors")
        return super().read(size)


def _read_zip(path: pathlib.Path) -> tuple[object, dict[str, _Block]]:
    """Returns the unpickled value, and the storages by key."""
    with _BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
        file.limit = _MAX_PICKLE
        entries = {entry.orig_filename: entry for entry in archive.infolist()}
        pickled = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise FileError(other_programs.describe_zip(entries))
        _check_entries(entries, archive, path.stat().st_size)
        folder = pickled[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        if order and archive.read(order) != b"little":
            raise FileError("has big-endian numbers, which are not supported")
        value, _ = pickles.loads(io.BytesIO(archive.read(entries[pickled[0]])))
    opened = functools.cache(lambda: zipfile.ZipFile(path))
    return value, {
        name.removeprefix(f"{folder}data/"): _Block(
            entry.file_size, lambda entry=entry: opened().read(entry)
        )
        for name, entry in entries.items()
        if name.startswith(f"{folder}data/")
    }


def _check_entries(entries: dict, archive: zipfile.ZipFile, size: int) -> None:
    """Refuses what PyTorch does not write; names never become paths on the disk."""
    if len(entries) < len(archive.infolist()):
        raise FileError("has two entries of one name")
    for entry in entries.values():
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            if any(name.endswith("/constants.pkl") for name in entries):
                raise FileError(other_programs.TORCHSCRIPT)
            raise FileError("is compressed or encrypted, which PyTorch never does")
        if entry.file_size != entry.compress_size:
            raise FileError("is damaged")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise FileError("is damaged: its entries are larger than the file")


# --- The stream before PyTorch 1.6


def _read_legacy(path: pathlib.Path) -> tuple[object, dict[str, _Block]]:
    """Returns the unpickled value, and the storages by key.

    A stream has five pickles: a magic number, the version, the machine, the value, and
    the keys of the storages. Then each storage follows, after its number of elements.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read(_MAX_PICKLE))
        if pickles.loads(stream)[0] != _LEGACY_MAGIC:
            raise FileError("is a pickle, but not of torch.save: it holds no tensors")
        version, machine = (pickles.loads(stream)[0] for _ in range(2))
        if version != _LEGACY_PROTOCOL or not isinstance(machine, dict):
            raise FileError("is of an unknown version of PyTorch")
        if machine.get("little_endian") is not True:
            raise FileError("has big-endian numbers, which are not supported")
        value, storages = pickles.loads(stream)
        keys, _ = pickles.loads(stream)
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise FileError("is damaged")
        if len(set(keys)) < len(keys) or {*keys} != storages.keys():
            raise FileError("is damaged: it lacks storages, or has too many")
        position, blocks = stream.tell(), {}
        for key in keys:
            storage = storages[key]
            file.seek(position)
            if file.read(8) != struct.pack("<q", storage.num_elements):
                raise FileError("is cut off or damaged")
            length = storage.num_elements * _dtype(storage.dtype).itemsize
            part = functools.partial(_read_part, path, position + 8, length)
            blocks[key] = _Block(length, part)
            position += 8 + length
    if position != size:
        raise FileError("is cut off, or goes on behind its end")
    return value, blocks


def _read_part(path: pathlib.Path, position: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(position)
        return file.read(length)


# --- Tensors of a pickle


def _tensors(path: pathlib.Path, value, blocks: dict[str, _Block]) -> dict[str, Tensor]:
    """Returns the tensors in an unpickled value by name."""
    views = dict(_named_views(value))
    for storage in {view.storage for view in views.values()}:
        length = storage.num_elements * _dtype(storage.dtype).itemsize
        if storage.key not in blocks or blocks[storage.key].num_bytes != length:
            raise FileError("lacks the numbers of a tensor, or has too many")
    sizes = (
        math.prod(view.shape) * _dtype(view.storage.dtype).itemsize
        for view in {*views.values()}
    )
    if sum(sizes) > path.stat().st_size:
        raise FileError("names the same numbers as several tensors")

    @functools.cache
    def data_of(key: str) -> bytes:
        data = blocks[key].load()
        if len(data) != blocks[key].num_bytes:
            raise FileError("is damaged")
        return data

    @functools.cache
    def array_of(view: View) -> np.ndarray:
        with _one_line_errors(path):
            data = data_of(view.storage.key)
        part = np.frombuffer(data, _dtype(view.storage.dtype))[view.offset :]
        strides = [stride * part.itemsize for stride in view.strides]
        strided = np.lib.stride_tricks.as_strided
        rows = np.ascontiguousarray(strided(part, view.shape, strides, writeable=False))
        return rows.reshape(view.shape)

    return {
        name: Tensor(
            view.shape, _dtype(view.storage.dtype), functools.partial(array_of, view)
        )
        for name, view in views.items()
    }


def _named_views(value) -> Iterator[tuple[str, View]]:
    """Finds tensors in nested dictionaries; dots join the keys."""
    if not isinstance(value, dict):
        raise FileError("holds no dictionary of tensors")
    waiting, names, num_values = [("", value, 0)], set(), 0
    while waiting:
        name, value, depth = waiting.pop()
        num_values += len(value) if isinstance(value, dict) else 0
        if num_values > _MAX_VALUES or depth > _MAX_NESTING or len(name) > _MAX_NAME:
            raise FileError("has too many, too long or too deeply nested names")
        if isinstance(value, dict):
            prefix = f"{name}." if depth else ""
            # A key may be as long as the whole pickle.
            items = [(str(k)[: _MAX_NAME + 1], v) for k, v in value.items()]
            waiting += [(prefix + k, v, depth + 1) for k, v in reversed(items)]
        elif isinstance(value, View):
            if name in names:
                raise FileError(f"has two tensors of the name {name!a}")
            names.add(name)
            yield name, value


def _dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


# --- safetensors


def _read_safetensors(path: pathlib.Path) -> dict[str, Tensor]:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
    if length > min(_MAX_HEADER, path.stat().st_size):
        raise FileError("is damaged, or its header is far too long")
    with safetensors.safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
    opened = functools.cache(lambda: safetensors.safe_open(path, framework="numpy"))

    def array_of(name: str) -> np.ndarray:
        with _one_line_errors(path):
            return opened().get_tensor(name)

    dtypes = {code: dtype for _, code, dtype in pickles.DTYPES}
    tensors = {}
    for name, part in slices.items():
        dtype, shape = dtypes.get(part.get_dtype()), part.get_shape()
        if dtype is None or len(name) > _MAX_NAME or not is_possible(shape):
            raise FileError(f"has a tensor {name[:80]!a} of an unknown kind")
        array = functools.partial(array_of, name)
        tensors[name] = Tensor(tuple(shape), _dtype(dtype), array)
    return tensors


# --- Writing


def write_pth(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Writes float32 arrays for `torch.load`; equal arrays give equal bytes."""
    shapes = {name: array.shape for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _pickle_of(shapes))
        _add(archive, "byteorder", b"little")
        for i, array in enumerate(arrays.values()):
            _add(archive, f"data/{i}", array.astype("<f4", order="C").tobytes())
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Adds an entry; an extra field aligns its bytes, as PyTorch does it."""
    entry = zipfile.ZipInfo(f"archive/{name}")
    start = archive.fp.tell() + 30 + len(entry.filename) + 4
    padding = -start % _ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(entry, data)


def write_safetensors(
    arrays: Mapping[str, np.ndarray], path: str | os.PathLike
) -> None:
    """Writes float32 arrays as safetensors."""
    contiguous = {n: np.asarray(a, "<f4", order="C") for n, a in arrays.items()}
    # `save_file` of safetensors would make the file unreadable for other users.
    data = safetensors.numpy.save(contiguous, metadata={"format": "pt"})
    pathlib.Path(path).write_bytes(data)


def _pickle_of(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Pickles float32 tensors, as `torch.save` does; number i fills storage i."""
    dictionary = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE
    dictionary += pickle.REDUCE
    items = b""
    for i, (name, shape) in enumerate(shapes.items()):
        storage = _tuple(
            _text("storage"),
            _name("torch", "FloatStorage"),
            _text(str(i)),
            _text("cpu"),
            _integer(math.prod(shape)),
        )
        tensor = _tuple(
            storage + pickle.BINPERSID,
            _integer(0),
            _tuple(*map(_integer, shape)),
            _tuple(*(_integer(math.prod(shape[k + 1 :])) for k in range(len(shape)))),
            pickle.NEWFALSE,
            dictionary,
        )
        rebuild = _name("torch._utils", "_rebuild_tensor_v2")
        items += _text(name) + rebuild + tensor + pickle.REDUCE
    start = pickle.PROTO + b"\2" + dictionary + pickle.MARK
    return start + items + pickle.SETITEMS + pickle.STOP


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _tuple(*values: bytes) -> bytes:
    return pickle.MARK + b"".join(values) + pickle.TUPLE
