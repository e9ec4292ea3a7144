"""Finds the official PyTorch networks in a file, their architecture and our weights.

Architectures are read off names and shapes; no tensor's numbers are needed.
"""

import collections
import dataclasses
import itertools
import math
import os
import re
from collections.abc import Mapping

import numpy as np

from cyclegan_tf.learning.state import Shapes, mismatches, shown
from cyclegan_tf.pytorch import files
from cyclegan_tf.pytorch.networks import Architecture, state_dict_shapes, to_ours
from cyclegan_tf.validation import UserError

# Where the names of a network may begin.
_ROOT = re.compile(r"(?<=\.)(?=(?:model\.)+\d+\.|net\.\d+\.)")

# Of norms in old files and of batch norms; instance norm does without them.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

# Of the official U-Net: its narrower and its wide levels are a level each.
MIN_HALVINGS = 5

# Of a damaged or hostile file: no network is that deep.
_MAX_DEPTH = 100


class MismatchError(ValueError):
    """A state dict is not one of the official networks."""


def find(shapes: Shapes) -> dict[str, str]:
    """Looks for the official networks among a file's tensors.

    Args:
      shapes: Shapes by name, which may be prefixed by `module.` or anything else.

    Returns:
      What the names of each network begin with (empty, or with a dot at its end), and
      its kind.
    """
    below = collections.defaultdict(dict, {"": shapes})
    for name, shape in shapes.items():
        # The next ones are inside a U-Net, if this is a network at all.
        for place in itertools.islice(_ROOT.finditer(name), 3):
            below[name[: place.start()]][name[place.start() :]] = shape
    found = {}
    for root in sorted(below, key=len):
        # The blocks of a U-Net look like networks of their own.
        outer = (
            root[:end] for end in range(len(root)) if end == 0 or root[end - 1] == "."
        )
        if not any(place in found for place in outer):
            kind = _kind(below[root])
            if kind:
                found[root] = kind
    return found


def _kind(shapes: Shapes) -> str | None:
    """The kind of network that some names can only be of."""

    def has(pattern: str) -> bool:
        return any(re.match(pattern, name) for name in shapes)

    if has(r"model\.\d+\.conv_block\."):
        return "resnet"
    if has(r"model\.model\.1\.model\.\d"):
        return "unet"
    if has(r"net\.0\.weight"):
        return "pixel"
    if has(r"model\.\d+\.model\."):
        return None
    if tuple(shapes.get("model.1.weight", ()))[2:] == (7, 7):
        return "resnet"
    return "patchgan" if "model.0.weight" in shapes else None


def architecture_of(kind: str, shapes: Shapes) -> Architecture:
    """Reads filters, depth and channels of a network off its shapes.

    Args:
      kind: As `find` gives it.
      shapes: Of its tensors, by the official names, statistics of norms left out.

    Raises:
      MismatchError: lists what is missing, unexpected or misshapen.
    """
    depth = min(_depth(kind, shapes), _MAX_DEPTH)
    if kind == "unet" and depth < MIN_HALVINGS:
        raise MismatchError(f"it has {depth} halvings; the official has at least 5")
    dropout = kind == "resnet" and any(".conv_block.6." in name for name in shapes)
    first = {"resnet": "model.1", "unet": "model.model.0", "pixel": "net.0"}
    kernel = tuple(shapes.get(f"{first.get(kind, 'model.0')}.weight", ()))
    channels = kernel[1] if len(kernel) == 4 else 3
    architecture = Architecture(kind, 1, depth, channels, dropout)
    num_filters = _num_filters(state_dict_shapes(architecture), shapes)
    architecture = dataclasses.replace(architecture, num_filters=num_filters)
    told = mismatches(state_dict_shapes(architecture), shapes)
    if told:
        norms = [n for n, s in shapes.items() if n.endswith(".weight") and len(s) == 1]
        hint = ". It has norms with weights, as batch norm; only instance norm fits"
        raise MismatchError(f"{told}{hint if norms else ''}")
    return architecture


def _num_filters(of_one: Shapes, shapes: Shapes) -> int:
    """Filters of the first convolution, as most convolutions have it.

    Args:
      of_one: Shapes of the network whose first convolution has one filter.
      shapes: Of the network.
    """
    # The last one has as many filters as the images have channels.
    weights = [name for name in of_one if name.endswith(".weight")][:-1]
    told = collections.Counter(
        shapes[name][0] // of_one[name][0]
        for name in weights
        if len(shapes.get(name, ())) == 4
    )
    return told.most_common(1)[0][0] if told else 64


def _depth(kind: str, shapes: Shapes) -> int:
    """Residual blocks, halvings or stride-2 convolutions, from the last of them."""

    def numbers(pattern: str) -> list[int]:
        found = (re.match(pattern, name) for name in shapes)
        return [int(match[1][:4]) for match in found if match]

    if kind == "resnet":
        return max(numbers(r"model\.(\d+)\.conv_block\."), default=9) - 9
    if kind == "unet":
        block = re.compile(r"model\.model\.1\.model\.((?:3\.model\.)*)")
        return 2 + max(len(m[1]) // 8 for m in map(block.match, shapes) if m)
    if kind == "patchgan":
        return max(1, (max(numbers(r"model\.(\d+)\.weight")) - 2) // 3)
    return 0


def without_statistics(tensors: Mapping) -> dict:
    """Drops the running statistics that old files hold and instance norm ignores."""
    return {
        name: value
        for name, value in tensors.items()
        if name.rpartition(".")[2] not in _STATISTICS
    }


# --- One network of a file


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
    tensors = without_statistics(files.read(path))
    root, kind = _choose(path, key, {k: t.shape for k, t in tensors.items()})
    role = "generator" if kind in ("resnet", "unet") else "discriminator"
    if not name.startswith(role):
        raise UserError(f"{file} holds a {role} ({kind}), not a {name.split('_')[0]}.")
    tensors = {
        k.removeprefix(root): t for k, t in tensors.items() if k.startswith(root)
    }
    shapes = {k: tuple(tensor.shape) for k, tensor in tensors.items()}
    try:
        architecture = architecture_of(kind, shapes)
    except MismatchError as error:
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
    return architecture, to_ours(architecture, arrays)


def split(file: str) -> tuple[str, str]:
    """Path and key of FILE#KEY; the key of a FILE is empty."""
    if "#" in file and not os.path.exists(file):
        path, _, key = file.rpartition("#")
        return path, key
    return file, ""


def _choose(path: str, key: str, shapes: dict) -> tuple[str, str]:
    """Where the names of the wanted network begin, and its kind."""
    found = find(shapes)
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


def _numbers(file: str, name: str, tensor: files.Tensor) -> np.ndarray:
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
