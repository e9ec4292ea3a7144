"""Hostile and damaged files of all formats, in groups: zip, stream, safetensors."""

import json
import struct
from collections.abc import Callable, Iterator

import numpy as np

from helpers import hostile_archives, hostile_globals, hostile_pickles, hostile_tensors
from helpers.hostile_cases import IN_FILE, REFUSE, UNCHANGED, Case, in_turns
from helpers.pytorch_samples import (
    BIAS,
    GOOD,
    GOOD_DATA,
    GOOD_HEADER,
    MAGIC,
    NONE,
    STORAGES,
    SYSTEM,
    WEIGHT,
    dict_of,
    entry,
    global_,
    good_items,
    good_pth,
    good_stream,
    legacy_storage,
    list_of,
    number,
    pickled,
    pth,
    safetensors_file,
    stream,
    text,
    tuple_of,
)

# --- The stream before PyTorch 1.6

STREAM_PICKLE = pickled(dict_of(good_items(legacy_storage)))


def stream_of(name, allowed=REFUSE, pickle=STREAM_PICKLE, storages=STORAGES, **parts):
    data = stream(pickle, storages, **parts)
    return Case(f"{name} (stream)", data, allowed=allowed)


def stream_pickles() -> Iterator[Case]:
    """Each of the small pickles around the state dict is something else."""
    odd = {
        "0": number(0),
        "-1": number(-1),
        "1000": number(1000),
        "1002": number(1002),
        "2**40": number(2**40),
        "10**700": number(10**700),
        "None": NONE,
        "text": text("1001"),
        "list": b"]",
        "dict": b"}",
        "OrderedDict": global_("collections", "OrderedDict"),
        "foreign": global_("os", "system"),
        "deep": b"]" * 5_000 + b"a" * 4_999,
        "long": text("x" * 2**20),
    }
    for name, value in odd.items():
        yield stream_of(f"magic number {name}", magic=value)
        yield stream_of(f"protocol {name}", protocol=value)
        yield stream_of(f"system {name}", system=value)
        yield stream_of(f"keys {name}", keys=value)
        yield stream_of(f"key {name}", keys=list_of(text("0"), value))
        three = list_of(text("0"), text("1"), value)
        yield stream_of(f"third key {name}", keys=three)
        order = dict_of({**SYSTEM, "little_endian": value})
        yield stream_of(f"little_endian {name}", system=order)
        version = dict_of({**SYSTEM, "protocol_version": value})
        allowed = REFUSE if name == "foreign" else UNCHANGED
        yield stream_of(f"protocol_version {name}", allowed, system=version)
    big = dict_of({**SYSTEM, "little_endian": b"\x89"})
    yield stream_of("big endian", system=big)
    for keys in (
        "1 0",
        "0",
        "1",
        "0 1 2",
        "0 0",
        "0 1 1",
        "2 3",
        "",
        "0 ../1",
        "1 0 2",
    ):
        listed = list_of(*map(text, keys.split()))
        yield stream_of(f"keys {keys!r}", keys=listed)
    many = list_of(*(text(str(i)) for i in range(30_000)))
    yield stream_of("30,000 keys", keys=many)
    two = tuple_of(text("0"), text("1"))
    yield stream_of("keys in a tuple", UNCHANGED, keys=two)


