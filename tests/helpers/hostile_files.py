"""PyTorch's files by hand, good and hostile ones: zips, streams, safetensors.

Torch itself is not needed; test_files.py shows it the good ones.
"""

import bz2
import functools
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from helpers import hostile_pickles as pickles
from helpers.hostile_pickles import (
    BIAS,
    IN_FILE,
    NONE,
    REFUSE,
    STORAGES,
    UNCHANGED,
    WEIGHT,
    Attack,
    dict_of,
    global_,
    good_items,
    legacy_storage,
    list_of,
    number,
    pickled,
    sharing,
    storage,
    text,
    tuple_of,
)

# --- Zip archives


class Member(NamedTuple):
    """A file in an archive; `local` and `central` replace what its headers tell."""

    name: bytes
    data: bytes
    local: dict = {}
    central: dict = {}
    method: int = 0
    stored: bytes | None = None


# Fields of the header before a member, and of the one in the directory.
_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_FIELDS = "magic version flags method time date crc compressed size".split()
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_CENTRAL_FIELDS = "made_by version flags method time date crc compressed size".split()
_END = struct.Struct("<4s4H2IH")


def _local(member: Member, start: int) -> bytes:
    stored = member.data if member.stored is None else member.stored
    padding = -(start + _LOCAL.size + len(member.name) + 4) % 64
    fields = dict.fromkeys(_LOCAL_FIELDS, 0) | {
        "magic": b"PK\3\4",
        "flags": 0x808,
        "method": member.method,
        "name": member.name,
        "extra": struct.pack("<2sH", b"FB", padding) + b"Z" * padding,
        **member.local,
    }
    name, extra = fields.pop("name"), fields.pop("extra")
    header = _LOCAL.pack(*fields.values(), len(name), len(extra)) + name + extra
    told = zlib.crc32(member.data), len(stored), len(member.data)
    return header + stored + struct.pack("<4sIII", b"PK\7\x08", *told)


def _central(member: Member, offset: int) -> bytes:
    stored = member.data if member.stored is None else member.stored
    fields = {"magic": b"PK\1\2"} | dict.fromkeys(_CENTRAL_FIELDS, 0)
    fields |= {
        "flags": 0x808,
        "method": member.method,
        "crc": zlib.crc32(member.data),
        "compressed": len(stored),
        "size": len(member.data),
        "name": member.name,
        "extra": b"",
        "comment": b"",
        "disk": 0,
        "internal": 0,
        "external": 0,
        "offset": offset,
        **member.central,
    }
    texts = [fields.pop(field) for field in ("name", "extra", "comment")]
    values = list(fields.values())
    values[10:10] = [len(value) for value in texts]
    return _CENTRAL.pack(*values) + b"".join(texts)


def zip_file(
    members, before: bytes = b"", comment: bytes = b"", wide=None, **end: int
) -> bytes:
    """An archive of `members` as PyTorch writes one; `end` replaces what its end says.

    Sizes are behind each file, and its data begins at a multiple of 64. With `wide`
    the end is told in the fields of zip64 too, of which `wide` replaces some.
    """
    data, offsets = bytearray(before), []
    for member in members:
        offsets.append(len(data))
        data += _local(member, len(data))
    start = len(data)
    for member, offset in zip(members, offsets, strict=True):
        data += _central(member, offset)
    counts = {"disk": 0, "first_disk": 0, "on_disk": len(members)}
    counts |= {"total": len(members), "size": len(data) - start, "offset": start}
    if wide is not None:
        told = {"place": len(data), **counts, **wide}
        place = told.pop("place")
        head = (b"PK\6\6", 44, 0x31E, 45)
        data += struct.pack("<4sQHHIIQQQQ", *head, *told.values())
        data += struct.pack("<4sIQI", b"PK\6\7", 0, place, 1)
    told = {**counts, **end}.values()
    return bytes(data) + _END.pack(b"PK\5\6", *told, len(comment)) + comment


