"""Pickles that ask for globals: foreign ones, and the admitted ones for other ends."""

import functools
from collections.abc import Callable, Iterator

from helpers.hostile_cases import (
    GLOBALS,
    IN_FILE,
    REFUSE,
    UNCHANGED,
    Attack,
    Storage,
    beside,
    values,
    with_good,
)
from helpers.pytorch_samples import (
    NO_HOOKS,
    NONE,
    call,
    dict_of,
    global_,
    list_of,
    memo,
    memorized,
    number,
    storage,
    text,
    tuple_of,
)

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


def foreign_globals() -> list[list[str]]:
    names = FOREIGN.strip("\n").replace("\n", ";").split(";")
    return [name.lstrip().split(" ", 1) for name in names]


# --- Ways to get and use them


def short(value: bytes) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value


def from_stack(module: str, name: str) -> bytes:
    return short(module.encode()) + short(name.encode()) + b"\x93"


def in_pieces(module: str, name: str) -> bytes:
    """A global whose module and name were remembered elsewhere."""
    parts = memorized(text(module), 900) + b"0" + memorized(text(name), 901) + b"0"
    return parts + memo(900) + memo(901) + b"\x93"


# From module, name and argument to a value.
WAYS = {
    "named": lambda m, n, a: global_(m, n),
    "called": lambda m, n, a: call(global_(m, n), a),
    "new object": lambda m, n, a: global_(m, n) + tuple_of(a) + b"\x81",
    "with keywords": lambda m, n, a: global_(m, n) + tuple_of(a) + b"}\x92",
    "object": lambda m, n, a: b"(" + global_(m, n) + a + b"o",
    "instance": lambda m, n, a: b"(" + a + f"i{m}\n{n}\n".encode(),
    "built": lambda m, n, a: global_(m, n) + dict_of({"x": a}) + b"b",
    "remembered": lambda m, n, a: (
        memorized(global_(m, n), 902) + b"0" + call(memo(902), a)
    ),
    "its result called": lambda m, n, a: call(call(global_(m, n), a), a),
    "as an argument": lambda m, n, a: call(
        GLOBALS["OrderedDict"], list_of(tuple_of(text("x"), call(global_(m, n), a)))
    ),
    "as state": lambda m, n, a: NO_HOOKS + call(global_(m, n), a) + b"b",
    "as a persistent id": lambda m, n, a: call(global_(m, n), a) + b"Q",
    "as a storage's type": lambda m, n, a: storage(6, "0", n, module=m),
    # A reader may refuse these before it knows what they ask for.
    "from the stack": lambda m, n, a: call(from_stack(m, n), a),
    "in pieces": lambda m, n, a: call(in_pieces(m, n), a),
}
UNNAMED = ("from the stack", "in pieces")


def globals_called() -> Iterator[Attack]:
    for i, (module, name) in enumerate(foreign_globals()):
        argument = "open('marker', 'w')" if name in PYTHON else "touch marker"
        # Each meets a third of the ways, and over three globals all are met.
        for way in list(WAYS)[i % 3 :: 3]:
            evil = WAYS[way](module, name, text(argument))
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

MISUSES = {
    "called": lambda value: value + b")R",
    "called with 2**39": lambda value: call(value, number(2**39)),
    "called with a list": lambda value: value + b"]R",
    "made new": lambda value: value + b")\x81",
    "made new with keywords": lambda value: value + b")}\x92",
    "appended to": lambda value: value + b"Na",
    "extended": lambda value: value + b"(NNe",
    "given an item": lambda value: value + b"K\1Ns",
    "given items": lambda value: value + b"(K\1Nu",
    "given half an item": lambda value: value + b"(K\1u",
    "added to": lambda value: value + b"(N\x90",
    "as a persistent id": lambda value: value + b"Q",
    "as a key": lambda value: b"}" + value + b"Ns",
    "built": lambda value: value + STATE + b"b",
    "built with slots": lambda value: value + tuple_of(NONE, STATE) + b"b",
    "as state": lambda value: NO_HOOKS + value + b"b",
    "as slots": lambda value: NO_HOOKS + tuple_of(value, value) + b"b",
    **{
        f"for a call of {name}": functools.partial(call, function)
        for name, function in GLOBALS.items()
    },
    **{
        f"listed for a call of {name}": lambda value, function=function: call(
            function, list_of(value, value)
        )
        for name, function in GLOBALS.items()
    },
}
# A parameter is made of a tensor, or of another parameter.
PARAMETER, TENSORS = "rebuild of parameters", ("tensor", "parameter")
# These can't be right for any value.
WRONG = ("called with a list", "given half an item", "added to", "as a persistent id")


def misused(name: str, misuse: Callable[[bytes], bytes]) -> Callable[[Storage], bytes]:
    return lambda storage: with_good(storage, misuse(values(storage)[name]))


def admitted_misused() -> Iterator[Attack]:
    for name in values(storage):
        for use, misuse in MISUSES.items():
            pickle = misused(name, misuse)
            right = f"for a call of {PARAMETER}" == use and name in TENSORS
            allowed = IN_FILE if right else REFUSE if use in WRONG else UNCHANGED
            yield Attack(f"{name} {use}", pickle, allowed)


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
