"""Tensors in files of PyTorch and of safetensors, read and written without PyTorch.

Three formats are read: the zip that `torch.save` writes since PyTorch 1.6, the stream
that it wrote before, and safetensors. Files from strangers are expected: no code is
run, nothing is unpacked to disk, and all tensors of a file take at most twice its size
(and finding them 16 MB: of names and shapes, whose number is limited).
"""

import dataclasses
import functools
import math
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import safetensors
import safetensors.numpy

from cyclegan_tf.pytorch.containers import (
    FileError,
    Region,
    dtype_of,
    load,
    num_bytes,
    read_legacy,
    read_zip,
)
from cyclegan_tf.pytorch.pickles import PickleError, View, is_possible
from cyclegan_tf.validation import UserError

_MAX_HEADER = 2**20
_MAX_NAME = 512
_MAX_NESTING = 8
_MAX_VALUES = 5_000

# Of a storage in a zip, as PyTorch writes it.
_ALIGNMENT = 64

_SAFETENSORS_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file: shape, dtype, and `numpy()`, which reads its numbers.

    `numpy()` raises a `UserError` if the file is damaged there.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    numpy: Callable[[], np.ndarray]


def read(path: str | os.PathLike) -> dict[str, Tensor]:
    """Finds all tensors of a file; their numbers are read when they are asked for.

    Args:
      path: What `torch.save` wrote, a state dict or one in other dictionaries; or a
        safetensors file.

    Returns:
      Tensors by name; the keys of dictionaries in dictionaries are joined by dots.
      What is no tensor is left out.

    Raises:
      UserError: the file is missing, damaged, or holds more than tensors in
        dictionaries.
    """
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(9)
        # First: before it comes a number, which may look like the others.
        if start[8:] == b"{":
            return _read_safetensors(path)
        if start.startswith(b"PK"):
            return _of_pickle(path, *read_zip(path))
        if start.startswith(b"\x80"):
            return _of_pickle(path, *read_legacy(path))
        raise FileError("is neither a PyTorch nor a safetensors file")
    except FileError as error:
        raise UserError(f"{path} {error}.") from error
    except PickleError as error:
        raise UserError(f"{path} can't be read: {error}.") from error
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} can't be read: {reason}.") from error


# --- Tensors of a pickle


def _of_pickle(path, value, regions: dict[str, Region]) -> dict[str, Tensor]:
    """The tensors of an unpickled value, whose storages lie in `regions`."""
    views = dict(_named_views(value))
    for storage in {view.storage for view in views.values()}:
        region = regions.get(storage.key)
        if region is None or region.num_bytes != num_bytes(storage):
            raise FileError("lacks the numbers of a tensor, or has too many")
    size = sum(_num_bytes(view) for view in {*views.values()})
    if size > path.stat().st_size:
        raise FileError("names the same numbers as several tensors")
    data_of = functools.cache(lambda key: load(path, regions[key]))
    array_of = functools.cache(lambda view: _array(view, data_of(view.storage.key)))
    return {
        name: Tensor(
            view.shape, dtype_of(view.storage.dtype), functools.partial(array_of, view)
        )
        for name, view in views.items()
    }


def _named_views(value) -> Iterator[tuple[str, View]]:
    """The tensors in dictionaries of dictionaries, their keys joined by dots."""
    waiting, names, num_values = [("", value, 0)], set(), 0
    while waiting:
        name, value, depth = waiting.pop()
        num_values += len(value) if isinstance(value, dict) else 0
        if num_values > _MAX_VALUES or depth > _MAX_NESTING or len(name) > _MAX_NAME:
            raise FileError("has too many, too long or too deeply nested names")
        if isinstance(value, dict):
            prefix = f"{name}." if depth else ""
            # Names are made of keys short enough: a key may be as long as the pickle.
            items = [(str(k)[: _MAX_NAME + 1], v) for k, v in value.items()]
            waiting += [(prefix + k, v, depth + 1) for k, v in reversed(items)]
        elif isinstance(value, View):
            if name in names:
                raise FileError(f"has two tensors of the name {name!a}")
            names.add(name)
            yield name, value


