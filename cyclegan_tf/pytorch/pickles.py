"""The pickles in PyTorch's files, without PyTorch and without running any code.

A pickle is a program for a small stack machine that may call whatever Python has. The
one here can make dictionaries, lists, tuples, text, numbers and descriptions of
tensors; what else a pickle names is refused before its first operation is carried out.
"""

import dataclasses
import io
import math
import pickletools
from collections.abc import Iterable

# A state dict takes about 22 operations a tensor. Each one makes at most an empty
# dictionary and a place to remember it, so this also bounds the memory.
_MAX_OPERATIONS = 100_000
_MAX_DIMENSIONS = 8

_STORAGES = {
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Float": "float32",
    "Double": "float64",
}


class PickleError(ValueError):
    """A pickle is damaged, or asks for more than tensors."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A block of numbers in the file: its dtype's name, its key, how many."""

    dtype: str
    key: str
    num_elements: int


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor: part of a storage, counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def loads(stream: io.BytesIO) -> tuple[object, dict[str, Storage]]:
    """Reads one pickle from where a stream stands to where the pickle ends.

    Args:
      stream: The whole pickle in memory, so that no length in it can ask for more.

    Returns:
      What it holds, made of dictionaries, lists, tuples, text, numbers, None and
      `View`s; and all storages that it names, by key.

    Raises:
      PickleError: the pickle is damaged, too long, or names anything but tensors,
        storages and OrderedDict.
    """
    start = stream.tell()
    _check(stream)
    stream.seek(start)
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(stream):
            _OPERATIONS[operation.name](machine, argument)
        value = machine.stack.pop()
    except PickleError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise PickleError("its pickle is damaged") from error
    if machine.stack or machine.marks:
        raise PickleError("its pickle is damaged")
    return value, machine.storages


def _check(stream: io.BytesIO) -> None:
    """Refuses a pickle by the operations and names in it, carrying out none."""
    refused, operations = {}, pickletools.genops(stream)
    try:
        for number, (operation, argument, _) in enumerate(operations):
            if number == _MAX_OPERATIONS:
                raise PickleError(f"its pickle has over {_MAX_OPERATIONS} operations")
            named = operation.name in ("GLOBAL", "INST")
            if named and (operation.name, argument) not in _ADMITTED:
                refused[argument.replace(" ", ".")] = None
            elif operation.name not in _OPERATIONS:
                refused[f"operation {operation.name}"] = None
    except ValueError as error:
        if isinstance(error, PickleError):
            raise
        raise PickleError("its pickle is damaged or cut off") from error
    if refused:
        shown = [name[:80] for name in refused][:5]
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise PickleError(
            f"its pickle asks for {', '.join(map(ascii, shown))}{more}; only tensors, "
            "storages and OrderedDict are admitted, and nothing was run. Is it a whole "
            "model? Save its state_dict() instead"
        )


