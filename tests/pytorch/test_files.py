"""PyTorch's files, read against what PyTorch wrote."""

import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.pytorch_samples import (
    BIAS,
    GOOD,
    STORAGES,
    VALUES,
    WEIGHT,
    call,
    dict_of,
    entry,
    global_,
    legacy_storage,
    list_of,
    number,
    parameter,
    pickled,
    pth,
    safetensors_file,
    shape_of,
    storage,
    stream,
    tensor,
)
from helpers.random_tensors import (
    DTYPES,
    assert_same,
    random_name,
    random_tensor,
    save_zip,
)

from cyclegan_tf.pytorch.files import read
from cyclegan_tf.validation import UserError


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: these tests need no TensorFlow."""
    torch.manual_seed(0)


# --- Files of PyTorch


def save_stream(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


PICKLED = {"zip": save_zip, "stream": save_stream}
SAVERS = {**PICKLED, "safetensors": safetensors.torch.save_file}

pickled_files = pytest.mark.parametrize("save", PICKLED.values(), ids=PICKLED)
all_files = pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)


@pytest.fixture
def read_back(tmp_path):
    """Saves a value and reads it."""

    def run(save, value) -> dict[str, np.ndarray]:
        path = tmp_path / "file"
        save(value, path)
        tensors = read(path)
        arrays = {name: part.numpy() for name, part in tensors.items()}
        for name, array in arrays.items():
            told = (tensors[name].shape, tensors[name].dtype)
            assert told == (array.shape, array.dtype)
        return arrays

    return run


@all_files
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_are_read_to_the_bit(save, dtype, read_back):
    random = np.random.default_rng(0)
    shapes = {"many": (3, 4, 5), "one": (1,), "scalar": (), "none": (0, 3)}
    tensors = {n: random_tensor(random, dtype, shape) for n, shape in shapes.items()}
    assert_same(read_back(save, tensors), tensors)


@pytest.mark.parametrize(
    "save",
    [save_zip, save_stream, safetensors.torch.save_file],
    ids=SAVERS,
)
def test_random_state_dicts_are_read_to_the_bit(save, read_back):
    random = np.random.default_rng(1)
    for _ in range(100):
        names = {random_name(random) for _ in range(random.integers(1, 6))}
        dtypes = random.choice(list(DTYPES), len(names))
        tensors = {
            name: random_tensor(random, dtype)
            for name, dtype in zip(sorted(names), dtypes, strict=True)
        }
        assert_same(read_back(save, tensors), tensors)


@pickled_files
def test_views_are_read_row_by_row(save, read_back):
    whole = torch.arange(120.0)
    grid = torch.arange(120.0).reshape(2, 3, 4, 5)
    tensors = {
        "offset": whole[7:19],
        "every third": torch.arange(30)[1::3],
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "permuted": grid.permute(3, 1, 0, 2),
        "inner": torch.arange(49.0).reshape(7, 7)[2:5, 1:6:2],
        "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "single": torch.arange(9.0)[4],
        "none": torch.arange(9.0)[9:],
    }
    assert tensors["channels last"].stride() == (60, 1, 15, 3)
    assert_same(read_back(save, tensors), tensors)


@pickled_files
def test_two_tensors_may_lie_in_one_storage(save, read_back):
    whole = torch.rand(6, 4)
    tensors = {"top": whole[:2], "left": whole[2:, :1], "right": whole[2:, 1:]}
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


@pickled_files
@pytest.mark.parametrize(
    "shape",
    [
        (3, 0),
        (0, 3),
        (2, 0, 4),
        (0, 0),
        (1, 0, 1),
    ],
)
def test_empty_tensors_of_any_shape_are_read(save, shape, read_back):
    tensors = {"a": torch.ones(shape), "b": torch.ones(2)[2:].expand(*shape[:-1], 0)}
    assert_same(read_back(save, tensors), tensors)


@pytest.mark.parametrize(
    "length",
    [
        256,
        128,
        0x80 + 3 * 2**8,
        0x4B50,
        0x4B50 + 2**16,
    ],
)
def test_safetensors_are_read_whatever_their_header_is_long(length, tmp_path):
    # The first bytes are its length: that of a pickle begins with 0x80, a zip with PK.
    header = json.dumps({"a": entry((9,), 0, 36)}).encode()
    data = safetensors_file(header.ljust(length), WEIGHT.tobytes() + BIAS.tobytes())
    (tmp_path / "file").write_bytes(data)
    expected = safetensors.torch.load(data)
    found = {name: part.numpy() for name, part in read(tmp_path / "file").items()}
    assert_same(found, expected)


@pickled_files
def test_names_of_nested_dictionaries_are_joined(save, read_back):
    generator = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(generator.parameters())
    generator(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 7,
        "state_dict": {"netG_A": generator.state_dict(), "netG_B": {}},
        "optimizer": optimizer.state_dict(),
        "losses": [torch.ones(2), 0.5],
        "others": (torch.ones(2), "text", None, True, 2**70, -1.5, [{}]),
        "step": torch.tensor(3),
    }
    expected = {
        f"state_dict.netG_A.{name}": values
        for name, values in generator.state_dict().items()
    }
    for index, values in optimizer.state_dict()["state"].items():
        for name in values:
            expected[f"optimizer.state.{index}.{name}"] = values[name]
    assert len(expected) == 8
    expected["step"] = torch.tensor(3)
    assert_same(read_back(save, checkpoint), expected)


@pickled_files
def test_order_of_the_file_is_kept(save, read_back):
    names = ["z", "a", "m.2", "m.1"]
    tensors = {name: torch.ones(1) for name in names}
    assert list(read_back(save, tensors)) == names


@pickled_files
@pytest.mark.parametrize(
    "value",
    [
        torch.nn.Linear(2, 2),
        {"a": torch.ones(2, dtype=torch.complex64)},
        {"a": torch.ones(2).to_sparse()},
        {"a": torch.ones(2, dtype=torch.uint16)},
        {"a": torch.ones(2).to(torch.float8_e4m3fn)},
        {"a": np.float64(1)},
        {"a": np.ones(2)},
        {"a": torch.Size([1])},
        {"a": {1, 2}},
    ],
    ids=lambda value: str(value)[:40],
)
def test_whole_models_and_other_types_are_refused_in_one_line(save, value, tmp_path):
    save(value, tmp_path / "file")
    with pytest.raises(UserError) as caught:
        read(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'} can't be read: ")
    assert "\n" not in str(caught.value)


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


def test_reading_needs_neither_torch_nor_tensorflow(tmp_path):
    save_zip({"a": torch.ones(2)}, tmp_path / "file")
    code = (
        "import sys; from cyclegan_tf.pytorch import files;"
        f"print(files.read({str(tmp_path / 'file')!r})['a'].numpy(),"
        "*{'torch', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True)
    assert (done.stdout, done.stderr) == (b"[1. 1.]\n", b"")


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


OLD = {
    "_rebuild_tensor": lambda storage: dict_of(
        {
            "weight": old_tensor(storage(6), (2, 3), (3, 1)),
            "bias": parameter(old_tensor(storage(3, "1"), (3,), (1,))),
        }
    ),
    "storages of CUDA": lambda storage: dict_of(
        {
            "weight": tensor(storage(6, module="torch.cuda"), (2, 3), (3, 1)),
            "bias": tensor(storage(3, "1", device="cuda:1"), (3,), (1,)),
        }
    ),
    "Python 2": lambda storage: of_python_2(
        {
            "weight": tensor(storage(6), (2, 3), (3, 1)),
            "bias": tensor(storage(3, "1"), (3,), (1,)),
        }
    ),
    "metadata of Python 2": lambda storage: (
        of_python_2(
            {
                "weight": old_tensor(storage(6), (2, 3), (3, 1)),
                "bias": old_tensor(storage(3, "1"), (3,), (1,)),
            }
        )
        + dict_of({"_metadata": of_python_2({"": dict_of({"version": number(1)})})})
        + b"b"
    ),
}


@pytest.mark.parametrize("kind", OLD)
def test_files_of_old_versions_are_read(kind, tmp_path):
    path = tmp_path / "file.pth"
    for container, make in ((pth, storage), (stream, legacy_storage)):
        data = container(pickled(OLD[kind](make)), STORAGES)
        path.write_bytes(data)
        if kind != "storages of CUDA":
            value = torch.load(path, encoding="latin-1", weights_only=False)
            torch.testing.assert_close(value["weight"].detach(), torch.tensor(WEIGHT))
        arrays = {name: part.numpy() for name, part in read(path).items()}
        np.testing.assert_array_equal(arrays.pop("weight"), WEIGHT)
        np.testing.assert_array_equal(arrays.pop("bias"), BIAS)
        assert not arrays