def stream_data() -> Iterator[Case]:
    plain = good_stream()
    places = {
        "weight": plain.index(struct.pack("<q", 6) + WEIGHT.tobytes()),
        "bias": plain.index(struct.pack("<q", 3) + BIAS.tobytes()),
    }
    sizes = [0, -1, -6, 1, 5, 7, 24, 2**31, 6 * 2**32, 2**40, 2**61, 2**62, 2**63 - 1]
    for (name, place), size in ((p, s) for p in places.items() for s in sizes):
        told = plain[:place] + struct.pack("<q", size) + plain[place + 8 :]
        yield Case(f"{size:#x} numbers of {name} (stream)", told)
    for name, place in places.items():
        told = plain[:place] + plain[place : place + 8][::-1] + plain[place + 8 :]
        yield Case(f"size of {name} in big order (stream)", told)
    for junk in (b"\0", b"junk" * 99, plain, good_pth(), bytes(2**20)):
        shown = f"{len(junk)} bytes"
        yield Case(f"{shown} behind (stream)", plain + junk, allowed=UNCHANGED)
        for name, place in places.items():
            data = plain[:place] + junk + plain[place:]
            yield Case(f"{shown} before {name} (stream)", data)
    for junk in (b"\0", b"MZ", b"\x80\2", b"\x80\2N.", b"N."):
        # A second start of a pickle is nothing.
        allowed = UNCHANGED if junk == b"\x80\2" else REFUSE
        yield Case(f"{junk!r} before (stream)", junk + plain, allowed=allowed)
    for count in range(5):
        yield Case(f"{count} magic numbers alone", pickled(MAGIC) * count)
    items = good_items(legacy_storage)
    more = pickled(dict_of({**items, "more": legacy_storage(6, "2")}))
    yield stream_of("a storage that is missing", pickle=more)
    without = pickled(dict_of({"a": number(1)}))
    yield stream_of("without tensors", IN_FILE, pickle=without)
    yield stream_of("without storages", storages={})
    yield stream_of("with a third storage", storages={**STORAGES, "2": bytes(24)})
    lists = pickled(b"]" * 90_000)
    yield Case("90,000 lists, four times (stream)", lists * 4)


def streams() -> Iterator[Case]:
    yield from stream_pickles()
    yield from stream_data()


# --- safetensors


def tensors_of(name, header, data=GOOD_DATA, length=None, allowed=REFUSE) -> Case:
    file = safetensors_file(header, data, length)
    return Case(f"{name} (safetensors)", file, ".safetensors", allowed)


GOOD_TEXT = json.dumps(GOOD_HEADER)
NO_HEADERS = """{ [] null 1 "text" {{}} {"a"} {"a":} {"a":1} {"a":null} {"a":[]}
{"a":{}} {"a":"b"} {,} {"__metadata__":1} {"__metadata__":{"a":1}} {"__metadata__":[]}
{"__metadata__":{"a":{"b":"c"}}} {'a':1} {NaN} {"a":NaN} {} {"__metadata__":null}"""


def safetensors_headers() -> Iterator[Case]:
    size = len(GOOD_TEXT)
    lengths = (0, 1, 2, 10, size - 1, size + 1, size + len(GOOD_DATA), 10**5, 10**8)
    for length in (*lengths, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1):
        case = f"header of {length:#x} bytes"
        yield tensors_of(case, GOOD_TEXT, length=length)
    broken = ("not JSON", GOOD_TEXT[:-1], GOOD_TEXT + "x", "{" * 1000)
    for i, header in enumerate((*NO_HEADERS.split(), *broken)):
        yield tensors_of(f"header {i}, {header[:30]}", header)
    for header in (b"{}", b"{}   ", b'{"__metadata__":{}}'):
        yield tensors_of(f"no tensors: {header!r}", header, b"", allowed=IN_FILE)
    for header in (
        b"\xff\xfe{}",
        b'{"\xff": 1}',
        b"{\0}",
        b'{"\\ud800": 1}',
        b"{}\0\0",
    ):
        yield tensors_of(f"header {header!r}", header)
    for depth in (100, 1000, 100_000):
        for left, right in ("[]", ('{"a":', "}"), ("[{", "}]")):
            deep, name = left * depth + right * depth, f"{depth} times {left}"
            yield tensors_of(f"header of {name}", deep)
            yield tensors_of(f"tensor of {name}", f'{{"a": {deep}}}')
            yield tensors_of(f"metadata of {name}", f'{{"__metadata__": {deep}}}')
    for fill in (b" ", b"\0", b"\n"):
        for count in (1, 7, 10_000, 2**20):
            for header in (GOOD_TEXT.encode() + fill * count, fill * count + b"{}"):
                case = f"{count} of {fill!r} in {header[:1]!r}"
                yield tensors_of(case, header, allowed=UNCHANGED)
    notes = {str(i): "x" for i in range(50_000)}
    noted = {"__metadata__": notes, **GOOD_HEADER}
    yield tensors_of("50,000 pieces of metadata", noted, allowed=UNCHANGED)
    empty = {f"{i}": entry((0,), 36, 36) for i in range(2_000)}
    header = {**GOOD_HEADER, **empty}
    yield tensors_of("2,000 empty tensors", header, allowed=IN_FILE)
    # 50 MB.
    tiny = b'{"":1' + b',"":1' * 10**7 + b"}"
    yield tensors_of("ten million entries", tiny)


