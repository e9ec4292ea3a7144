"""PyTorch's files by hand: pickles of opcodes, and the containers around them.

What is here is bytes of a pickle that leave one value on its stack. Torch itself is
not needed; test_pytorch_files.py shows it files made of these.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

PROTOCOL = b"\x80\x02"
STOP = b"."
NONE = b"N"
NO_HOOKS = b"ccollections\nOrderedDict\n)R"

# --- Values


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(data) < 256:
        return b"\x8a" + bytes([len(data)]) + data
    return b"\x8b" + struct.pack("<i", len(data)) + data


def floating(value: float) -> bytes:
    return b"G" + struct.pack(">d", value)


def global_(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def list_of(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def items_of(items: Mapping[str, bytes]) -> bytes:
    return b"(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def dict_of(items: Mapping[str, bytes]) -> bytes:
    return b"}" + items_of(items)


def ordered(items: Mapping[str, bytes]) -> bytes:
    return NO_HOOKS + items_of(items)


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


def memo(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def memorized(value: bytes, index: int) -> bytes:
    return value + b"r" + struct.pack("<I", index)


# --- Storages and tensors


def storage(
    num_elements: int,
    key: str = "0",
    kind: str = "FloatStorage",
    *view: bytes,
    module: str = "torch",
    device: str = "cpu",
) -> bytes:
    """A storage; those of streams before PyTorch 1.6 have a `view`, mostly None."""
    parts = (text(key), text(device), number(num_elements), *view)
    return tuple_of(text("storage"), global_(module, kind), *parts) + b"Q"


def legacy_storage(num_elements: int, key="0", kind="FloatStorage", **more) -> bytes:
    return storage(num_elements, key, kind, NONE, **more)


def shape_of(*sizes: int) -> bytes:
    return tuple_of(*(number(size) for size in sizes))


def tensor(storage: bytes, shape, strides, offset: int = 0) -> bytes:
    parts = (number(offset), shape_of(*shape), shape_of(*strides), b"\x89", NO_HOOKS)
    return call(global_("torch._utils", "_rebuild_tensor_v2"), storage, *parts)


def parameter(data: bytes) -> bytes:
    rebuild = global_("torch._utils", "_rebuild_parameter")
    return call(rebuild, data, b"\x88", NO_HOOKS)


# --- Zip archives


class Member(NamedTuple):
    """A file in an archive; `local` and `central` replace what its headers tell."""

    name: bytes
    data: bytes
    local: dict = {}
    central: dict = {}
    method: int = 0
    stored: bytes | None = None


_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")


def _local(member: Member, start: int) -> bytes:
    stored = member.data if member.stored is None else member.stored
    padding = -(start + _LOCAL.size + len(member.name) + 4) % 64
    fields = {
        "magic": b"PK\3\4",
        "version": 0,
        "flags": 0x808,
        "method": member.method,
        "time": 0,
        "date": 0,
        "crc": 0,
        "compressed": 0,
        "size": 0,
        "name": member.name,
        "extra": struct.pack("<2sH", b"FB", padding) + b"Z" * padding,
        **member.local,
    }
    name, extra = fields.pop("name"), fields.pop("extra")
    header = _LOCAL.pack(*fields.values(), len(name), len(extra)) + name + extra
    told = struct.pack(
        "<4sIII", b"PK\7\x08", zlib.crc32(member.data), len(stored), len(member.data)
    )
    return header + stored + told


def _central(member: Member, offset: int) -> bytes:
    stored = member.data if member.stored is None else member.stored
    fields = {
        "magic": b"PK\1\2",
        "made_by": 0,
        "version": 0,
        "flags": 0x808,
        "method": member.method,
        "time": 0,
        "date": 0,
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
    files = {"data.pkl": pickle, "byteorder": b"little"}
    files |= {f"data/{key}": data for key, data in storages.items()}
    files["version"] = b"3\n"
    return [Member(f"{root}/{name}".encode(), data) for name, data in files.items()]


def pth(pickle: bytes, storages: Mapping[str, bytes], root: str = "archive") -> bytes:
    return zip_file(members_of(pickle, storages, root), wide={})


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


def pickled(value: bytes) -> bytes:
    return PROTOCOL + value + STOP


def stream(
    pickle: bytes,
    storages: Mapping[str, bytes],
    magic: bytes = MAGIC,
    protocol: bytes = number(1001),
    system: bytes = dict_of(SYSTEM),
    keys: bytes | None = None,
    item_size: int = 4,
) -> bytes:
    if keys is None:
        keys = list_of(*map(text, storages))
    parts = [*map(pickled, (magic, protocol, system)), pickle, pickled(keys)]
    for data in storages.values():
        parts += [struct.pack("<q", len(data) // item_size), data]
    return b"".join(parts)


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

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3) + 0.625
BIAS = np.float32([-1.75, 2**-140, 1e30])
VALUES = {"net.weight": WEIGHT, "net.bias": BIAS}
STORAGES = {"0": WEIGHT.tobytes(), "1": BIAS.tobytes()}


def good_items(storage=storage) -> dict[str, bytes]:
    weight = parameter(tensor(storage(6), WEIGHT.shape, (3, 1)))
    bias = tensor(storage(3, "1"), BIAS.shape, (1,))
    return {"net": ordered({"weight": weight, "bias": bias}), "epoch": number(7)}


def good_pth(**more: bytes) -> bytes:
    return pth(pickled(dict_of({**good_items(), **more})), STORAGES)


def good_stream(**more: bytes) -> bytes:
    items = {**good_items(legacy_storage), **more}
    return stream(pickled(dict_of(items)), STORAGES)


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
