"""Pickles of storages and tensors that are not what a file can hold."""

from collections.abc import Iterator

from helpers.hostile_cases import (
    GLOBALS,
    IN_FILE,
    REFUSE,
    Attack,
    Storage,
    plain_values,
)
from helpers.pytorch_samples import (
    BIAS,
    NO_HOOKS,
    NONE,
    call,
    dict_of,
    floating,
    global_,
    memo,
    memorized,
    number,
    pickled,
    shape_of,
    tensor,
    text,
    tuple_of,
)

# --- Storages


def persistent_id(
    name: str, *parts: bytes, allowed: str = REFUSE, view: bytes = NONE
) -> Attack:
    """A tensor of a storage that is described by `parts`, and in streams by a view."""

    def make(storage: Storage) -> bytes:
        in_stream = storage(1).endswith(b"NtQ")
        evil = tuple_of(*parts, view) if in_stream else tuple_of(*parts)
        items = {"bias": tensor(storage(3, "1"), BIAS.shape, (1,))}
        evil = tensor(evil + b"Q", (2,), (1,))
        return pickled(dict_of({**items, "evil": evil}))

    return Attack(f"persistent id {name}", make, allowed)


def persistent_ids() -> Iterator[Attack]:
    usual = (text("storage"), GLOBALS["storage type"], text("0"), text("cpu"))
    usual = (*usual, number(6))
    for length in range(5):
        yield persistent_id(f"of {length} parts", *usual[:length])
    for length in (1, 2, 1000):
        yield persistent_id(f"of {length} parts more", *usual, *(text("x"),) * length)
    module = (text("module"), GLOBALS["OrderedDict"], text("a.py"), text("evil"))
    yield persistent_id("of a module", *module, number(6))
    names = ("kind", "type", "key", "device", "number")
    for value, odd in plain_values().items():
        for place, part in enumerate(names):
            parts = (*usual[:place], odd, *usual[place + 1 :])
            # The device is of no use; and some values are right.
            fine = part == "device" or (part, value) == ("type", "storage type")
            allowed = IN_FILE if fine else REFUSE
            yield persistent_id(f"whose {part} is {value}", *parts, allowed=allowed)
    keys = ("../0", "../../../../etc/passwd", "/etc/passwd", "0/", "./0", "", "\n")
    keys += ("00", "0\0", "2", "data.pkl", "../data.pkl", "../version", "x" * 999)
    for key in keys:
        yield persistent_id(f"of key {key[:20]!a}", *usual[:2], text(key), *usual[3:])
    sizes = (0, 1, 5, 7, 24, -1, -6, 2**31, 2**32 + 6, 2**62, 2**63, 2**64, 2**64 + 6)
    for size in sizes:
        yield persistent_id(f"of {size} numbers", *usual[:4], number(size))
    for device in ("cuda:0", "meta", "mps", "evil\n", "cpu:9999999999"):
        parts = (*usual[:3], text(device), usual[4])
        yield persistent_id(f"on {device!a}", *parts, allowed=IN_FILE)
    for kind, size in {
        "Double": 3,
        "Half": 12,
        "Byte": 24,
        "Int": 6,
        "Bool": 6,
    }.items():
        parts = (
            usual[0],
            global_("torch", f"{kind}Storage"),
            *usual[2:4],
            number(size),
        )
        # Six numbers of one byte are not 24 bytes.
        allowed = REFUSE if kind == "Bool" else IN_FILE
        yield persistent_id(f"of the same bytes as {kind}", *parts, allowed=allowed)
    for kind in ("Quint8", "ComplexFloat", "Untyped", "", "float", "Float8_e4m3fn"):
        parts = (usual[0], global_("torch", f"{kind}Storage"), *usual[2:])
        yield persistent_id(f"of type {kind}", *parts)
    view = tuple_of(text("0"), number(2), number(2))
    for odd in (view, text("0"), number(1), b"]", b"\x88"):
        yield persistent_id(
            f"with a view {odd[:9]!r}", *usual, view=odd, allowed=IN_FILE
        )


def two_kinds_of_one_storage() -> Iterator[Attack]:
    """The same key told twice, with another type or length."""
    others = {"Double": 3, "Half": 12, "Int": 6, "Float": 5, "Byte": 24}
    for (kind, size), turned in ((o, t) for o in others.items() for t in (0, 1)):

        def make(storage: Storage, kind=kind, size=size, turned=turned) -> bytes:
            one = tensor(storage(6), (2,), (1,), 0)
            other = tensor(storage(size, "0", f"{kind}Storage"), (1,), (1,), 2)
            names = {"a": other, "b": one} if turned else {"a": one, "b": other}
            return pickled(dict_of(names))

        yield Attack(f"two kinds: {kind} {size}, {turned}", make, IN_FILE)


# --- Tensors


def tensor_of(
    name: str, allowed: str = REFUSE, version: str = "_v2", **parts
) -> Attack:
    """A tensor of 2 by 3, of which some parts are replaced, or None."""

    def make(storage: Storage) -> bytes:
        usual = {
            "storage": storage(6),
            "offset": number(0),
            "shape": shape_of(2, 3),
            "strides": shape_of(3, 1),
            "gradient": b"\x89",
            "hooks": NO_HOOKS,
        }
        told = [part for part in {**usual, **parts}.values() if part is not None]
        evil = call(global_("torch._utils", f"_rebuild_tensor{version}"), *told)
        bias = tensor(storage(3, "1"), BIAS.shape, (1,))
        return pickled(dict_of({"bias": bias, "evil": evil}))

    return Attack(f"tensor {name}", make, allowed)


