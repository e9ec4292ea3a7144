"""Pickles that are damaged, contain themselves, or grow: operations, keys, bombs."""

import itertools
import pickletools
import struct
from collections.abc import Callable, Iterator

from helpers.hostile_cases import (
    GLOBALS,
    IN_FILE,
    UNCHANGED,
    Attack,
    Storage,
    around,
    behind,
    beside,
    whole,
    with_good,
)
from helpers.pytorch_samples import (
    NO_HOOKS,
    NONE,
    PROTOCOL,
    STOP,
    call,
    dict_of,
    floating,
    good_items,
    list_of,
    memo,
    memorized,
    number,
    pickled,
    tensor,
    text,
    tuple_of,
)

# --- Keys


def with_items(*items: tuple[bytes, Callable[[bytes], bytes]]):
    """A good state dict with items beside it, each made of a small tensor."""

    def make(storage: Storage) -> bytes:
        part = tensor(storage(3, "1"), (0,), (1,))
        more = b"".join(key + value(part) for key, value in items)
        return pickled(dict_of(good_items(storage))[:-1] + more + b"u")

    return make


def itself(part: bytes) -> bytes:
    return part


def under(*keys: str) -> Callable[[bytes], bytes]:
    def nested(part: bytes) -> bytes:
        for key in reversed(keys):
            part = dict_of({key: part})
        return part

    return nested


def keys() -> Iterator[Attack]:
    odd = {
        "list": b"]",
        "dict": b"}",
        "tuple": b")",
        "tuple with a list": tuple_of(b"]"),
        "None": NONE,
        "float": floating(2.5),
        "nan": floating(float("nan")),
        "bool": b"\x88",
        "huge number": number(10**700),
        "OrderedDict": GLOBALS["OrderedDict"],
    }
    for name, key in odd.items():
        yield Attack(f"key {name}", with_items((key, itself)))
    for key in ("a\nb", "\x1b[2J", "\0", "", ".", "..", "../x", "\ud800", "a" * 600):
        pickle = with_items((text(key), itself))
        yield Attack(f"key {key[:9]!a}", pickle, IN_FILE)
    # Of two tensors whose names are joined to the same, none may get lost.
    collisions = {
        "a dot in a key": [(text("net.bias"), itself)],
        "a number and its text": [(number(1), itself), (text("1"), itself)],
        "dots in two places": [
            (text("a"), under("b.c")),
            (text("a.b"), under("c")),
        ],
        "dots in three places": [
            (text("a"), under("b", "c.d")),
            (text("a"), under("b.c", "d")),
            (text("a.b.c"), under("d")),
            (text("a.b"), under("c.d")),
        ],
        "empty keys": [(text(""), under("")), (text("."), itself)],
    }
    for name, items in collisions.items():
        yield Attack(f"equal names by {name}", with_items(*items))


def cycles() -> Iterator[Attack]:
    """Things that contain themselves; whoever walks them must notice."""
    me = memo(700)
    contents = {
        "list": memorized(b"]", 700) + me + b"a",
        "list, twice": memorized(b"]", 700) + b"(" + me + me + b"e",
        "dict": memorized(b"}", 700) + text("me") + me + b"s",
        "dict, twice": memorized(b"}", 700)
        + (b"(" + text("a") + me + text("b") + me + b"u"),
        "ordered": memorized(NO_HOOKS, 700) + text("me") + me + b"s",
        "metadata": memorized(NO_HOOKS, 700) + dict_of({"_metadata": me}) + b"b",
        "state": memorized(NO_HOOKS, 700) + me + b"b",
        "tuple": memorized(b"]", 701) + memorized(b"\x85", 700) + b"0"
        b"(" + memo(701) + me + b"a0" + me,
        "list in a dict": memorized(b"}", 700) + text("l") + list_of(me) + b"s",
        "dict, 100 times": memorized(b"}", 700)
        + b"".join(text(f"k{i}") + me + b"s" for i in range(100)),
    }
    for name, content in contents.items():
        yield beside(f"cycle of {name}", content, UNCHANGED)
        yield whole(f"cycle of {name} alone", pickled(content), IN_FILE)