class _Machine:
    """The stack, its marks, what the pickle told to remember, and its storages."""

    def __init__(self):
        self.stack = []
        self.marks = []
        self.memo = {}
        self.storages = {}
        self.num_pairs = 0

    def push(self, value) -> None:
        self.stack.append(value)

    def since_mark(self) -> list:
        position = self.marks.pop()
        if position > len(self.stack):
            raise IndexError
        values = self.stack[position:]
        del self.stack[position:]
        return values

    def last(self, number: int) -> tuple:
        return tuple(reversed([self.stack.pop() for _ in range(number)]))

    def mark(self, _) -> None:
        self.marks.append(len(self.stack))

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def set_items(self, values: Iterable) -> None:
        keys = iter(values)
        target = self._top(dict)
        for key, value in zip(keys, keys, strict=True):
            # The hash of a deeply nested tuple overflows Python's stack, and large
            # numbers may all have one hash.
            if type(key) is not str and not _is_count(key):
                raise TypeError
            target[key] = value

    def append(self, values: Iterable) -> None:
        self._top(list).extend(values)

    def build(self, _) -> None:
        """Drops the attributes of a dictionary, PyTorch's `_metadata`."""
        self.stack.pop()
        self._top(dict)

    def persistent(self, _) -> None:
        storage = _storage(self.stack.pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise PickleError("a storage in it is of two kinds")
        self.push(storage)

    def reduce(self, _) -> None:
        function, arguments = self.last(2)
        if not isinstance(function, _Function) or type(arguments) is not tuple:
            raise TypeError
        value = function.make(*arguments)
        # Of one list many dictionaries may be made.
        self.num_pairs += len(value) if type(value) is dict else 0
        if self.num_pairs > _MAX_OPERATIONS:
            raise PickleError("its pickle holds far more than tensors")
        self.push(value)

    def _top(self, kind: type):
        if type(self.stack[-1]) is not kind:
            raise TypeError
        return self.stack[-1]


# --- What may be named


@dataclasses.dataclass(frozen=True)
class _Function:
    make: object


@dataclasses.dataclass(frozen=True)
class _StorageType:
    dtype: str


def _ordered_dict(pairs=()) -> dict:
    """An OrderedDict, empty or, as Python 2 wrote it, from a list of pairs."""
    machine = _Machine()
    machine.push({})
    for pair in pairs:
        key, value = pair
        machine.set_items([key, value])
    return machine.stack.pop()


def _storage(description) -> Storage:
    """The storage that a persistent id stands for."""
    kind, storage_type, key, _, number, *view = description
    if kind != "storage" or not isinstance(storage_type, _StorageType) or any(view):
        raise PickleError("its pickle names something that is no storage")
    if type(key) is not str or not _is_count(number):
        raise PickleError("a storage in it is damaged")
    return Storage(storage_type.dtype, key, number)


def _tensor(storage, offset, shape, strides, *_) -> View:
    """A tensor; gradients, hooks and what newer versions add are left out."""
    if type(shape) is not tuple or type(strides) is not tuple:
        raise PickleError("a tensor in it is damaged")
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(map(_is_count, numbers)):
        raise PickleError("a tensor in it is damaged")
    if len(shape) != len(strides) or not is_possible(shape):
        raise PickleError("a tensor in it is damaged")
    if 0 in shape:
        return View(storage, 0, shape, (0,) * len(shape))
    last = offset
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1 and stride <= last - offset:
            raise PickleError("a tensor in it uses some numbers twice")
        last += stride * (size - 1)
    if last >= storage.num_elements:
        raise PickleError("a tensor in it reaches beyond its storage")
    return View(storage, offset, shape, strides)


def _parameter(tensor, *_) -> View:
    if not isinstance(tensor, View):
        raise TypeError
    return tensor


def is_possible(shape: Iterable[int]) -> bool:
    """Whether NumPy can make an array of this shape, empty ones among them."""
    sides = [max(side, 1) for side in shape]
    return len(sides) <= _MAX_DIMENSIONS and math.prod(sides) < 2**40


def _is_count(value) -> bool:
    return type(value) is int and 0 <= value < 2**40


_NAMES = {
    "collections OrderedDict": _Function(_ordered_dict),
    "torch._utils _rebuild_tensor": _Function(_tensor),
    "torch._utils _rebuild_tensor_v2": _Function(_tensor),
    "torch._utils _rebuild_parameter": _Function(_parameter),
    **{
        f"{module} {name}Storage": _StorageType(dtype)
        for module in ("torch", "torch.cuda")
        for name, dtype in _STORAGES.items()
    },
}
_ADMITTED = {("GLOBAL", name) for name in _NAMES}

_OPERATIONS = {
    "PROTO": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "GLOBAL": lambda machine, name: machine.push(_NAMES[name]),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
    "NONE": _Machine.push,
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _Machine.push
    ),
    **dict.fromkeys(("BINUNICODE", "BINSTRING", "SHORT_BINSTRING"), _Machine.push),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(machine.last(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.last(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.last(3)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
}
