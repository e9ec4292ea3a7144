"""Random tensors in files of PyTorch."""

import math

import ml_dtypes
import numpy as np
import torch

DTYPES = {
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.int16: np.int16,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
}


def save_zip(value, path):
    torch.save(value, path)


def bits(values: torch.Tensor) -> bytes:
    """The numbers of a tensor, row by row, as they are in memory."""
    if not values.numel():
        return b""  # Its strides may be 0, which a view does not like.
    return bytes(values.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def assert_same(arrays: dict[str, np.ndarray], expected: dict[str, torch.Tensor]):
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert arrays[name].shape == tuple(values.shape)
        assert arrays[name].dtype == DTYPES[values.dtype]
        assert arrays[name].tobytes() == bits(values)


def random_tensor(random, dtype=torch.float32, shape=None) -> torch.Tensor:
    """Any bits at all, with not-a-numbers and subnormals."""
    if shape is None:
        shape = random.integers(0, 5, random.integers(0, 5)).tolist()
    data = random.bytes(math.prod(shape) * dtype.itemsize)
    if dtype == torch.bool:
        data = bytes(byte & 1 for byte in data)
    values = torch.tensor(list(data), dtype=torch.uint8)
    return values.view(dtype).reshape(shape)


def random_name(random) -> str:
    letters = list("abz019_ -/é界'\"\\") + [".weight", ".0", "\n"]
    return "".join(random.choice(letters, random.integers(1, 9)))