# --- Single operations

KNOWN = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def unknown_operations() -> Iterator[Attack]:
    for code in range(256):
        if bytes([code]) not in KNOWN:
            yield beside(f"operation {code:#x}", NONE + bytes([code]))


def known_operations() -> Iterator[Attack]:
    """Each where nothing is that it needs, and where it spoils what is there."""
    for code, opcode in KNOWN.items():
        name, argument = opcode.name, b""
        if opcode.arg:
            argument = b"\0\n\0\n" if opcode.arg.n < 0 else b"\0" * opcode.arg.n
        once = code + argument
        yield whole(f"{name} first", PROTOCOL + once + STOP, IN_FILE)
        yield whole(f"{name} without a start", once, IN_FILE)
        yield whole(f"{name} after a mark", PROTOCOL + b"(" + once + STOP, IN_FILE)
        yield whole(f"{name} cut off", PROTOCOL + b"}" + code, IN_FILE)
        yield behind(f"{name} behind", once, IN_FILE)
        yield behind(f"{name} behind nothing", b"0" + once, IN_FILE)
        yield behind(f"{name} behind a mark", b"(" + once, IN_FILE)
        yield behind(f"{name} with ones", code + b"\xff" * 8, IN_FILE)


WITH_LENGTH = {
    "BINBYTES8": (b"\x8e", "<Q"),
    "BINUNICODE8": (b"\x8d", "<Q"),
    "BYTEARRAY8": (b"\x96", "<Q"),
    "FRAME": (b"\x95", "<Q"),
    "LONG4": (b"\x8b", "<I"),
    "BINSTRING": (b"T", "<I"),
    "BINBYTES": (b"B", "<I"),
    "BINUNICODE": (b"X", "<I"),
}


def lying_lengths() -> Iterator[Attack]:
    sizes = (2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)
    for (name, (code, width)), size in itertools.product(WITH_LENGTH.items(), sizes):
        if size < 256 ** struct.calcsize(width):
            evil = code + struct.pack(width, size)
            yield beside(f"{name} of {size:#x}", evil)
            yield whole(f"{name} of {size:#x} at the end", PROTOCOL + evil)
    for name, code in {"LONG1": b"\x8a", "string": b"U", "bytes": b"C"}.items():
        yield whole(f"{name} beyond the end", PROTOCOL + code + b"\xffab")
    for size in (0, 1, 5, 2**40):
        frame = b"\x95" + struct.pack("<Q", size)
        yield around(f"frame of {size}", b"\x80\4" + frame, STOP, UNCHANGED)
        yield beside(f"frame in a frame of {size}", frame + frame + NONE, UNCHANGED)


def memory_and_texts() -> Iterator[Attack]:
    for index in (2**31 - 1, 2**31, 2**32 - 1):
        yield beside(f"remembered at {index}", memorized(NONE, index), UNCHANGED)
        yield beside(f"nothing at {index}", memo(index))
        many = b"".join(memorized(b"", index - i) for i in range(20))
        yield beside(f"remembered up to {index}", NONE + many, UNCHANGED)
    yield beside("nothing at 9", b"h\x09")
    lines = ("9" * 20, "-1", "x", "", "9" * 5000, "1.5", "0x1", "0_1", "1\0")
    for code, line in itertools.product("gpIL", lines):
        evil = NONE + f"{code}{line}{'L' * (code == 'L')}\n".encode()
        name = f"{KNOWN[code.encode()].name} {line[:9]!a} of {len(line)}"
        yield beside(name, evil, UNCHANGED)
    for line in ("nan", "inf", "1e999", "x", "", "1" * 5000):
        yield beside(f"FLOAT {line[:9]}", f"F{line}\n".encode(), UNCHANGED)
    for line in (r"'\q'", "'open", r"'\x'", "x", '"\\', r"'\ud800'", ""):
        yield beside(f"STRING {line}", f"S{line}\n".encode(), UNCHANGED)
        yield beside(f"UNICODE {line}", f"V{line}\n".encode(), UNCHANGED)
        yield beside(f"PERSID {line}", f"P{line}\n".encode())
    for code in (b"\x82\1", b"\x83\1\1", b"\x84\1\1\0\0", b"\x84\xff\xff\xff\xff"):
        yield beside(f"extension {code!r}", code)
        yield beside(f"extension {code!r} called", code + b")R")
    # Python refuses to print it in decimal.
    digits = b"\x8b" + struct.pack("<i", 3000) + b"\x7f" * 3000
    yield beside("a number of 3,000 bytes", digits, UNCHANGED)
    yield beside("a key of 3,000 bytes", b"}" + digits + b"Ns", UNCHANGED)
    yield beside("a number of 3,000 bytes called", digits + b")R")
    yield beside("a persistent id of 3,000 bytes", digits + b"Q")


