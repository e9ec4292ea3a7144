"""Pickles of opcodes, as PyTorch's files have them: good ones, and hostile ones.

What builds a value is bytes that leave it on the stack. Nothing in the hostile ones
does harm where a reader does run it: it makes a file `marker` at most.
"""

import itertools
import pickletools
import struct
from collections.abc import Callable, Iterator, Mapping
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


def pickled(value: bytes) -> bytes:
    return PROTOCOL + value + STOP


# --- A good state dict

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3) + 0.625
BIAS = np.float32([-1.75, 2**-140, 1e30])
VALUES = {"net.weight": WEIGHT, "net.bias": BIAS}
STORAGES = {"0": WEIGHT.tobytes(), "1": BIAS.tobytes()}


def good_items(storage=storage) -> dict[str, bytes]:
    weight = parameter(tensor(storage(6), WEIGHT.shape, (3, 1)))
    bias = tensor(storage(3, "1"), BIAS.shape, (1,))
    return {"net": ordered({"weight": weight, "bias": bias}), "epoch": number(7)}


# --- Attacks

# What a reader may do: refuse the file; or else give the tensors of `good_items` as
# they are, or tensors whose numbers are in the file.
REFUSE, UNCHANGED, IN_FILE = "refuse", "unchanged", "in file"

# Makes a storage as the container of a pickle wants it.
Storage = Callable[..., bytes]


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
    parts = before, after
    return Attack(name, lambda x: dict_of(good_items(x)).join(parts), allowed)


def behind(name: str, evil: bytes, allowed: str = REFUSE) -> Attack:
    """A good state dict that would be the value, were it not for what follows it."""
    return around(name, PROTOCOL, evil + STOP, allowed)


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


# --- Globals

FOREIGN = """
os system; posix system; nt system; os popen; posix execv; os spawnl; os putenv
builtins eval; builtins exec; builtins getattr; builtins __import__; builtins compile
builtins open; builtins map; builtins dict; builtins set; builtins bytearray
__builtin__ eval; __builtin__ getattr; __builtin__ set; io open; io FileIO
subprocess Popen; subprocess check_output; pty spawn; commands getoutput
torch load; torch.serialization load; torch.hub load; torch.jit load; torch Tensor
torch.storage _load_from_bytes; torch.utils.data DataLoader; torch Size; torch device
torch.nn.modules.conv Conv2d; torch._utils _rebuild_qtensor; torch.nn Sequential
torch._tensor _rebuild_from_type_v2; torch._utils _rebuild_sparse_tensor
numpy.core.multiarray _reconstruct; numpy._core.multiarray scalar; numpy dtype
numpy load; numpy fromfile; numpy frombuffer; numpy.core.multiarray scalar; numpy save
functools partial; functools reduce; operator attrgetter; operator methodcaller
operator itemgetter; pickle loads; _pickle loads; _pickle Unpickler; dill loads
joblib load; pathlib PosixPath; pathlib Path.touch; shutil copyfile; socket socket
ctypes CDLL; importlib import_module; runpy run_path; timeit timeit; cProfile run
types FunctionType; types CodeType; code InteractiveInterpreter; codecs open
collections defaultdict; collections Counter; collections namedtuple
copyreg _reconstructor; copy_reg _reconstructor; copyreg add_extension
_codecs encode; argparse Namespace
weakref finalize; threading Thread; logging FileHandler; tempfile mkstemp
Collections OrderedDict; __main__ OrderedDict; typing OrderedDict
collections OrderedDict.fromkeys; collections OrderedDict.__class__
collections OrderedDict.__init__.__globals__; collections _OrderedDict
torch._utils _rebuild_tensor_v2.__globals__; torch._utils _rebuild_tensor_v22
torch _utils._rebuild_tensor_v2; torch.utils _rebuild_tensor_v2; torch os.system
torch FloatStorage.from_file; torch.FloatStorage from_file; os FloatStorage
evil FloatStorage; torch FloatStorageX; torch EvilStorage; torch.cuda EvilStorage
torch.cuda _rebuild_tensor_v2; torch Storage; torch ; collections ; collections Ordered
"""
PYTHON = ("eval", "exec", "compile", "timeit", "run", "map")


# A reader may refuse these before it knows what they ask for.
UNNAMED = ("from the stack", "in pieces")


def short(value: bytes) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value