def misplaced() -> Iterator[Attack]:
    """A wrong value in each place of a tensor."""
    sizes = (-1, -6, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64, -(2**63), 10**700)
    odd = {f"{size:#x}"[:20]: number(size) for size in sizes}
    odd |= plain_values()
    odd["2.0"] = floating(2.0)
    for name, value in odd.items():
        for place in range(2):
            sizes, steps = [number(2), number(3)], [number(3), number(1)]
            sizes[place] = steps[place] = value
            yield tensor_of(f"of size {name} at {place}", shape=tuple_of(*sizes))
            yield tensor_of(f"of stride {name} at {place}", strides=tuple_of(*steps))
        for part in ("storage", "offset", "shape", "strides"):
            yield tensor_of(f"of {part} {name}", **{part: value})
        for part in ("gradient", "hooks", "something more"):
            yield tensor_of(f"of {part} {name}", IN_FILE, **{part: value})
    for place in ("storage", "offset", "shape", "strides"):
        yield tensor_of(f"without {place}", **{place: None})
    for version, gone in (("", ["gradient", "hooks"]), ("_v2", ["hooks"]), ("", [])):
        name = f"of version {version!r} without {gone}"
        yield tensor_of(name, IN_FILE, version, **dict.fromkeys(gone))


# Shape, strides and offset in a storage of six numbers.
WRONG = {
    "expanded": ((10**6, 10**6), (0, 0), 0),
    "expanded in one direction": ((2**39, 6), (0, 1), 0),
    "of windows": ((4, 3), (1, 1), 0),
    "of many windows": ((2**20, 6), (0, 1), 0),
    "with negative strides": ((2, 3), (-3, -1), 5),
    "with a negative offset": ((2, 2), (3, 1), -1),
    "one too far": ((2, 3), (3, 1), 1),
    "far away": ((2, 3), (3, 1), 10**6),
    "too long": ((7,), (1,), 0),
    "too wide": ((2, 3), (4, 1), 0),
    "whose size overflows": ((2**32, 2**32), (1, 1), 0),
    "whose size overflows to 6": ((2**63 + 3, 2), (1, 1), 0),
    "whose place overflows": ((2, 2), (2**62, 2**62), 0),
    "whose place overflows to 0": ((2, 3), (2**64, 1), 0),
    "whose bytes overflow": ((2**62,), (1,), 0),
    "whose stride overflows": ((2,), (2**62,), 0),
    "whose stride overflows to 1": ((2,), (2**64 + 1,), 0),
    "whose offset overflows to 0": ((2, 3), (3, 1), 2**64),
    "of more strides": ((6,), (1, 1), 0),
    "of fewer strides": ((2, 3), (1,), 0),
}
ODD = {
    "as it should be": ((2, 3), (3, 1), 0),
    "expanded, small": ((2, 3), (0, 0), 0),
    "of overlapping rows": ((2, 3), (2, 1), 0),
    "transposed": ((3, 2), (1, 3), 0),
    "of every other": ((3,), (2,), 1),
    "of no dimensions": ((), (), 5),
    "empty": ((0,), (1,), 0),
    "empty, at the end": ((0,), (1,), 6),
    "empty, far away": ((0,), (1,), 10**6),
    "empty, negative offset": ((0,), (1,), -1),
    "empty and wide": ((0, 2**39), (2**39, 1), 0),
    "empty and very wide": ((0, 2**39, 2**39), (0, 1, 2**39), 0),
    "empty of very wide rows": ((2**39, 2**39, 0), (1, 2**39, 0), 0),
    "empty, many sizes": ((2**39,) * 7 + (0,), (0,) * 8, 0),
    "empty, too wide": ((2**62, 2**62, 0), (0, 0, 1), 0),
    "empty, negative": ((0, -1), (1, 1), 0),
    "empty, huge strides": ((0, 2), (2**39, 2**39), 0),
    "single, huge strides": ((1, 1), (2**39, 2**39), 0),
}


def layouts() -> Iterator[Attack]:
    for allowed, named in ((REFUSE, WRONG), (IN_FILE, ODD)):
        for name, (shape, strides, offset) in named.items():
            parts = {"shape": shape_of(*shape), "strides": shape_of(*strides)}
            yield tensor_of(name, allowed, **parts, offset=number(offset))
    for count in (8, 9, 32, 33, 64, 65, 1000, 40_000):
        ones, zeros = (shape_of(*(size,) * count) for size in (1, 0))
        name = f"of {count} dimensions"
        yield tensor_of(name, IN_FILE, shape=ones, strides=ones)
        yield tensor_of(f"{name}, empty", IN_FILE, shape=zeros, strides=ones)


def tensors() -> Iterator[Attack]:
    yield from misplaced()
    yield from layouts()
    yield from two_kinds_of_one_storage()


def sharing(storage: Storage, count: int, length: int, rows: int) -> bytes:
    """A pickle of `count` names for the same `length` numbers, of key "2".

    More than one row is read column by column, so that each name takes a copy.
    """
    first = memorized(storage(length, "2"), 500) + b"0"
    view = ((rows, length // rows), (1, rows))
    parts = {f"{i}": tensor(memo(500), *view) for i in range(count)}
    return pickled(first + dict_of(parts))