def deflated(name: bytes, data: bytes, **headers) -> Member:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = packer.compress(data) + packer.flush()
    return Member(name, data, method=8, stored=stored, **headers)


def members_of(pickle: bytes, storages: Mapping[str, bytes], root="archive"):
    numbers = {f"data/{key}": data for key, data in storages.items()}
    files = {"data.pkl": pickle, "byteorder": b"little", **numbers, "version": b"3\n"}
    return [Member(f"{root}/{name}".encode(), data) for name, data in files.items()]


def pth(pickle: bytes, storages: Mapping[str, bytes]) -> bytes:
    return zip_file(members_of(pickle, storages), wide={})


def rewritten(archive: bytes) -> bytes:
    """The same archive, written by Python."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        with zipfile.ZipFile(result, "w") as new:
            for name in old.namelist():
                new.writestr(zipfile.ZipInfo(name), old.read(name))
    return result.getvalue()


# --- Streams before PyTorch 1.6

MAGIC = number(0x1950A86A20F9469CFC6C)
SYSTEM = {"protocol_version": number(1001), "little_endian": b"\x88"}


def stream(pickle: bytes, storages: Mapping[str, bytes], **parts: bytes) -> bytes:
    """Float32 storages behind their keys; `parts` replaces other pickles."""
    told = {
        "magic": MAGIC,
        "protocol": number(1001),
        "system": dict_of(SYSTEM),
        "keys": list_of(*map(text, storages)),
        **parts,
    }
    *start, keys = map(pickled, told.values())
    told = [struct.pack("<q", len(x) // 4) + x for x in storages.values()]
    return b"".join([*start, pickle, keys, *told])


# --- safetensors


def safetensors_file(
    header: Mapping | str | bytes, data: bytes, length: int | None = None
) -> bytes:
    if isinstance(header, Mapping):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    length = len(header) if length is None else length
    return struct.pack("<Q", length) + header + data


# --- Good files


GOOD_PICKLE = pickled(dict_of(good_items()))
STREAM_PICKLE = pickled(dict_of(good_items(legacy_storage)))


def good_pth() -> bytes:
    return pth(GOOD_PICKLE, STORAGES)


def good_stream() -> bytes:
    return stream(STREAM_PICKLE, STORAGES)


def entry(shape, start: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


GOOD_HEADER = {
    "__metadata__": {"format": "pt"},
    "net.weight": entry((2, 3), 0, 24),
    "net.bias": entry((3,), 24, 36),
}
GOOD_DATA = WEIGHT.tobytes() + BIAS.tobytes()


def good_safetensors() -> bytes:
    return safetensors_file(GOOD_HEADER, GOOD_DATA)


GOOD = {
    "zip": (".pth", good_pth),
    "zip of Python": (".pth", lambda: rewritten(good_pth())),
    "stream": (".pth", good_stream),
    "safetensors": (".safetensors", good_safetensors),
}


# --- Cases


class Case(NamedTuple):
    """A file, and what its refusal must say."""

    name: str
    data: bytes
    suffix: str = ".pth"
    allowed: str = REFUSE
    says: str = ""


def in_turns(attacks: Iterator[Attack]) -> Iterator[Case]:
    """The first in a zip, the second in a stream, and so on."""
    containers = (("zip", pth, storage), ("stream", stream, legacy_storage))
    for i, (name, pickle, allowed, says) in enumerate(attacks):
        container, pack, make = containers[i % 2]
        data = pack(pickle(make), STORAGES)
        yield Case(f"{name} ({container})", data, ".pth", allowed, says)


# --- Hostile zips

# The places of a good archive's members.
PICKLE, ORDER, NUMBERS, _, VERSION = range(5)


def good_members() -> list[Member]:
    return members_of(GOOD_PICKLE, STORAGES)


def changed(index: int, **fields) -> list[Member]:
    members = good_members()
    members[index] = members[index]._replace(**fields)
    return members


def archive(name: str, members: list[Member], allowed: str = REFUSE, **end) -> Case:
    return Case(f"{name} (zip)", zip_file(members, **end), allowed=allowed)


lenient = functools.partial(archive, allowed=UNCHANGED)

# --- Names

EVIL_NAMES = """../../evil ../evil a/../../evil /evil /etc/evil //evil \\evil ..\\evil
C:\\evil C:evil C:/evil archive\\evil archive/../evil archive/./evil archive//evil
archive/data/../../../evil archive/data/0/../1 archive/data/2/../../evil
archive/ archive / . .. other/evil other/data/0 archive2/data.pkl data.pkl data/0
archive/evil:stream archive/CON ~/evil archive/~/evil archive/constants.pkl
archive/data/0/ archive/data.pkl/ archive/DATA.PKL archive/data/00"""
BINARY_NAMES = [b"", b"archive/\0", b"archive/data/0\0x", b"archive/data.pkl\0", b"\0"]
BINARY_NAMES += [b"archive/a\nb", b"archive/\x1b[2J", b"archive/\xff\xfe"]
BINARY_NAMES += [b"archive/" + b"d/" * 20_000 + b"x", b"archive/\xe2\x80\xae"]
BINARY_NAMES += [b"x" * 60_000]


def names() -> Iterator[Case]:
    for name in (*map(str.encode, EVIL_NAMES.split()), *BINARY_NAMES):
        shown, evil = f"{name[:40]!r}", Member(name, b"evil" * 6)
        yield lenient(f"last a file {shown}", [*good_members(), evil])
        yield lenient(f"first a file {shown}", [evil, *good_members()])
        for index in (PICKLE, NUMBERS):
            yield archive(f"{shown} for {index}", changed(index, name=name))
            lie = changed(index, local={"name": name})
            yield lenient(f"{shown} locally for {index}", lie)
    for root in ("", "..", "/", "a/b", "C:", "x" * 200, "archive\\", "a\nb"):
        members = members_of(GOOD_PICKLE, STORAGES, root)
        yield lenient(f"root {root[:9]!r}", members)
    for member in good_members():
        name = member.name.decode()
        other = member._replace(data=bytes(len(member.data)))
        yield archive(f"{name} twice", [*good_members(), member])
        yield archive(f"{name} and another", [*good_members(), other])
        yield archive(f"another {name}", [other, *good_members()])
        capitals = member._replace(name=b"archive" + member.name[7:].upper())
        if capitals.name != member.name:
            yield lenient(f"{name} in capitals too", [*good_members(), capitals])
    two = [*good_members(), *members_of(GOOD_PICKLE, STORAGES, "other")]
    yield archive("two roots", two)


# --- Members


def members() -> Iterator[Case]:
    for index, member in enumerate(good_members()):
        name = member.name.decode()
        # The version tells nothing, and bytes are in little order where none is told.
        allowed = UNCHANGED if index in (ORDER, VERSION) else REFUSE
        rest = good_members()
        del rest[index]
        yield archive(f"without {name}", rest, allowed)
        sizes = {"nothing": b"", "less": member.data[:-1], "more": member.data + b"\0"}
        for size, data in sizes.items():
            may = UNCHANGED if (index, size) == (PICKLE, "more") else allowed
            yield archive(f"{size} in {name}", changed(index, data=data), may)
        for crc in (0, 1, zlib.crc32(member.data) ^ 1):
            wrong = changed(index, central={"crc": crc})
            yield archive(f"{name} with checksum {crc}", wrong, allowed)
        for letter in (b"!", b"\0", b"."):
            replaced = changed(index, stored=letter * len(member.data))
            yield archive(f"{name} replaced by {letter!r}", replaced, allowed)
        squeezed = deflated(member.name, member.data)
        yield lenient(f"{name} deflated", changed(index, **squeezed._asdict()))
        for method in (1, 8, 9, 12, 14, 93, 95, 99, 65535):
            unpacked = changed(index, method=method)
            yield archive(f"{name} by method {method}", unpacked, allowed)
        for flags in (1, 0x41, 0x20, 0x2000, 0xFFFF):
            both = {"local": {"flags": flags}, "central": {"flags": flags}}
            yield lenient(f"{name} with flags {flags:#x}", changed(index, **both))
    for order in (b"big", b"middle", b"LITTLE", b"little\n", b"\xff", b"x" * 99):
        allowed = UNCHANGED if order == b"little\n" else REFUSE
        yield archive(f"order {order[:9]!r}", changed(ORDER, data=order), allowed)
    for version in (b"0\n", b"4\n", b"-1", b"x", b"9" * 5000, b"x" * 10**6):
        yield lenient(f"version {version[:9]!r}", changed(VERSION, data=version))
    script = ("constants.pkl", "code/__torch__.py", "data/0", "version")
    script = [Member(f"model/{name}".encode(), GOOD_PICKLE) for name in script]
    yield archive("TorchScript without data.pkl", script)
    module = global_("__torch__.Net", "Net") + b")\x81" + dict_of({}) + b"b"
    script[2] = Member(b"model/data.pkl", pickled(module))
    yield archive("TorchScript", script)._replace(says="__torch__.Net")
    yield archive("no members", [])


# --- Headers

# What a reader has no use for, so that it may tell anything.
IDLE = ("made_by", "version", "internal", "external", "disk")
WIDE = ("crc", "compressed", "size", "offset", "external")


def headers() -> Iterator[Case]:
    values = (0, 1, 2**16 - 1, 2**31, 2**32 - 1)
    for index in (PICKLE, NUMBERS):
        for field in (*IDLE, *WIDE[:-1]):
            for value in values:
                told = {field: value if field in WIDE else value & 0xFFFF}
                right = (field, index, value) == ("offset", PICKLE, 0)
                allowed = UNCHANGED if field in IDLE or right else REFUSE
                case = f"{field} {value:#x} for {index}"
                yield archive(case, changed(index, central=told), allowed)
        for field in ("compressed", "size", "crc", "version", "flags", "method"):
            for value in values:
                told = {field: value if field in WIDE else value & 0xFFFF}
                case = f"local {field} {value:#x} for {index}"
                yield lenient(case, changed(index, local=told))
        for size in (2, 32, 2**20, 2**30):
            both = {"compressed": size, "size": size}
            yield archive(f"{size} bytes for {index}", changed(index, central=both))
        for place, magic in {"local": b"PK\3\5", "central": b"PK\1\3"}.items():
            wrong = changed(index, **{place: {"magic": magic}})
            yield archive(f"wrong {place} magic for {index}", wrong)
        yield from wide_headers(index)
    many = {"extra": struct.pack("<HH", 0x9999, 0) * 16_000}
    yield lenient("16,000 extra fields", changed(NUMBERS, central=many))


def wide_headers(index: int) -> Iterator[Case]:
    """Sizes and places in the extra field of zip64."""
    asked = 2**32 - 1
    for value in (0, 24, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        wide = struct.pack("<Q", value)
        for field in ("size", "compressed", "offset"):
            told = {field: asked, "extra": struct.pack("<HH", 1, 8) + wide}
            case = f"zip64 {field} {value:#x} for {index}"
            yield lenient(case, changed(index, central=told))
        told = dict.fromkeys(("size", "compressed", "offset"), asked)
        told["extra"] = struct.pack("<HH", 1, 24) + wide * 3
        case = f"zip64 of three {value:#x} for {index}"
        yield archive(case, changed(index, central=told))
    for size in (0, 1, 7, 9, 60_000):
        told = {"extra": struct.pack("<HH", 1, size) + b"\0" * min(size, 4)}
        case = f"zip64 of {size} bytes for {index}"
        yield archive(case, changed(index, central={"size": asked, **told}))
        yield lenient(f"{case}, not asked for", changed(index, central=told))


def ends() -> Iterator[Case]:
    good, packed = good_members(), zip_file(good_members())
    start = packed.index(b"PK\1\2")
    size = len(packed) - 22 - start
    for field in ("disk", "first_disk", "on_disk", "total"):
        for value in (0, 1, 4, 6, 0xFFFF):
            yield lenient(f"end of {field} {value}", good, **{field: value})
            yield lenient(f"zip64 end of {field} {value}", good, wide={field: value})
    places = (0, 1, size - 1, size + 1, start - 64, start - 1, start + 1, start + size)
    for place in (*places, 2**31, 2**32 - 1):
        for field in ("size", "offset"):
            yield archive(f"end of {field} {place}", good, **{field: place})
    for place in (*places, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        for field in ("size", "offset", "place", "total", "on_disk"):
            case = f"zip64 end of {field} {place:#x}"
            yield lenient(case, good, wide={field: place})
    for length in (1, 1000, 65535):
        yield lenient(f"comment of {length} bytes", good, comment=b"c" * length)
        missing = packed[:-2] + struct.pack("<H", length)
        yield Case(f"comment of {length} missing bytes", missing, allowed=UNCHANGED)
    yield lenient("an archive as comment", good, comment=packed)
    starts = (b"MZ", b"PK", b"PK\3\4", b"\x80\2", b"#!/bin/sh\n")
    for junk in (b"\0", b"junk" * 9, *starts):
        shown = f"{junk[:9]!r}"
        yield Case(f"{shown} before a zip", junk + packed, allowed=UNCHANGED)
        yield lenient(f"{shown} before, told", good, before=junk)
        yield Case(f"{shown} behind a zip", packed + junk, allowed=UNCHANGED)
    others = {"zip": good_pth(), "stream": good_stream()}
    others["safetensors"] = good_safetensors()
    for name, other in others.items():
        yield Case(f"a {name} before a zip", other + packed, allowed=UNCHANGED)
        yield Case(f"a {name} behind a zip", packed + other, allowed=UNCHANGED)


# --- Bombs


def raw_lzma(data: bytes) -> bytes:
    """LZMA as a zip has it."""
    packed = lzma.compress(data, lzma.FORMAT_ALONE)
    return b"\x09\4\5\0" + packed[:5] + packed[13:]


def packed_bombs() -> Iterator[Case]:
    zeros = bytes(32 * 2**20)
    packers = {8: zlib.compress, 12: bz2.compress, 14: raw_lzma}
    for method, pack in packers.items():
        stored = pack(zeros)[2:-4] if method == 8 else pack(zeros)
        for index in (PICKLE, ORDER, NUMBERS, VERSION):
            for size in (len(zeros), len(good_members()[index].data)):
                told = {"size": size, "compressed": len(stored)}
                told["crc"] = zlib.crc32(zeros)
                bomb = changed(index, method=method, stored=stored, central=told)
                # What nobody reads may be anything.
                allowed = UNCHANGED if index == VERSION else REFUSE
                yield archive(f"{size} bytes by {method} for {index}", bomb, allowed)


def overlapping() -> Iterator[Case]:
    """Members that share their bytes."""
    block = bytes(2**20)
    told = {"size": len(block), "compressed": len(block), "crc": zlib.crc32(block)}
    first = Member(b"archive/data/2", block)
    for count in (2, 200, 5000):
        parts = b"", {}, {**told, "offset": 0}
        more = [Member(f"archive/data/{i + 3}".encode(), *parts) for i in range(count)]
        yield lenient(f"{count} names of one place", [first, *more, *good_members()])
    nested = good_pth()
    for depth in range(1, 9):
        nested = zip_file([Member(b"archive/data.pkl", nested)])
        yield Case(f"archives in archives, {depth}", nested)
    place = zip_file(good_members()).index(b"archive/data/0") - 30
    for index in (PICKLE, ORDER, VERSION):
        there = {"offset": place}
        allowed = UNCHANGED if index == VERSION else REFUSE
        yield archive(f"{index} at a storage", changed(index, central=there), allowed)


def many_members() -> Iterator[Case]:
    extra = {"extra": struct.pack("<HH", 0x9999, 0) * 6}
    kinds = {"": {}, " with comments": {"comment": b"c" * 20}}
    kinds[" with extra fields"] = extra
    for count in (100, 5_000, 9_000, 40_000):
        for name, told in kinds.items():
            parts = b"", {"extra": b""}, told
            empty = [Member(f"archive/{i}".encode(), *parts) for i in range(count)]
            yield lenient(f"{count} members{name}", [*good_members(), *empty])


def shared_storages() -> Iterator[Case]:
    """Many names for the same numbers: each alone is small enough."""
    sizes = ((2, 1), (2, 2), (200, 1), (40, 4), (2000, 1))
    for count, rows in sizes:
        data = bytes(2**20)
        name, numbers = f"{count} names for {rows} rows", (count, 2**18, rows)
        file = pth(sharing(storage, *numbers), {"2": data})
        yield Case(f"{name} (zip)", file, allowed=IN_FILE)
        file = stream(sharing(legacy_storage, *numbers), {"2": data})
        yield Case(f"{name} (stream)", file, allowed=IN_FILE)
    file = pth(sharing(storage, 1000, 10 * 2**18, 1), {"2": bytes(10 * 2**20)})
    yield Case("1,000 names for 10 MB", file, allowed=IN_FILE)


def long_pickles() -> Iterator[Case]:
    for length in (2**20, 12 * 2**20):
        behind = pth(GOOD_PICKLE + bytes(length), STORAGES)
        yield Case(f"{length} bytes behind the pickle", behind, allowed=UNCHANGED)
        idle = pth(b"\x80\2" + b"N0" * (length // 2) + GOOD_PICKLE[2:], STORAGES)
        yield Case(f"{length} bytes for nothing", idle, allowed=UNCHANGED)
        long = pickled(text("x" * length) + b"0" + GOOD_PICKLE[2:-1])
        yield Case(f"a text of {length} bytes", pth(long, STORAGES), allowed=UNCHANGED)


# --- The stream before PyTorch 1.6


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
    for keys in "1 0;0;1;0 1 2;0 0;0 1 1;2 3;;0 ../1;1 0 2".split(";"):
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
    texts = (b"\xff\xfe{}", b'{"\xff": 1}', b"{\0}", b'{"\\ud800": 1}', b"{}\0\0")
    for header in texts:
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


def flips() -> Iterator[Case]:
    files = {name: (make(), bytes, suffix) for name, (suffix, make) in GOOD.items()}
    # What checksums would keep from being damaged.
    start, _, directory = good_pth().partition(b"PK\1\2")
    files |= {
        "pickle in a zip": (GOOD_PICKLE, lambda data: pth(data, STORAGES), ".pth"),
        "directory of a zip": (b"PK\1\2" + directory, start.__add__, ".pth"),
    }
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
STARTS += [b"\0" * 9, b"\0" * 8 + b"{", b"\2" + b"\0" * 7 + b"[]", b"\x1f\x8b\x08"]
STARTS += [b"\n"]
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


GROUPS = {attacks.__name__: of_pickles(attacks) for attacks in pickles.ATTACKS}
GROUPS |= {
    cases.__name__: cases
    for cases in (names, members, headers, ends, packed_bombs, overlapping)
    + (many_members, shared_storages, long_pickles, stream_pickles, stream_data)
    + (safetensors_headers, safetensors_names, safetensors_fields)
    + (safetensors_layouts, truncations, flips, splices, other_files)
}
