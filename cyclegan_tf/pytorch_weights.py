"""One network in a PyTorch or safetensors file: its architecture and our weights."""

import math
import os

import numpy as np

from cyclegan_tf import pytorch_files, pytorch_finder, pytorch_networks
from cyclegan_tf.config import UserError
from cyclegan_tf.mismatches import shown
from cyclegan_tf.pytorch_networks import Architecture


def read_network(name: str, file: str) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Reads one of our four networks from a file.

    Args:
      name: What it is to be, such as `generator_g`.
      file: A PyTorch or safetensors file, or FILE#KEY.

    Returns:
      Its architecture, and float32 arrays by our names of its weights.

    Raises:
      UserError: the file is damaged or hostile, or does not hold such a network.
    """
    path, key = split(os.path.expanduser(file))
    tensors = pytorch_finder.without_statistics(pytorch_files.read(path))
    root, kind = _choose(path, key, {k: t.shape for k, t in tensors.items()})
    role = "generator" if kind in ("resnet", "unet") else "discriminator"
    if not name.startswith(role):
        raise UserError(f"{file} holds a {role} ({kind}), not a {name.split('_')[0]}.")
    tensors = {
        k.removeprefix(root): t for k, t in tensors.items() if k.startswith(root)
    }
    shapes = {k: tuple(tensor.shape) for k, tensor in tensors.items()}
    try:
        architecture = pytorch_finder.architecture_of(kind, shapes)
    except pytorch_finder.MismatchError as error:
        raise UserError(f"{file} does not fit a {kind} ({error}).") from error
    if architecture.channels != 3:
        raise UserError(
            f"{file} is for pictures of {architecture.channels} channels; here they "
            "have 3."
        )
    size = sum(math.prod(t.shape) * t.dtype.itemsize for t in tensors.values())
    if size > os.path.getsize(path):
        raise UserError(f"{file} names the same numbers as several tensors.")
    arrays = {k: _numbers(file, k, tensor) for k, tensor in tensors.items()}
    return architecture, pytorch_networks.to_ours(architecture, arrays)


def split(file: str) -> tuple[str, str]:
    """Path and key of FILE#KEY; the key of a FILE is empty."""
    if "#" in file and not os.path.exists(file):
        path, _, key = file.rpartition("#")
        return path, key
    return file, ""


def _choose(path: str, key: str, shapes: dict) -> tuple[str, str]:
    """Where the names of the wanted network begin, and its kind."""
    found = pytorch_finder.find(shapes)
    if not found:
        names = ", ".join(map(shown, list(shapes)[:4])) or "no tensor"
        raise UserError(f"{path} holds none of the official networks, but {names}.")
    if key and "" in found:
        raise UserError(f"{path} holds one network, without a key: leave out #{key}.")
    keys = {root.rstrip("."): root for root in found}
    chosen = [k for k in keys if f".{key}." in f".{k}."] if key else list(keys)
    if key in keys:
        chosen = [key]
    if len(chosen) == 1:
        root = keys[chosen[0]]
        return root, found[root]
    told = ", ".join(f"{path}#{shown(k)}" for k in list(keys)[:8])
    if not chosen:
        raise UserError(f"{path} has no network {key!a}; it has {told}.")
    raise UserError(f"{path} holds several networks; name one of {told}.")


def _numbers(file: str, name: str, tensor: pytorch_files.Tensor) -> np.ndarray:
    array = tensor.numpy()
    if array.dtype.kind not in "fV":  # V is bfloat16's.
        raise UserError(
            f"{name} in {file} is {array.dtype}, not a floating point number."
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.all(np.isfinite(array)):
        raise UserError(f"{name} in {file} is not finite everywhere.")
    return array
