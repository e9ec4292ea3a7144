"""PyTorch's files, read against what PyTorch wrote, and written for PyTorch to read."""

import argparse
import collections
import fractions
import io
import json
import math
import pathlib
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.hostile_files import GOOD, entry, pth, safetensors_file, stream
from helpers.hostile_pickles import (
    BIAS,
    STORAGES,
    VALUES,
    WEIGHT,
    call,
    dict_of,
    global_,
    legacy_storage,
    list_of,
    number,
    parameter,
    pickled,
    shape_of,
    storage,
    tensor,
)

from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch.files import read, write_pth, write_safetensors

NAMES = "float32 float16 float64 int64 int32 int16 int8 uint8 bool"
DTYPES = {getattr(torch, name): np.dtype(name) for name in NAMES.split()}
DTYPES[torch.bfloat16] = ml_dtypes.bfloat16


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: these tests need no TensorFlow."""
    torch.manual_seed(0)


def bits(values: torch.Tensor) -> bytes:
    """The numbers of a tensor, row by row, as they are in memory."""
    if not values.numel():
        return b""  # Its strides may be 0, which a view does not like.
    return bytes(values.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def assert_same(arrays: dict[str, np.ndarray], expected: dict[str, torch.Tensor]):
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert arrays[name].shape == tuple(values.shape), name
        assert arrays[name].dtype == DTYPES[values.dtype], name
        assert arrays[name].tobytes() == bits(values), name


def random_tensor(random, dtype=torch.float32, shape=None) -> torch.Tensor:
    """Any bits at all, with not-a-numbers and subnormals."""
    if shape is None:
        shape = random.integers(0, 5, random.integers(0, 5)).tolist()
    data = random.bytes(math.prod(shape) * dtype.itemsize)
    if dtype == torch.bool:
        data = bytes(byte & 1 for byte in data)
    values = torch.tensor(list(data), dtype=torch.uint8)
    return values.view(dtype).reshape(shape)


def random_names(random) -> list[str]:
    letters = list("abz019_ -/é界'\"\\") + [".weight", ".0", "\n"]
    names = (random.choice(letters, random.integers(1, 9)) for _ in range(5))
    return sorted({"".join(name) for name in names})[: random.integers(1, 6)]


# --- Files of PyTorch


def save_zip(value, path):
    torch.save(value, path)


def save_stream(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


PICKLED = {"zip": save_zip, "stream": save_stream}
SAVERS = {**PICKLED, "safetensors": safetensors.torch.save_file}

pickled_files = pytest.mark.parametrize("save", PICKLED.values(), ids=PICKLED)
all_files = pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)


def arrays_of(path) -> dict[str, np.ndarray]:
    tensors = read(path)
    arrays = {name: part.numpy() for name, part in tensors.items()}
    for name, array in arrays.items():
        assert (tensors[name].shape, tensors[name].dtype) == (array.shape, array.dtype)
    return arrays


@pytest.fixture
def read_back(tmp_path):
    """Saves a value and reads it."""

    def run(save, value) -> dict[str, np.ndarray]:
        save(value, tmp_path / "file")
        return arrays_of(tmp_path / "file")

    return run


@all_files
def test_numbers_of_each_type_and_any_name_are_read_to_the_bit(save, read_back):
    random = np.random.default_rng(0)
    shapes = {"many": (3, 4, 5), "one": (1,), "scalar": (), "none": (0, 3)}
    for dtype in DTYPES:
        tensors = {n: random_tensor(random, dtype, s) for n, s in shapes.items()}
        assert_same(read_back(save, tensors), tensors)
    for _ in range(100):
        names = random_names(random)
        dtypes = random.choice(list(DTYPES), len(names))
        tensors = {
            name: random_tensor(random, dtype)
            for name, dtype in zip(names, dtypes, strict=True)
        }
        assert_same(read_back(save, tensors), tensors)


@pickled_files
def test_views_are_read_row_by_row(save, read_back):
    whole, rows = torch.arange(120.0), torch.rand(6, 4)
    grid = whole.reshape(2, 3, 4, 5)
    tensors = {
        "offset": whole[7:19],
        "every third": torch.arange(30)[1::3],
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "permuted": grid.permute(3, 1, 0, 2),
        "inner": torch.arange(49.0).reshape(7, 7)[2:5, 1:6:2],
        "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "single": torch.arange(9.0)[4],
        "none": torch.arange(9.0)[9:],
        # Several of one storage.
        "top": rows[:2],
        "left": rows[2:, :1],
        "right": rows[2:, 1:],
    }
    assert tensors["channels last"].stride() == (60, 1, 15, 3)
    for i, shape in enumerate([(3, 0), (0, 3), (2, 0, 4), (0, 0), (1, 0, 1)]):
        tensors[f"empty {i}"] = torch.ones(shape)
        tensors[f"expanded {i}"] = torch.ones(2)[2:].expand(*shape[:-1], 0)
    assert_same(read_back(save, tensors), tensors)


@pickled_files
def test_tied_weights_are_read_under_both_names(save, read_back):
    layers = [torch.nn.Linear(3, 3) for _ in range(2)]
    layers[1].weight = layers[0].weight
    state = torch.nn.Sequential(*layers).state_dict()
    assert state["0.weight"].data_ptr() == state["1.weight"].data_ptr()
    assert_same(read_back(save, state), state)


@all_files
@pytest.mark.parametrize("keep_vars", [False, True])
def test_state_dict_of_a_model_is_read(save, keep_vars, read_back):
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU()]
    state = torch.nn.Sequential(*layers).state_dict(keep_vars=keep_vars)
    assert isinstance(state["0.weight"], torch.nn.Parameter) == keep_vars
    assert "1.num_batches_tracked" in state
    assert_same(read_back(save, dict(state)), state)
    if save is not safetensors.torch.save_file:
        assert state._metadata
        assert_same(read_back(save, state), state)


def test_safetensors_are_read_whatever_their_header_is_long(tmp_path):
    # The first bytes are its length: that of a pickle begins with 0x80, a zip with PK.
    for length in (256, 128, 0x80 + 3 * 2**8, 0x4B50, 0x4B50 + 2**16):
        header = json.dumps({"a": entry((9,), 0, 36)}).encode()
        data = safetensors_file(header.ljust(length), WEIGHT.tobytes() + BIAS.tobytes())
        (tmp_path / "file").write_bytes(data)
        assert_same(arrays_of(tmp_path / "file"), safetensors.torch.load(data))


@pickled_files
def test_names_of_nested_dictionaries_are_joined_in_their_order(save, read_back):
    generator = torch.nn.Linear(2, 3)
    state = {"step": torch.tensor(1.0), "exp_avg": torch.rand(3, 2)}
    optimizer = {"state": {0: state, 1: state}, "param_groups": [{"lr": 1e-3}]}
    checkpoint = {
        "z": torch.ones(1),
        "epoch": 7,
        "state_dict": {"netG_A": generator.state_dict(), "netG_B": {}},
        "optimizer": optimizer,
        "losses": [torch.ones(2), 0.5],
        "others": (torch.ones(2), "text", None, True, 2**70, -1.5, [{}]),
        "step": torch.tensor(3),
        "a": torch.ones(1),
    }
    expected = {"z": torch.ones(1)}
    for name, values in generator.state_dict().items():
        expected[f"state_dict.netG_A.{name}"] = values
    for index in (0, 1):
        expected |= {f"optimizer.state.{index}.{k}": v for k, v in state.items()}
    expected |= {"step": torch.tensor(3), "a": torch.ones(1)}
    found = read_back(save, checkpoint)
    assert_same(found, expected)
    assert list(found) == list(expected)


PLAIN = {
    "numpy scalars": [np.float64(3), np.int64(-1), np.bool_(True), np.str_("ab c")],
    "numpy dtypes and arrays": {"a": np.dtype("<f4"), "b": np.ones((2, 3)), "c": "x"},
    "numpy in a dictionary": {"best": np.float64(3), "epoch": np.float32(1)},
    "torch values": [torch.Size([1, 2]), torch.float32, torch.half, torch.complex64],
    "size": torch.Size([]),
    "dtype": torch.bfloat16,
    "devices": {"a": torch.device("cuda", 1), "b": torch.device("cpu")},
    "path": pathlib.Path("/data/my runs/a"),
    "paths": [
        pathlib.Path("a.pth"),
        pathlib.PureWindowsPath("C:/runs/a"),
        pathlib.Path(),
    ],
    "opt": argparse.Namespace(lr=0.1, gpu_ids=[0], save=pathlib.Path("a/b")),
    "nested": argparse.Namespace(size=torch.Size([3]), more=argparse.Namespace()),
    "set": {1, 2},
    "bytes": [b"", b"\xff\0"],
    "counter": collections.Counter([3, 3, 5]),
    "history": collections.defaultdict(list, loss=[1.0, 0.5]),
    "counts": collections.defaultdict(set),
}


@pickled_files
def test_plain_data_beside_the_weights_is_left_out(save, read_back):
    state = {"w": torch.ones(2)}
    for name, value in PLAIN.items():
        for beside in (value, {"inner": value}, [value], (value, 1)):
            found = read_back(save, {"model": state, name: beside, "last": 5})
            assert_same(found, {"model.w": state["w"]})
    assert_same(read_back(save, {**PLAIN, "w": state["w"]}), state)


NOT_TENSORS = [
    torch.nn.Linear(2, 2),
    {"a": torch.ones(2, dtype=torch.complex64)},
    {"a": torch.ones(2).to_sparse()},
    {"a": torch.ones(2, dtype=torch.uint16)},
    {"a": torch.ones(2).to(torch.float8_e4m3fn)},
    {"a": np.array([None])},
    {"a": collections.deque([1])},
    {"a": {(1, 2): 3}},
    {"a": argparse.Namespace},
    {"a": list},
    {"a": collections.defaultdict},
    {"a": np.random.default_rng(0)},
]


@pickled_files
def test_whole_models_and_other_types_are_refused_in_one_line(save, tmp_path):
    for value in NOT_TENSORS:
        save(value, tmp_path / "file")
        with pytest.raises(UserError) as caught:
            read(tmp_path / "file")
        assert str(caught.value).startswith(f"{tmp_path / 'file'} can't be read: ")
        assert "\n" not in str(caught.value)


@pickled_files
def test_what_is_in_the_way_is_named_with_its_key(save, tmp_path):
    weights, linear = {"w": torch.ones(2)}, torch.nn.Linear(2, 2)
    for value, name, key in (
        ({"net": weights, "best": collections.deque([1])}, "collections.deque", "best"),
        ({"opt": [1, fractions.Fraction(1)]}, "fractions.Fraction", "opt"),
        ({"netG": linear}, "torch.nn.modules.linear.Linear", ""),
    ):
        save(value, tmp_path / "file")
        with pytest.raises(UserError) as caught:
            read(tmp_path / "file")
        message = str(caught.value)
        assert f"'{name}' at '{key}" in message
        assert ("whole model" in message) == (name.startswith("torch.nn"))


@pytest.mark.parametrize("kind", GOOD)
def test_numbers_are_read_when_they_are_asked_for(kind, tmp_path):
    path, data = tmp_path / "file", GOOD[kind][1]()
    path.write_bytes(data)
    tensors = read(path)
    path.write_bytes(data.replace(BIAS.tobytes(), bytes(BIAS.nbytes)))
    if kind.startswith("zip"):
        with pytest.raises(UserError, match=f"^{path} is damaged.$"):
            tensors["net.bias"].numpy()
    else:
        assert not tensors["net.bias"].numpy().any()
    tensors = read(path)
    path.unlink()
    with pytest.raises(UserError, match=f"^{path} .*"):
        tensors["net.weight"].numpy()


# --- Files by hand


@pytest.mark.parametrize("kind", GOOD)
def test_torch_reads_what_the_hostile_files_are_made_of(kind):
    data = GOOD[kind][1]()
    if kind == "safetensors":
        tensors = safetensors.torch.load(data)
    else:
        tensors = torch.load(io.BytesIO(data), weights_only=True)["net"]
        tensors = {f"net.{name}": values for name, values in tensors.items()}
    assert_same(VALUES, tensors)


def old_tensor(storage: bytes, shape, strides) -> bytes:
    """As PyTorch wrote it before 0.4: nothing of gradients."""
    rebuild = global_("torch._utils", "_rebuild_tensor")
    return call(rebuild, storage, number(0), shape_of(*shape), shape_of(*strides))


def of_python_2(pairs: dict[str, bytes]) -> bytes:
    """An OrderedDict as Python 2 wrote it, with bytes for names."""
    listed = [
        list_of(b"U" + bytes([len(name)]) + name.encode(), value)
        for name, value in pairs.items()
    ]
    return call(global_("collections", "OrderedDict"), list_of(*listed))


def of_two(make, storage, **more) -> dict[str, bytes]:
    """Weight and bias by one way to make tensors."""
    weight = make(storage(6, **more), (2, 3), (3, 1))
    return {"weight": weight, "bias": make(storage(3, "1", **more), (3,), (1,))}


def old_parameter(*parts) -> bytes:
    return parameter(old_tensor(*parts))


CUDA = {"module": "torch.cuda", "device": "cuda:1"}
METADATA = dict_of({"_metadata": of_python_2({"": dict_of({"version": number(1)})})})
OLD = {
    "_rebuild_tensor": lambda storage: dict_of(of_two(old_parameter, storage)),
    "on cuda": lambda storage: dict_of(of_two(tensor, storage, **CUDA)),
    "Python 2": lambda storage: of_python_2(of_two(tensor, storage)),
    "metadata of Python 2": lambda storage: (
        of_python_2(of_two(old_tensor, storage)) + METADATA + b"b"
    ),
}


@pytest.mark.parametrize("kind", OLD)
def test_files_of_old_versions_are_read(kind, tmp_path):
    path = tmp_path / "file.pth"
    for container, make in ((pth, storage), (stream, legacy_storage)):
        data = container(pickled(OLD[kind](make)), STORAGES)
        path.write_bytes(data)
        if "cuda" not in kind:
            value = torch.load(path, encoding="latin-1", weights_only=False)
            torch.testing.assert_close(value["weight"].detach(), torch.tensor(WEIGHT))
        arrays = arrays_of(path)
        np.testing.assert_array_equal(arrays.pop("weight"), WEIGHT)
        np.testing.assert_array_equal(arrays.pop("bias"), BIAS)
        assert not arrays


# --- Files of ours

all_writers = pytest.mark.parametrize("write", [write_pth, write_safetensors])


def loaded(write, path, **options) -> dict[str, torch.Tensor]:
    if write is write_safetensors:
        return safetensors.torch.load_file(path)
    return torch.load(path, weights_only=True, **options)


@all_writers
def test_written_files_are_read_by_torch_and_back(write, tmp_path):
    random, path = np.random.default_rng(2), tmp_path / "file"
    for i in range(100):
        arrays = {n: random_tensor(random).numpy() for n in random_names(random)}
        write(arrays, path)
        options = {"mmap": True} if i % 2 and write is write_pth else {}
        assert_same(arrays, loaded(write, path, **options))
        assert_same(arrays_of(path), {n: torch.tensor(a) for n, a in arrays.items()})
        write(arrays, tmp_path / "again")
        assert path.read_bytes() == (tmp_path / "again").read_bytes()


@all_writers
def test_arrays_are_written_row_by_row(write, tmp_path):
    grid = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {"f": np.asfortranarray(grid), "t": grid.T, "part": grid[:, ::2, 1:]}
    write(arrays, tmp_path / "file")
    rows = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    assert_same(rows, loaded(write, tmp_path / "file"))


def data_starts(path) -> list[int]:
    """Where the bytes of each storage in a zip begin."""
    data, starts = path.read_bytes(), []
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for member in archive.infolist():
            if "/data/" in member.filename:
                place = member.header_offset
                name, extra = struct.unpack_from("<HH", data, place + 26)
                starts.append(place + 30 + name + extra)
    return starts


def test_written_pth_has_order_and_alignment_of_torch(tmp_path):
    arrays = {f"{9 - i}": np.full(5 * i + 1, i, np.float32) for i in range(12)}
    write_pth(arrays, tmp_path / "ours")
    value = torch.load(tmp_path / "ours", weights_only=True)
    assert type(value) is collections.OrderedDict
    assert list(value) == list(read(tmp_path / "ours")) == list(arrays)
    save_zip({n: torch.tensor(a) for n, a in arrays.items()}, tmp_path / "theirs")
    for name in ("ours", "theirs"):
        starts = data_starts(tmp_path / name)
        assert len(starts) == len(arrays)
        assert {start % 64 for start in starts} == {0}


def test_safetensors_say_that_they_are_of_pytorch(tmp_path):
    write_safetensors({"a": np.ones(1, np.float32)}, tmp_path / "file")
    with safetensors.safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
