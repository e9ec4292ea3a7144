"""Zip archives that lie: names, members, headers, ends, and bombs."""

import bz2
import functools
import lzma
import struct
import zlib
from collections.abc import Iterator

from helpers.hostile_cases import IN_FILE, REFUSE, UNCHANGED, Case
from helpers.hostile_tensors import sharing
from helpers.pytorch_samples import (
    STORAGES,
    Member,
    deflated,
    dict_of,
    global_,
    good_items,
    good_pth,
    good_safetensors,
    good_stream,
    legacy_storage,
    members_of,
    pickled,
    pth,
    storage,
    stream,
    text,
    zip_file,
)

GOOD_PICKLE = pickled(dict_of(good_items()))
# The places of a good archive's members.
PICKLE, ORDER, WEIGHT, _, VERSION = range(5)


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
        for index in (PICKLE, WEIGHT):
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
        for size, data in {
            "nothing": b"",
            "less": member.data[:-1],
            "more": member.data + b"\0",
        }.items():
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
    for index in (PICKLE, WEIGHT):
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
    yield lenient("16,000 extra fields", changed(WEIGHT, central=many))


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
    for junk in (
        b"\0",
        b"junk" * 9,
        b"MZ",
        b"PK",
        b"PK\3\4",
        b"\x80\2",
        b"#!/bin/sh\n",
    ):
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
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = {8: packer.compress(zeros) + packer.flush(), 12: bz2.compress(zeros)}
    packed[14] = raw_lzma(zeros)
    for method, stored in packed.items():
        for index in (PICKLE, ORDER, WEIGHT, VERSION):
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
        more = [
            Member(f"archive/data/{i + 3}".encode(), b"", {}, {**told, "offset": 0})
            for i in range(count)
        ]
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
    for count in (100, 5_000, 9_000, 40_000):
        for name, told in {
            "": {},
            " with comments": {"comment": b"c" * 20},
            " with extra fields": {"extra": struct.pack("<HH", 0x9999, 0) * 6},
        }.items():
            short = {"extra": b""}
            empty = [
                Member(f"archive/{i}".encode(), b"", short, told) for i in range(count)
            ]
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


def bombs() -> Iterator[Case]:
    kinds = (packed_bombs, overlapping, many_members, shared_storages, long_pickles)
    for cases in kinds:
        yield from cases()