def safetensors_names() -> Iterator[Case]:
    names = ("a\nb", "\x1b[2J", "", "\0", "\u2028", "\ud800", "a" * 300, "a" * 10_000)
    for name in names:
        header = {name: entry((9,), 0, 36)}
        yield tensors_of(f"name {name[:9]!a} of {len(name)}", header, allowed=IN_FILE)
    yield tensors_of("tensor __metadata__", {"__metadata__": entry((9,), 0, 36)})
    twice = f'{GOOD_TEXT[:-1]}, "net.bias": '
    same, other = json.dumps(entry((3,), 24, 36)), json.dumps(entry((3,), 0, 12))
    yield tensors_of("a name twice", f"{twice}{same}}}", allowed=UNCHANGED)
    yield tensors_of("a name twice, elsewhere", f"{twice}{other}}}")
    fields = '"dtype": "F32", "data_offsets": [0, 36], "shape": [9], "shape": [3, 3]'
    yield tensors_of("a shape twice", f'{{"a": {{{fields}}}}}', allowed=IN_FILE)
    metadata = '{"__metadata__": {},' + GOOD_TEXT[1:]
    yield tensors_of("metadata twice", metadata, allowed=UNCHANGED)


def one_tensor(name: str, allowed: str = REFUSE, **fields) -> Case:
    """A file whose first tensor has other fields; those that are `...` are left out."""
    told = {**GOOD_HEADER["net.weight"], **fields}
    told = {field: value for field, value in told.items() if value is not ...}
    header = {**GOOD_HEADER, "net.weight": told}
    return tensors_of(name, header, allowed=allowed)


def safetensors_fields() -> Iterator[Case]:
    kinds = "f32 F33 F4 F64 F16 I64 BOOL C64 U64 F8_E4M3 F8_E5M2 F8_E8M0 F6_E2M3 I128"
    kinds += " object O U1 V9 <f4 float32 torch.float32"
    odd = ("", "F\n99", "F\x1b[2J", "\u2028", "\u202e", "\ud800", "F" * 5000)
    for kind in (*kinds.split(), *odd, None, 1, [], {}, True):
        yield one_tensor(f"dtype {str(kind)[:9]!a}", dtype=kind)
    yield one_tensor("dtype I32", IN_FILE, dtype="I32")
    numbers = (-1, 1.5, 2.0, "2", None, [], {}, True, 1e30, 10**99)
    for odd in (*numbers, 2**31, 2**32 + 2, 2**62, 2**63, 2**64, 2**64 + 2):
        yield one_tensor(f"size {odd}", shape=[odd, 3])
        yield one_tensor(f"start {odd}", data_offsets=[odd, 24])
        yield one_tensor(f"end {odd}", data_offsets=[0, odd])
        yield one_tensor(f"start and end {odd}", data_offsets=[odd, odd])
    wrong = ([], [6, 1, 1, 2], [24], [0], [2, 3, 2**32, 2**32], [2**32] * 2, [2**63, 2])
    for shape in (*wrong, None, 1, "23", {"0": 2}, [[2, 3]]):
        yield one_tensor(f"shape {shape}", shape=shape)
    yield one_tensor("shape [3, 2]", IN_FILE, shape=[3, 2])
    for odd in (None, 1, "x", [], [0], [0, 24, 24], {"0": 0}, [0, 24.0], "0,24"):
        yield one_tensor(f"places {odd}", data_offsets=odd)
    places = ((0, 20), (0, 28), (4, 28), (12, 36), (24, 0), (36, 60), (24, 36))
    for start, end in (*places, (2**63, 24), (0, 2**62), (2**64 - 24, 2**64 - 1)):
        yield one_tensor(f"from {start} to {end}", data_offsets=[start, end])
    for field in ("dtype", "shape", "data_offsets"):
        yield one_tensor(f"without {field}", **{field: ...})
    yield one_tensor("something more", UNCHANGED, more=1)