def starts_and_ends() -> Iterator[Attack]:
    yield whole("nothing", b"")
    yield whole("only a start", PROTOCOL)
    yield whole("only an end", STOP)
    yield whole("start and end", PROTOCOL + STOP)
    yield whole("zeros", bytes(1000))
    yield whole("text", b"not a pickle at all\n" * 40)
    yield around("no end", PROTOCOL, b"")
    yield around("no start", b"", STOP, UNCHANGED)
    yield around("two starts", PROTOCOL * 2, STOP, UNCHANGED)
    for version in (*range(6), 6, 7, 127, 255):
        start = b"\x80" + bytes([version])
        yield around(f"protocol {version}", start, STOP, UNCHANGED)
    yield behind("a second end", STOP, UNCHANGED)
    yield behind("a second start", PROTOCOL, UNCHANGED)
    yield beside("a start inside", PROTOCOL + NONE, UNCHANGED)
    for kind in ("()", "][", "}N", "NNN", "2", "1", "0", "00", "(1", "(0", "(t0"):
        yield behind(f"{kind} behind", kind.encode(), UNCHANGED)


# --- Bombs


def many_of_one() -> Iterator[Attack]:
    codes = {b"}": "dicts", b"(": "marks", b"2": "doubles", b"\x8f": "sets"}
    for code, name in codes.items():
        yield whole(f"a million {name}", pickled(NONE + code * 10**6))
    for code, name in {b"}": "dicts", b"]": "lists", b")": "tuples"}.items():
        yield beside(f"90,000 {name}", list_of(code * 90_000), UNCHANGED)
    remembered = b"".join(memorized(b"}", i) for i in range(45_000))
    yield beside("45,000 memories", list_of(remembered), UNCHANGED)


def depths() -> Iterator[Attack]:
    """Nested things; whoever walks, compares or prints them meets Python's limit."""
    nested = {
        "100,000 tuples": b")" + b"\x85" * 100_000,
        "100,000 lists": b"]" * 100_000 + b"a" * 99_999,
        "100,000 dicts": (b"}" + text("")) * 100_000 + NONE + b"s" * 100_000,
        "80,000 tuples": b")" + b"\x85" * 80_000,
        "2,000 lists": b"]" * 2_000 + b"a" * 1_999,
        "2,000 marks": b"(" * 2_000 + b"t" * 2_000,
        "2,000 dicts": (b"}" + text("")) * 2_000 + NONE + b"s" * 2_000,
        "2,000 ordered": (NO_HOOKS + text("")) * 2_000 + NONE + b"s" * 2_000,
        "2,000 states": NO_HOOKS * 2_000 + b"b" * 1_999,
        "2,000 calls": GLOBALS["OrderedDict"] * 2_000 + b")" + b"R\x85" * 2_000,
    }
    for name, value in nested.items():
        yield beside(f"{name} as a key", b"}" + value + b"Ns", UNCHANGED)
        if not name.startswith("2,000"):
            continue
        yield beside(name, value, UNCHANGED)
        yield whole(f"{name} alone", pickled(value), IN_FILE)
        yield beside(f"{name} as a persistent id", value + b"Q")
        called = call(GLOBALS["OrderedDict"], value)
        yield beside(f"{name} for a call", called, UNCHANGED)


def doubled(value: bytes, levels: int, both: Callable[[bytes], bytes]) -> bytes:
    """2**levels times the value, in as many levels."""
    for i in range(levels):
        value = memorized(value, 800 + i) + b"0" + both(memo(800 + i))
    return value