def _num_bytes(view: View) -> int:
    return math.prod(view.shape) * dtype_of(view.storage.dtype).itemsize


def _array(view: View, data: bytes) -> np.ndarray:
    numbers = np.frombuffer(data, dtype_of(view.storage.dtype))
    part = numbers[view.offset :]
    strides = [stride * numbers.itemsize for stride in view.strides]
    return np.ascontiguousarray(
        np.lib.stride_tricks.as_strided(part, view.shape, strides, writeable=False)
    ).reshape(view.shape)


# --- safetensors


def _read_safetensors(path: pathlib.Path) -> dict[str, Tensor]:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
    if length > min(_MAX_HEADER, path.stat().st_size):
        raise FileError("is damaged, or its header is far too long")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            found = {name: file.get_slice(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise FileError("is cut off or damaged") from error
    opened = functools.cache(lambda: safetensors.safe_open(path, framework="numpy"))
    tensors = {}
    for name, part in found.items():
        dtype, shape = _SAFETENSORS_DTYPES.get(part.get_dtype()), part.get_shape()
        if dtype is None or len(name) > _MAX_NAME or not is_possible(shape):
            raise FileError(f"has a tensor {name[:80]!a} of an unknown kind")

        def array(name=name) -> np.ndarray:
            try:
                return opened().get_tensor(name)
            except (safetensors.SafetensorError, OSError) as error:
                raise UserError(f"{path} is damaged.") from error

        tensors[name] = Tensor(tuple(shape), dtype_of(dtype), array)
    return tensors


# --- Writing


def write_pth(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Writes a state dict that `torch.load` reads; the same bytes each time.

    Args:
      arrays: float32 arrays by name.
      path: The file; replaced if it exists.
    """
    shapes = {name: array.shape for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _pickle_of(shapes))
        _add(archive, "byteorder", b"little")
        for i, array in enumerate(arrays.values()):
            _add(archive, f"data/{i}", array.astype("<f4", order="C").tobytes())
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Adds an entry, its bytes aligned by an extra field as PyTorch aligns them."""
    entry = zipfile.ZipInfo(f"archive/{name}")
    start = archive.fp.tell() + 30 + len(entry.filename) + 4
    padding = -start % _ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(entry, data)


def write_safetensors(
    arrays: Mapping[str, np.ndarray], path: str | os.PathLike
) -> None:
    """Writes a state dict as safetensors.

    Args:
      arrays: float32 arrays by name.
      path: The file; replaced if it exists.
    """
    contiguous = {n: np.asarray(a, "<f4", order="C") for n, a in arrays.items()}
    # Its own writer of files closes them to other users.
    data = safetensors.numpy.save(contiguous, metadata={"format": "pt"})
    pathlib.Path(path).write_bytes(data)


def _pickle_of(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """The pickle of a state dict of float32 tensors, as `torch.save` makes it.

    Args:
      shapes: Shapes by name. The tensor at place i lies whole in the storage of key
        `str(i)`, row by row.

    Returns:
      A pickle of protocol 2: an OrderedDict, which `torch.load(weights_only=True)`
      admits.
    """
    dictionary = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE
    parts = [pickle.PROTO, b"\2", dictionary, pickle.REDUCE, pickle.MARK]
    for i, (name, shape) in enumerate(shapes.items()):
        storage = (
            pickle.MARK
            + _text("storage")
            + _name("torch", "FloatStorage")
            + _text(str(i))
            + _text("cpu")
            + _integer(math.prod(shape))
            + pickle.TUPLE
            + pickle.BINPERSID
        )
        strides = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
        parts += [
            _text(name),
            _name("torch._utils", "_rebuild_tensor_v2"),
            pickle.MARK + storage + _integer(0) + _tuple(shape) + _tuple(strides),
            pickle.NEWFALSE + dictionary + pickle.REDUCE + pickle.TUPLE,
            pickle.REDUCE,
        ]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _tuple(values: Iterable[int]) -> bytes:
    return pickle.MARK + b"".join(map(_integer, values)) + pickle.TUPLE