def ways(module: str, name: str, a: bytes) -> dict[str, bytes]:
    """Ways to get a global and to use it with an argument."""
    function = global_(module, name)
    called, kept = call(function, a), memorized(function, 902) + b"0"
    stacked = short(module.encode()) + short(name.encode()) + b"\x93"
    # Module and name were remembered elsewhere.
    parts = memorized(text(module), 900) + b"0" + memorized(text(name), 901) + b"0"
    pieces = parts + memo(900) + memo(901) + b"\x93"
    pair = tuple_of(text("x"), called)
    return {
        "named": function,
        "called": called,
        "new object": function + tuple_of(a) + b"\x81",
        "with keywords": function + tuple_of(a) + b"}\x92",
        "object": b"(" + function + a + b"o",
        "instance": b"(" + a + f"i{module}\n{name}\n".encode(),
        "built": function + dict_of({"x": a}) + b"b",
        "remembered": kept + call(memo(902), a),
        "its result called": call(called, a),
        "as an argument": call(GLOBALS["OrderedDict"], list_of(pair)),
        "as state": NO_HOOKS + called + b"b",
        "as a persistent id": called + b"Q",
        "as a storage's type": storage(6, "0", name, module=module),
        "from the stack": call(stacked, a),
        "in pieces": call(pieces, a),
    }


def globals_called() -> Iterator[Attack]:
    foreign = FOREIGN.strip("\n").replace("\n", ";").split(";")
    for i, (module, _, name) in enumerate(x.lstrip().partition(" ") for x in foreign):
        argument = "open('marker', 'w')" if name in PYTHON else "touch marker"
        # Each meets a third of the ways, and over three globals all are met.
        for way, evil in list(ways(module, name, text(argument)).items())[i % 3 :: 3]:
            says = "" if way in UNNAMED else f"{module}.{name}"
            yield beside(f"{module}.{name} {way}", evil, says=says)


def odd_names() -> Iterator[Attack]:
    """Names that would spoil the one line of an error."""
    spoilers = ("a\nb", "a\rb", "\x1b[2J", "a\u2028b", "\0", "\x85", "'\"", "\ud800")
    for spoiler in (*spoilers, r"a\q", r"a\nb", r"\x1b[2J", "\u202ex", "x" * 250):
        data, shown = spoiler.encode("utf-8", "surrogatepass"), f"{spoiler[:9]!a}"
        from_stack = short(data) + short(b"system") + b"\x93"
        yield beside(f"{shown} as a module from the stack", from_stack)
        yield beside(f"{shown} called", text(spoiler) + b")R")
        yield beside(f"{shown} as persistent id", text(spoiler) + b"Q")
        yield beside(f"{shown} as a storage's key", storage(6, spoiler))
        if b"\n" not in data:
            yield beside(f"{shown} as a module", b"c" + data + b"\nsystem\n")
            yield beside(f"{shown} as a name", b"cos\n" + data + b"\n")
    yield beside("a name of a megabyte", b"cos\n" + b"x" * 2**20 + b"\n")
    yield beside("a module of a megabyte", b"c" + b"x" * 2**20 + b"\nsystem\n")
    yield beside("a module without an end", b"c" + b"x" * 2**20)
    many = b"".join(b"cos\nf%d\n0" % i for i in range(20_000))
    yield beside("20,000 globals", many + NONE)


# --- What is admitted, used otherwise

SPECIAL = "__class__ __dict__ __reduce__ __setstate__ __init__ __getattr__ keys items"
SPECIAL += " __iter__ __len__ __code__ __globals__ __slots__ shape storage make dtype"
STATE = dict_of({word: number(1) for word in SPECIAL.split()})


def misuses(value: bytes) -> dict[str, bytes]:
    told = {
        "called": value + b")R",
        "called with 2**39": call(value, number(2**39)),
        "called with a list": value + b"]R",
        "made new": value + b")\x81",
        "made new with keywords": value + b")}\x92",
        "appended to": value + b"Na",
        "extended": value + b"(NNe",
        "given an item": value + b"K\1Ns",
        "given items": value + b"(K\1Nu",
        "given half an item": value + b"(K\1u",
        "added to": value + b"(N\x90",
        "as a persistent id": value + b"Q",
        "as a key": b"}" + value + b"Ns",
        "built": value + STATE + b"b",
        "built with slots": value + tuple_of(NONE, STATE) + b"b",
        "as state": NO_HOOKS + value + b"b",
        "as slots": NO_HOOKS + tuple_of(value, value) + b"b",
    }
    for name, function in GLOBALS.items():
        told[f"for a call of {name}"] = call(function, value)
    for name, function in GLOBALS.items():
        told[f"listed for a call of {name}"] = call(function, list_of(value, value))
    return told


# A parameter is made of a tensor, or of another parameter.
PARAMETER, TENSORS = "rebuild of parameters", ("tensor", "parameter")
# These can't be right for any value.
NEVER = ("called with a list", "given half an item", "added to", "as a persistent id")


