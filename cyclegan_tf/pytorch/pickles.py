"""Reads the pickles in PyTorch files, without PyTorch and without running their code.

A pickle is a program that can call any function. This module allows dictionaries,
lists, tuples, text, numbers, descriptions of tensors, and plain data beside them. It
scans the whole pickle before it executes the first operation, and refuses every other
operation and name.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cyclegan_tf.messages import some_of

# A state dict takes about 22 operations per tensor. An operation creates at most one
# empty dictionary and one memo entry, so this limit also bounds memory.
_MAX_OPERATIONS = 100_000
_MAX_DIMENSIONS = 8

_OPERATIONS = frozenset(
    "PROTO STOP MARK POP GLOBAL REDUCE NEWOBJ BUILD BINPERSID NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE BINSTRING SHORT_BINSTRING "
    "EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS "
    "APPEND APPENDS BINPUT LONG_BINPUT BINGET LONG_BINGET".split()
)

# Every dictionary becomes an OrderedDict, which checks its keys.
_ORDERED_DICT = b"ccollections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE

# Names of PyTorch storages and safetensors types, and of NumPy dtypes.
DTYPES = (
    ("Bool", "BOOL", "bool"),
    ("Byte", "U8", "uint8"),
    ("Char", "I8", "int8"),
    ("Short", "I16", "int16"),
    ("Int", "I32", "int32"),
    ("Long", "I64", "int64"),
    ("Half", "F16", "float16"),
    ("BFloat16", "BF16", "bfloat16"),
    ("Float", "F32", "float32"),
    ("Double", "F64", "float64"),
)

# What `pickle.Unpickler` raises.
_DAMAGES = (AttributeError, LookupError, TypeError, ValueError, pickle.UnpicklingError)


class FileError(Exception):
    """A file is damaged or hostile; the message continues a sentence on the file."""


class Storage(NamedTuple):
    """A block of numbers in the file: dtype name, key, number of elements."""

    dtype: str
    key: str
    num_elements: int


class View(NamedTuple):
    """A tensor: part of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def loads(stream: io.BytesIO) -> tuple[object, dict[str, Storage]]:
    """Reads one pickle, and leaves the stream at its end.

    Args:
      stream: The whole pickle in memory, so that no length in it can allocate more.

    Returns:
      The value: dictionaries, lists, tuples, text, numbers, None and `View`s; and all
      storages by key.

    Raises:
      FileError: the pickle is damaged, too long, or names anything but tensors and
        plain data.
    """
    copy, names = _checked(stream)
    unpickler = _Unpickler(io.BytesIO(copy), encoding="latin-1")
    try:
        return unpickler.load(), unpickler.storages
    except (FileError, *_DAMAGES) as error:
        text = "can't be read: its pickle is damaged"
        if isinstance(error, FileError):
            text = str(error)
        if names:
            text += f"; beside the weights it has {_places(names)}"
        raise FileError(text) from error


def _checked(stream: io.BytesIO) -> tuple[bytes, dict[str, str]]:
    """Copies a pickle if all of its operations and names are allowed.

    Returns:
      The copy, and the names of plain data, each with the text before it, which is its
      key if it is in a dictionary.
    """
    data, copy, text, protocol = stream.getvalue(), bytearray(), "", 2
    names, refused, operations = {}, {}, {}
    try:
        for i, (operation, argument, start) in enumerate(pickletools.genops(stream)):
            code = operation.name
            if i == _MAX_OPERATIONS:
                limit = f"its pickle has over {_MAX_OPERATIONS} operations"
                raise FileError(f"can't be read: {limit}")
            if code == "GLOBAL" and argument in _PLAIN:
                names[argument.replace(" ", ".")] = text
            elif code in ("GLOBAL", "INST") and argument not in _NAMES:
                refused[argument.replace(" ", ".")] = text
            elif code not in _OPERATIONS:
                operations[f"operation {code}"] = ""
            # Python allocates memory for all smaller places of its memo.
            elif code == "LONG_BINPUT" and argument >= _MAX_OPERATIONS:
                raise ValueError
            if code == "PROTO":
                protocol = argument
            elif code in ("BINGET", "LONG_BINGET"):
                text = ""  # It may be any text.
            elif code in ("BINUNICODE", "BINSTRING", "SHORT_BINSTRING"):
                text = argument
            is_dict = code == "EMPTY_DICT"
            copy += _ORDERED_DICT if is_dict else data[start : stream.tell()]
    except ValueError as error:
        if not refused and not operations:
            text = "can't be read: its pickle is damaged or cut off"
            raise FileError(text) from error
    if refused or operations:
        found = {**(refused or names), **operations}
        raise FileError(
            f"can't be read: its pickle asks for {_places(found)}; only tensors and "
            f"plain data are read, and nothing was run. {_advice(found, protocol)}"
        )
    return bytes(copy), names


