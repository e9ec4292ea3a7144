"""What a hostile file is: its bytes, and what a reader may do with them.

Nothing in these files does harm where a reader does run it: it makes a file `marker`
at most.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from helpers.pytorch_samples import (
    NO_HOOKS,
    NONE,
    PROTOCOL,
    STOP,
    STORAGES,
    dict_of,
    floating,
    global_,
    good_items,
    legacy_storage,
    list_of,
    number,
    ordered,
    parameter,
    pickled,
    pth,
    storage,
    stream,
    tensor,
    text,
    tuple_of,
)

# What a reader may do: refuse the file; or else give the tensors of `good_items` as
# they are, or tensors whose numbers are in the file.
REFUSE, UNCHANGED, IN_FILE = "refuse", "unchanged", "in file"

# Makes a storage as the container of a pickle wants it.
Storage = Callable[..., bytes]


class Case(NamedTuple):
    """A file, and what its refusal must say."""

    name: str
    data: bytes
    suffix: str = ".pth"
    allowed: str = REFUSE
    says: str = ""


class Attack(NamedTuple):
    """A pickle for either container, and what its refusal must say."""

    name: str
    pickle: Callable[[Storage], bytes]
    allowed: str = REFUSE
    says: str = ""


def whole(name: str, data: bytes, allowed: str = REFUSE) -> Attack:
    """A pickle that is nothing else."""
    return Attack(name, lambda storage: data, allowed)


def beside(name: str, evil: bytes, allowed: str = REFUSE, says: str = "") -> Attack:
    """A good state dict with something evil beside it."""
    return Attack(name, lambda storage: with_good(storage, evil), allowed, says)


def with_good(storage: Storage, evil: bytes) -> bytes:
    return pickled(dict_of({**good_items(storage), "evil": evil}))


def around(name: str, before: bytes, after: bytes, allowed: str = REFUSE) -> Attack:
    """A good state dict with something before and behind it."""
    return Attack(
        name, lambda storage: before + dict_of(good_items(storage)) + after, allowed
    )


def behind(name: str, evil: bytes, allowed: str = REFUSE) -> Attack:
    """A good state dict that would be the value, were it not for what follows it."""
    return around(name, PROTOCOL, evil + STOP, allowed)


def in_zip(attack: Attack) -> Case:
    data = pth(attack.pickle(storage), STORAGES)
    return Case(f"{attack.name} (zip)", data, ".pth", attack.allowed, attack.says)


def in_stream(attack: Attack) -> Case:
    data = stream(attack.pickle(legacy_storage), STORAGES)
    return Case(f"{attack.name} (stream)", data, ".pth", attack.allowed, attack.says)


def in_turns(attacks: Iterator[Attack]) -> Iterator[Case]:
    """The first in a zip, the second in a stream, and so on."""
    for i, attack in enumerate(attacks):
        yield (in_zip, in_stream)[i % 2](attack)


# --- A value of each type

GLOBALS = {
    "OrderedDict": global_("collections", "OrderedDict"),
    "storage type": global_("torch", "FloatStorage"),
    "rebuild": global_("torch._utils", "_rebuild_tensor_v2"),
    "rebuild of old": global_("torch._utils", "_rebuild_tensor"),
    "rebuild of parameters": global_("torch._utils", "_rebuild_parameter"),
}


def plain_values() -> dict[str, bytes]:
    return {
        "None": NONE,
        "True": b"\x88",
        "number": number(5),
        "huge number": number(10**600),
        "float": floating(1.5),
        "nan": floating(float("nan")),
        "text": text("text"),
        "bytes": b"U\4\xff\xfe\0\n",
        "tuple": tuple_of(number(1), text("a")),
        "empty tuple": b")",
        "list": list_of(number(1)),
        "dict": dict_of({"a": number(1)}),
        "ordered": ordered({"a": number(1)}),
        "ordered, with state": NO_HOOKS + dict_of({"_metadata": NONE}) + b"b",
        **GLOBALS,
    }


def values(storage: Storage) -> dict[str, bytes]:
    whole = tensor(storage(6), (6,), (1,))
    tensors = {"storage": storage(6), "tensor": whole, "parameter": parameter(whole)}
    return {**plain_values(), **tensors}