def doubled_things() -> Iterator[Attack]:
    """Whoever walks through all of 2**60 never ends."""
    kinds = {
        "tuples": lambda part: tuple_of(part, part),
        "lists": lambda part: list_of(part, part),
        "dicts": lambda part: dict_of({"a": part, "b": part}),
        "lists of dicts": lambda part: list_of(dict_of({"a": part}), part),
    }
    for name, both in kinds.items():
        evil = doubled(b"]", 60, both)
        yield beside(f"doubled {name}", evil, UNCHANGED)
        yield beside(f"doubled {name} as a key", b"}" + evil + b"Ns", UNCHANGED)
        yield beside(f"doubled {name} as a persistent id", evil + b"Q")
        yield beside(f"doubled {name} called", evil + b")R")
    for levels in (7, 20, 60):

        def names(storage: Storage, levels=levels) -> bytes:
            empty = tensor(storage(3, "1"), (0,), (1,))
            return with_good(storage, doubled(empty, levels, kinds["dicts"]))

        yield Attack(f"2**{levels} names", names, IN_FILE)


def growing() -> Iterator[Attack]:
    """A small file that becomes much, by what is copied or joined."""
    make, many = memorized(GLOBALS["OrderedDict"], 600) + b"0", 601
    pairs = list_of(*(tuple_of(text(f"{i}"), NONE) for i in range(2000)))
    big = dict_of({f"{i:02}": NONE for i in range(2000)})
    lists = list_of(NONE * 2000)
    copies = list_of((memo(600) + memo(many) + b"\x85R") * 500)
    states = list_of((memo(600) + b")R" + memo(many) + b"b") * 500)
    tuples = list_of((b"(" + memo(many) * 20 + b"t") * 500)
    for name, first, more in (
        ("copies of 2,000 pairs", pairs, copies),
        ("copies of a dict of 2,000", big, copies),
        ("states of 2,000", big, states),
        ("tuples of 20 lists of 2,000", lists, tuples),
    ):
        evil = make + memorized(first, many) + b"0" + more
        yield beside(f"500 {name}", evil, UNCHANGED)

    def long_names(storage: Storage) -> bytes:
        empty = tensor(storage(3, "1"), (0,), (1,))
        parts = dict_of({f"{i}": empty for i in range(1000)})
        return pickled(b"}" + text("k" * 2**20) + parts + b"s")

    def deep_name(storage: Storage) -> bytes:
        key = memorized(text("k" * 2**20), 600) + b"0"
        empty = tensor(storage(3, "1"), (0,), (1,))
        return pickled(key + (b"}" + memo(600)) * 200 + empty + b"s" * 200)

    yield Attack("1,000 names of a megabyte", long_names)
    yield Attack("a name of 200 megabytes", deep_name)
    for width, depth in ((1000, 1), (140, 2), (5, 6)):
        yield Attack(f"{width}**{depth} long names", many_names(width, depth), IN_FILE)
    yield Attack("5,000 long names of one place", many_names(70, 2, 1), IN_FILE)
    collide = b"".join(number(i * (2**61 - 1)) + NONE for i in range(1, 5_000))
    yield beside("5,000 keys of one hash", b"}(" + collide + b"u", UNCHANGED)
    items = b"".join(text("k" * 40 + f"{i}") + NONE for i in range(40_000))
    yield beside("40,000 keys", b"}(" + items + b"u", UNCHANGED)


def many_names(width: int, depth: int, size: int = 0) -> Callable[[Storage], bytes]:
    """Few operations, width**depth names of 480 characters."""

    def make(storage: Storage) -> bytes:
        value, key = tensor(storage(3, "1"), (size,), (1,)), "k" * (480 // depth)
        for i in range(depth):
            items = {f"{key}{j}": memo(610 + i) for j in range(width)}
            value = memorized(value, 610 + i) + b"0" + dict_of(items)
        return with_good(storage, value)

    return make


def bombs() -> Iterator[Attack]:
    for attacks in (many_of_one, depths, doubled_things, growing):
        yield from attacks()