def safetensors_layouts() -> Iterator[Case]:
    shapes = ([0, 2**62, 2**62], [2**62, 0, 2**62], [0, 2**40], [0] * 65, [0] * 100_000)
    for shape in (*shapes, [0, 2**63], [2**64 - 1, 0]):
        header = {**GOOD_HEADER, "empty": entry(shape, 36, 36)}
        case = f"empty of {len(shape)} dimensions, {str(shape)[:40]}"
        yield tensors_of(case, header, allowed=IN_FILE)
    for count in (32, 33, 64, 65, 1000, 100_000):
        header = {"a": entry((*[1] * count, 9), 0, 36)}
        yield tensors_of(f"{count} dimensions", header, allowed=IN_FILE)
    gap = {**GOOD_HEADER, "net.bias": entry((3,), 28, 40)}
    yield tensors_of("a gap", gap, GOOD_DATA + bytes(4))
    yield tensors_of("a tail", GOOD_HEADER, GOOD_DATA + bytes(4))
    yield tensors_of("no data", GOOD_HEADER, b"")
    overlaps = {f"{i}": entry((6,), i, i + 24) for i in range(0, 16, 4)}
    yield tensors_of("overlaps", overlaps)
    shared = {f"{i}": entry((9,), 0, 36) for i in range(1000)}
    yield tensors_of("1,000 names of one place", shared)
    long = {f"{i}": entry((10 * 2**18,), 0, 10 * 2**20) for i in range(1000)}
    yield tensors_of("1,000 names for 10 MB", long, bytes(10 * 2**20))


def safetensors_files() -> Iterator[Case]:
    yield from safetensors_headers()
    yield from safetensors_names()
    yield from safetensors_fields()
    yield from safetensors_layouts()


# --- Damage at random


def may_be(name: str) -> str:
    """Checksums hold the names and numbers of tensors in a zip; not elsewhere."""
    held = name.startswith("zip") or name == "directory of a zip"
    return UNCHANGED if held else IN_FILE


def truncations() -> Iterator[Case]:
    for name, (suffix, make) in GOOD.items():
        data, random = make(), np.random.default_rng(0)
        ends = {*range(40), *range(len(data) - 70, len(data))}
        for mark in (b"PK", b"\x80\2", b"."):
            starts = [i for i in range(len(data)) if data.startswith(mark, i)]
            ends |= {start + step for start in starts for step in (-1, 0, 1, 4)}
        ends |= {*random.integers(0, len(data), 200).tolist()}
        for end in sorted(end for end in ends if 0 <= end < len(data)):
            yield Case(f"{end} bytes of a {name}", data[:end], suffix)


def with_checksum() -> dict[str, tuple[bytes, Callable[[bytes], bytes]]]:
    """What checksums would keep from being damaged, and a zip made of it."""
    pickle, headers = hostile_archives.GOOD_PICKLE, good_pth()
    start = headers.index(b"PK\1\2")
    return {
        "pickle in a zip": (pickle, lambda data: pth(data, STORAGES)),
        "directory of a zip": (headers[start:], lambda data: headers[:start] + data),
    }


