"""Files written for PyTorch to read."""

import collections
import struct
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.random_tensors import assert_same, random_name, random_tensor, save_zip

from cyclegan_tf.pytorch.files import read, write_pth, write_safetensors

WRITERS = {"pth": write_pth, "safetensors": write_safetensors}
all_writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def loaded(write, path, **options) -> dict[str, torch.Tensor]:
    if write is write_safetensors:
        return safetensors.torch.load_file(path)
    return torch.load(path, weights_only=True, **options)


def random_arrays(random) -> dict[str, np.ndarray]:
    names = sorted({random_name(random) for _ in range(random.integers(1, 6))})
    return {name: random_tensor(random).numpy() for name in names}


@all_writers
def test_written_files_are_read_by_torch_and_back(write, tmp_path):
    random, path = np.random.default_rng(2), tmp_path / "file"
    for i in range(100):
        arrays = random_arrays(random)
        write(arrays, path)
        options = {"mmap": True} if i % 2 and write is write_pth else {}
        assert_same(arrays, loaded(write, path, **options))
        back = {name: part.numpy() for name, part in read(path).items()}
        assert_same(back, {name: torch.tensor(a) for name, a in arrays.items()})


@all_writers
def test_arrays_are_written_row_by_row(write, tmp_path):
    grid = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {"f": np.asfortranarray(grid), "t": grid.T, "part": grid[:, ::2, 1:]}
    write(arrays, tmp_path / "file")
    assert_same(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        loaded(write, tmp_path / "file"),
    )


@all_writers
def test_same_arrays_make_the_same_bytes(write, tmp_path):
    arrays = random_arrays(np.random.default_rng(3))
    files = [tmp_path / name for name in ("one", "other")]
    for file in files:
        write(arrays, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_order_of_a_written_pth_is_kept(tmp_path):
    arrays = {name: np.ones(1, np.float32) for name in ("z", "a", "m.2", "m.1")}
    write_pth(arrays, tmp_path / "file")
    value = torch.load(tmp_path / "file", weights_only=True)
    assert type(value) is collections.OrderedDict
    assert list(value) == list(read(tmp_path / "file")) == list(arrays)


def data_starts(path) -> list[int]:
    """Where the bytes of each storage in a zip begin."""
    data, starts = path.read_bytes(), []
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            if "/data/" in entry.filename:
                place = entry.header_offset
                name, extra = struct.unpack_from("<HH", data, place + 26)
                starts.append(place + 30 + name + extra)
    return starts


def test_storages_are_aligned_as_torch_aligns_them(tmp_path):
    arrays = {f"{i}": np.full(5 * i + 1, i, np.float32) for i in range(12)}
    write_pth(arrays, tmp_path / "ours")
    save_zip({n: torch.tensor(a) for n, a in arrays.items()}, tmp_path / "theirs")
    for name in ("ours", "theirs"):
        starts = data_starts(tmp_path / name)
        assert len(starts) == len(arrays)
        assert {start % 64 for start in starts} == {0}


def test_safetensors_say_that_they_are_of_pytorch(tmp_path):
    write_safetensors({"a": np.ones(1, np.float32)}, tmp_path / "file")
    with safetensors.safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