def _places(names: Mapping[str, str]) -> str:
    """Names, each with its key."""
    found = []
    for name, key in names.items():
        place = f" at {ascii(key)[:40]}" if key else ""
        found.append(f"{ascii(name)[:90]}{place}")
    return some_of(found, 3)


def _advice(names: Mapping[str, str], protocol: int) -> str:
    if any(name.startswith("__torch__.") for name in names):
        return "It is a TorchScript model: save the state_dict() of the Python model"
    if any(name.startswith("torch.nn.") for name in names):
        return "It is a whole model: load it in its own program, save its state_dict()"
    if protocol > 2:
        return f"It has pickle protocol {protocol}, not the 2 of torch.save"
    return "Load it in its own program, and save the state_dict() alone"


class _Unpickler(pickle.Unpickler):
    """Finds the names in `_NAMES` and `_PLAIN`, and no others."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.storages = {}

    def find_class(self, module: str, name: str):
        key = f"{module} {name}"
        return _NAMES[key] if key in _NAMES else _PLAIN[key]

    def persistent_load(self, pid) -> Storage:
        storage = _storage(pid)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise FileError("is damaged: it gives one storage two types or lengths")
        return storage


# --- The allowed names: nothing here has attributes that a pickle could set


class _Dictionary(dict):
    """Keys are text or numbers; attributes such as PyTorch's `_metadata` are dropped.

    A deeply nested tuple would overflow the C stack when Python hashes it, and many
    large integers can share one hash.
    """

    __slots__ = ()

    def __setitem__(self, key, value) -> None:
        if type(key) is not str and not _is_count(key):
            kind = type(key).__name__
            raise FileError(f"can't be read: it has a key of type {kind}")
        if type(value) in (type, _Function, _PlainCall):
            raise TypeError  # A class or a function is no data.
        super().__setitem__(key, value)

    def __setstate__(self, state) -> None:
        pass


class _Function(NamedTuple):
    function: Callable

    def __call__(self, *arguments):
        return self.function(*arguments)


class _StorageType(NamedTuple):
    dtype: str


def _ordered_dict(pairs=None) -> _Dictionary:
    """An OrderedDict: empty or, as Python 2 wrote it, from a list of pairs."""
    dictionary = _Dictionary()
    if pairs is not None:
        if type(pairs) is not list:
            raise TypeError
        for key, value in pairs:
            dictionary[key] = value
        # Otherwise a short pickle could copy one long list many times.
        pairs.clear()
    return dictionary


def _storage(pid) -> Storage:
    """The storage that a persistent id describes."""
    if type(pid) is not tuple:
        raise TypeError
    kind, storage_type, key, _, number, *view = pid
    if kind != "storage" or type(storage_type) is not _StorageType or any(view):
        raise FileError("can't be read: its pickle names something that is no storage")
    if type(key) is not str or not _is_count(number):
        raise FileError("is damaged: it has an impossible storage")
    return Storage(storage_type.dtype, key, number)


def _tensor(storage, offset, shape, strides, *_) -> View:
    """A tensor, without its gradient and hooks, and without later additions."""
    damaged = FileError("is damaged: it has an impossible tensor")
    if type(storage) is not Storage or {type(shape), type(strides)} != {tuple}:
        raise damaged
    if not all(map(_is_count, (offset, *shape, *strides))):
        raise damaged
    if len(shape) != len(strides) or not is_possible(shape):
        raise damaged
    if 0 in shape:
        return View(storage, 0, shape, (0,) * len(shape))
    last = offset
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1 and stride <= last - offset:
            raise FileError("is damaged: a tensor in it uses some numbers twice")
        last += stride * (size - 1)
    if last >= storage.num_elements:
        raise FileError("is damaged: a tensor in it reaches beyond its storage")
    return View(storage, offset, shape, strides)


def _parameter(tensor, *_) -> View:
    if type(tensor) is not View:
        raise TypeError
    return tensor


def is_possible(shape: Iterable[int]) -> bool:
    """Whether NumPy can create an array of this shape; sides may be 0."""
    sides = [max(side, 1) for side in shape]
    return len(sides) <= _MAX_DIMENSIONS and math.prod(sides) < 2**40


def _is_count(value) -> bool:
    return type(value) is int and 0 <= value < 2**40


_NAMES = {
    "collections OrderedDict": _Function(_ordered_dict),
    "torch._utils _rebuild_tensor": _Function(_tensor),
    "torch._utils _rebuild_tensor_v2": _Function(_tensor),
    "torch._utils _rebuild_parameter": _Function(_parameter),
    "torch._utils _rebuild_parameter_with_state": _Function(_parameter),
    **{
        f"{module} {name}Storage": _StorageType(dtype)
        for module in ("torch", "torch.cuda")
        for name, _, dtype in DTYPES
    },
}


# --- Plain data beside the weights: recognised, checked, and dropped


class _Plain:
    """Takes the place of all plain data, and of its classes."""

    __slots__ = ()

    def __setstate__(self, state) -> None:
        pass


class _PlainCall(NamedTuple):
    """A class or function that makes plain data, with a test of its arguments."""

    fits: Callable[..., bool]

    def __call__(self, *arguments) -> _Plain:
        if not self.fits(*arguments):
            raise TypeError
        return _Plain()


def _default_dict(factory) -> _Dictionary:
    if factory is not _Plain and type(factory) is not _PlainCall:
        raise TypeError
    return _Dictionary()


_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "meta")


def _is_path(*parts) -> bool:
    # A single part with a space may be a command, and hardly a path.
    return all(type(p) is str for p in parts) and (
        len(parts) != 1 or " " not in parts[0]
    )


def _is_dtype(code, align, copy) -> bool:
    return re.fullmatch(r"[<>=|]?[biufcSUmM]\d+", code) is not None


def _is_array(kind, shape, code) -> bool:
    return kind is _Plain and type(shape) is tuple and type(code) in (_Plain, str)


_PLAIN = {
    "argparse Namespace": _Plain,
    "numpy ndarray": _Plain,
    "numpy dtype": _PlainCall(_is_dtype),
    **{f"torch {dtype}": _Plain() for _, _, dtype in DTYPES},
    "torch complex64": _Plain(),
    "torch Size": _PlainCall(lambda sides: all(map(_is_count, sides))),
    "torch device": _PlainCall(lambda kind, index=0: kind in _DEVICES),
    "_codecs encode": _PlainCall(lambda text, encoding: encoding == "latin1"),
    "__builtin__ bytes": _PlainCall(lambda: True),
    "__builtin__ set": _PlainCall(lambda values: type(values) is list),
    "collections Counter": _PlainCall(lambda counts: type(counts) is _Dictionary),
    "collections defaultdict": _Function(_default_dict),
    **{f"__builtin__ {name}": _Plain for name in ("dict", "float", "int", "list")},
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _PLAIN[f"{_module} _reconstruct"] = _PlainCall(_is_array)
    _PLAIN[f"{_module} scalar"] = _PlainCall(lambda dtype, data: type(dtype) is _Plain)
for _module in ("pathlib", "pathlib._local"):
    for _kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        _PLAIN[f"{_module} {_kind}"] = _PlainCall(_is_path)