def flips() -> Iterator[Case]:
    files = {name: (make(), bytes, suffix) for name, (suffix, make) in GOOD.items()}
    files |= {name: (*parts, ".pth") for name, parts in with_checksum().items()}
    for name, (data, pack, suffix) in files.items():
        random = np.random.default_rng(1)
        for i in range(200):
            broken = np.frombuffer(data, np.uint8).copy()
            places = random.integers(0, len(data), 1 + i % 3)
            if i % 2:
                broken[places] = random.choice([0, 1, 127, 128, 255], places.size)
            else:
                bits = random.integers(0, 8, places.size).astype(np.uint8)
                broken[places] ^= np.uint8(1) << bits
            case = f"{i}: bytes {places.tolist()} of a {name}"
            yield Case(case, pack(broken.tobytes()), suffix, may_be(name))


def splices() -> Iterator[Case]:
    files = [make() for _, make in GOOD.values()]
    random = np.random.default_rng(2)
    for name, (suffix, make) in GOOD.items():
        data = make()
        for i in range(30):
            left, right = sorted(random.integers(0, len(data), 2).tolist())
            other = files[random.integers(len(files))]
            start, end = sorted(random.integers(0, len(other), 2).tolist())
            parts = {
                "dropped": data[:left] + data[right:],
                "doubled": data[:right] + data[left:],
                "inserted": data[:left] + other[start:end] + data[left:],
                "replaced": data[:left] + other[start:end] + data[right:],
            }
            for kind, spliced in parts.items():
                yield Case(f"{name}, {kind} {i}", spliced, suffix, may_be(name))


# --- Other files

STARTS = [b"", b"P", b"PK", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x80", b"\x80\2", b"{"]
STARTS += [
    b"\0" * 9,
    b"\0" * 8 + b"{",
    b"\2" + b"\0" * 7 + b"[]",
    b"\x1f\x8b\x08",
    b"\n",
]
STARTS += [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"]
STARTS += [b"<!DOCTYPE html><html>404</html>", b"\x89HDF\r\n\x1a\n" + bytes(99)]
STARTS += [b"\x93NUMPY\1\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"]
STARTS += [b"storages" + bytes(504) + b"0ustar  " + bytes(1000), b"#!/bin/sh\n"]


def other_files() -> Iterator[Case]:
    for suffix in (".pth", ".safetensors", ".pt", ""):
        for start in STARTS:
            yield Case(f"{start[:20]!r} as {suffix!r}", start, suffix)
        for name, (_, make) in GOOD.items():
            yield Case(f"{name} as {suffix!r}", make(), suffix, UNCHANGED)


# --- All of them


def of_pickles(attacks: Callable) -> Callable[[], Iterator[Case]]:
    return lambda: in_turns(attacks())


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "foreign globals": of_pickles(hostile_globals.globals_called),
    "odd names": of_pickles(hostile_globals.odd_names),
    "admitted globals": of_pickles(hostile_globals.admitted_misused),
    "pairs": of_pickles(hostile_globals.pairs),
    "keys": of_pickles(hostile_pickles.keys),
    "cycles": of_pickles(hostile_pickles.cycles),
    "unknown operations": of_pickles(hostile_pickles.unknown_operations),
    "known operations": of_pickles(hostile_pickles.known_operations),
    "lying lengths": of_pickles(hostile_pickles.lying_lengths),
    "memory and texts": of_pickles(hostile_pickles.memory_and_texts),
    "starts and ends": of_pickles(hostile_pickles.starts_and_ends),
    "bombs in pickles": of_pickles(hostile_pickles.bombs),
    "persistent ids": of_pickles(hostile_tensors.persistent_ids),
    "tensors": of_pickles(hostile_tensors.tensors),
    "names in zips": hostile_archives.names,
    "members of zips": hostile_archives.members,
    "headers of zips": hostile_archives.headers,
    "ends of zips": hostile_archives.ends,
    "bombs in zips": hostile_archives.bombs,
    "streams": streams,
    "safetensors": safetensors_files,
    "truncations": truncations,
    "flips": flips,
    "splices": splices,
    "other files": other_files,
}