def admitted_misused() -> Iterator[Attack]:
    for name, use in itertools.product(values(storage), misuses(b"")):

        def make(storage: Storage, name=name, use=use) -> bytes:
            return with_good(storage, misuses(values(storage)[name])[use])

        right = f"for a call of {PARAMETER}" == use and name in TENSORS
        allowed = IN_FILE if right else REFUSE if use in NEVER else UNCHANGED
        yield Attack(f"{name} {use}", make, allowed)


def pairs() -> Iterator[Attack]:
    """An OrderedDict of what is no list of pairs."""
    make = GLOBALS["OrderedDict"]
    one, three = tuple_of(text("a")), tuple_of(text("a"), NONE, NONE)
    contents = {
        "short pairs": list_of(one, one),
        "long pairs": list_of(three),
        "text": text("text"),
        "texts": list_of(text("ab"), text("cd")),
        "empty pairs": list_of(b")", b")"),
        "dict": dict_of({"ab": NONE}),
        "unhashable keys": list_of(tuple_of(b"]", NONE)),
        "numbers": list_of(number(1), number(2)),
        "itself": memorized(b"]", 5) + memo(5) + b"a",
        "itself twice": memorized(b"]", 5) + b"(" + memo(5) + memo(5) + b"e",
    }
    for name, content in contents.items():
        yield beside(f"OrderedDict of {name}", call(make, content), UNCHANGED)
        yield beside(f"OrderedDict of {name}, twice", call(make, content, content))
        yield beside(f"OrderedDict of keywords {name}", make + b")" + content + b"\x92")


# --- Damage and growth

# --- Keys


def with_items(*items: tuple[bytes, Callable[[bytes], bytes]]):
    """A good state dict with items beside it, each made of a small tensor."""

    def make(storage: Storage) -> bytes:
        part = tensor(storage(3, "1"), (0,), (1,))
        more = b"".join(key + value(part) for key, value in items)
        return pickled(dict_of(good_items(storage))[:-1] + more + b"u")

    return make


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
        yield Attack(f"key {name}", with_items((key, under())))
    for key in ("a\nb", "\x1b[2J", "\0", "", ".", "..", "../x", "\ud800", "a" * 600):
        pickle = with_items((text(key), under()))
        yield Attack(f"key {key[:9]!a}", pickle, IN_FILE)
    # Of two tensors whose names are joined to the same, none may get lost.
    collisions = {
        "a dot in a key": [(text("net.bias"), under())],
        "a number and its text": [(number(1), under()), (text("1"), under())],
        "dots in two places": [(text("a"), under("b.c")), (text("a.b"), under("c"))],
        "dots in three places": [
            (text("a"), under("b", "c.d")),
            (text("a"), under("b.c", "d")),
            (text("a.b.c"), under("d")),
            (text("a.b"), under("c.d")),
        ],
        "empty keys": [(text(""), under("")), (text("."), under())],
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


LONG_LENGTHS = ("BINBYTES8", "BINUNICODE8", "BYTEARRAY8", "FRAME")
LENGTHS = (*LONG_LENGTHS, "LONG4", "BINSTRING", "BINBYTES", "BINUNICODE")


def lying_lengths() -> Iterator[Attack]:
    codes = {opcode.name: code for code, opcode in KNOWN.items()}
    sizes = (2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)
    for name, size in itertools.product(LENGTHS, sizes):
        width = "<Q" if name in LONG_LENGTHS else "<I"
        if size < 256 ** struct.calcsize(width):
            evil = codes[name] + struct.pack(width, size)
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


# --- Storages that are not what a file can hold


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
    sizes = {"Double": 3, "Half": 12, "Byte": 24, "Int": 6, "Bool": 6}
    for kind, size in sizes.items():
        kept = global_("torch", f"{kind}Storage")
        parts = (usual[0], kept, *usual[2:4], number(size))
        # Six numbers of one byte are not 24 bytes.
        allowed = REFUSE if kind == "Bool" else IN_FILE
        yield persistent_id(f"of the same bytes as {kind}", *parts, allowed=allowed)
    for kind in ("Quint8", "ComplexFloat", "Untyped", "", "float", "Float8_e4m3fn"):
        parts = (usual[0], global_("torch", f"{kind}Storage"), *usual[2:])
        yield persistent_id(f"of type {kind}", *parts)
    view = tuple_of(text("0"), number(2), number(2))
    for odd in (view, text("0"), number(1), b"]", b"\x88"):
        name = f"with a view {odd[:9]!r}"
        yield persistent_id(name, *usual, view=odd, allowed=IN_FILE)


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


ATTACKS = (globals_called, odd_names, admitted_misused, pairs, keys, cycles)
ATTACKS += (unknown_operations, known_operations, lying_lengths, memory_and_texts)
ATTACKS += (starts_and_ends, bombs, persistent_ids, tensors)
