"""The official PyTorch networks: names, shapes, conversion, and finding them in files.

Both sides hold the same numbers. A kernel is (out, in, height, width) in PyTorch, or
(in, out, height, width) for a transposed convolution; ours has the axes (2, 3, 1, 0) of
it. PyTorch has a bias before each instance norm, which cancels it; ours has none.
"""

import collections
import dataclasses
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping

import numpy as np

from cyclegan_tf.config import Config
from cyclegan_tf.core.state import Shapes, mismatches, shown
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch import files
from cyclegan_tf.pytorch.other_programs import describe_networks

# By official file name: D_A judges the output of G_A, which is domain B, our Y.
NETWORKS = {
    "G_A": "generator_g",
    "G_B": "generator_f",
    "D_A": "discriminator_y",
    "D_B": "discriminator_x",
}

# The names of a network begin behind such a prefix.
_ROOT = re.compile(r"(?<=\.)(?=(?:model\.)+\d+\.|net\.\d+\.)")

# Old files have these for instance norms, which ignore them.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

# The official U-Net always has its 5 outer levels.
MIN_HALVINGS = 5

# Real networks are less deep; hostile files may claim any depth.
_MAX_DEPTH = 100


# Fields of a `Config`; a pixel discriminator has no depth.
_DEPTH_FIELDS = {
    "resnet": "num_blocks",
    "unet": "num_downs",
    "patchgan": "discriminator_layers",
}


class MismatchError(ValueError):
    """A state dict does not fit an official network."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The arguments of a network's builder.

    Attributes:
      kind: `resnet`, `unet`, `patchgan` or `pixel`.
      num_filters: Filters of the first convolution.
      depth: Residual blocks, halvings or stride-2 convolutions; 0 for `pixel`.
      channels: Channels of the images.
      dropout: Whether a ResNet has dropout, which changes names only.
    """

    kind: str
    num_filters: int
    depth: int
    channels: int = 3
    dropout: bool = False

    @property
    def role(self) -> str:
        """`generator` or `discriminator`."""
        return "generator" if self.kind in ("resnet", "unet") else "discriminator"

    def config_fields(self) -> dict:
        """The same architecture as fields of a `Config`."""
        is_generator = self.role == "generator"
        filters = "num_filters" if is_generator else "discriminator_filters"
        fields = {self.role: self.kind, filters: self.num_filters}
        if self.kind in _DEPTH_FIELDS:
            fields[_DEPTH_FIELDS[self.kind]] = self.depth
        return fields

    def describe(self) -> str:
        """The architecture in words: `resnet of 64 filters and 9 blocks`."""
        units = {"resnet": "block", "unet": "halving", "patchgan": "stride-2 layer"}
        text = f"{self.kind} of {self.num_filters} filters"
        if self.kind not in units:
            return text
        return f"{text} and {self.depth} {units[self.kind]}{'s' * (self.depth != 1)}"


def config_architecture(config: Config, name: str) -> Architecture:
    """The architecture of one of the four networks of a run."""
    role = name.partition("_")[0]
    kind = getattr(config, role)
    filters = (
        config.num_filters if role == "generator" else config.discriminator_filters
    )
    depth = getattr(config, _DEPTH_FIELDS[kind]) if kind in _DEPTH_FIELDS else 0
    return Architecture(kind, filters, depth)


# --- Names and shapes


@dataclasses.dataclass(frozen=True)
class _Convolution:
    name: str
    official: str
    kernel: tuple[int, int, int, int]
    bias_cancelled: bool = True
    transposed: bool = False

    @property
    def num_biases(self) -> int:
        return self.kernel[1 if self.transposed else 0]


def _resnet(a: Architecture) -> Iterator[_Convolution]:
    f, n = a.num_filters, a.depth
    yield _Convolution("first_conv", "model.1", (f, a.channels, 7, 7))
    yield _Convolution("down_1_conv", "model.4", (2 * f, f, 3, 3))
    yield _Convolution("down_2_conv", "model.7", (4 * f, 2 * f, 3, 3))
    for i in range(1, n + 1):
        for k, place in ((1, 1), (2, 6 if a.dropout else 5)):
            official = f"model.{9 + i}.conv_block.{place}"
            yield _Convolution(f"block_{i}_conv_{k}", official, (4 * f, 4 * f, 3, 3))
    for i, width in ((1, 4 * f), (2, 2 * f)):
        kernel = (width, width // 2, 3, 3)
        official = f"model.{7 + n + 3 * i}"
        yield _Convolution(f"up_{i}_conv", official, kernel, transposed=True)
    yield _Convolution("last_conv", f"model.{17 + n}", (a.channels, f, 7, 7), False)


def _unet(a: Architecture) -> Iterator[_Convolution]:
    widths = [a.num_filters * min(2**i, 8) for i in range(a.depth)]
    first = (widths[0], a.channels, 4, 4)
    yield _Convolution("down_1_conv", "model.model.0", first, False)
    ups = []
    # Each block is a Sequential inside the one that halves less.
    block = "model.model.1.model"
    for i in range(2, a.depth + 1):
        outer, inner, innermost = widths[i - 2], widths[i - 1], i == a.depth
        down = (inner, outer, 4, 4)
        yield _Convolution(f"down_{i}_conv", f"{block}.1", down, not innermost)
        official = f"{block}.{3 if innermost else 5}"
        up = (inner if innermost else 2 * inner, outer, 4, 4)
        name = f"up_{a.depth + 1 - i}_conv"
        ups.append(_Convolution(name, official, up, transposed=True))
        block += ".3.model"
    yield from reversed(ups)
    last = (2 * widths[0], a.channels, 4, 4)
    yield _Convolution("last_conv", "model.model.3", last, False, transposed=True)


def _patchgan(a: Architecture) -> Iterator[_Convolution]:
    widths = [a.num_filters * min(2**i, 8) for i in range(a.depth + 1)]
    yield _Convolution("conv_1", "model.0", (widths[0], a.channels, 4, 4), False)
    for i in range(2, a.depth + 2):
        kernel = (widths[i - 1], widths[i - 2], 4, 4)
        yield _Convolution(f"conv_{i}", f"model.{3 * i - 4}", kernel)
    last = (1, widths[-1], 4, 4)
    yield _Convolution("logits", f"model.{3 * a.depth + 2}", last, False)


def _pixel(a: Architecture) -> Iterator[_Convolution]:
    f = a.num_filters
    yield _Convolution("conv_1", "net.0", (f, a.channels, 1, 1), False)
    yield _Convolution("conv_2", "net.2", (2 * f, f, 1, 1))
    yield _Convolution("logits", "net.5", (1, 2 * f, 1, 1), False)


_CONVOLUTIONS = {
    "resnet": _resnet,
    "unet": _unet,
    "patchgan": _patchgan,
    "pixel": _pixel,
}


def state_dict_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the official network's state dict, in its order."""
    shapes = {}
    for c in _CONVOLUTIONS[architecture.kind](architecture):
        shapes[f"{c.official}.weight"] = c.kernel
        shapes[f"{c.official}.bias"] = (c.num_biases,)
    return shapes


def to_keras(
    architecture: Architecture, state_dict: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Converts an official state dict, without the biases that a norm cancels.

    The result has float32 arrays by our names, such as `first_conv_kernel`.
    """
    weights = {}
    for c in _CONVOLUTIONS[architecture.kind](architecture):
        kernel = np.asarray(state_dict[f"{c.official}.weight"], np.float32)
        weights[f"{c.name}_kernel"] = kernel.transpose(2, 3, 1, 0)
        if not c.bias_cancelled:
            bias = np.asarray(state_dict[f"{c.official}.bias"], np.float32)
            weights[f"{c.name}_bias"] = bias
    return weights


def to_pytorch(
    architecture: Architecture, weights: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Converts our weights; biases that a norm cancels become zeros.

    The result has float32 arrays by the official names, in the official order.
    """
    state_dict = {}
    for c in _CONVOLUTIONS[architecture.kind](architecture):
        kernel = np.asarray(weights[f"{c.name}_kernel"], np.float32)
        bias = np.zeros(c.num_biases, np.float32)
        if not c.bias_cancelled:
            bias = np.asarray(weights[f"{c.name}_bias"], np.float32)
        state_dict[f"{c.official}.weight"] = kernel.transpose(3, 2, 0, 1)
        state_dict[f"{c.official}.bias"] = bias
    return state_dict


# --- Networks among names and shapes


def find_networks(shapes: Shapes) -> dict[str, str]:
    """Finds the official networks among the tensors of a file.

    The result has the kind of each network by the prefix of its names, such as
    `module.`; the prefix is empty or ends with a dot.
    """
    below = collections.defaultdict(dict, {"": shapes})
    for name, shape in shapes.items():
        # Later matches are inside a U-Net, if this is a network at all.
        for place in itertools.islice(_ROOT.finditer(name), 3):
            below[name[: place.start()]][name[place.start() :]] = shape
    found = {}
    for root in sorted(below, key=len):
        # The blocks of a U-Net look like networks.
        ends = (end for end in range(len(root)) if end == 0 or root[end - 1] == ".")
        if not any(root[:end] in found for end in ends) and (
            kind := _kind(below[root])
        ):
            found[root] = kind
    return found


def _kind(shapes: Shapes) -> str | None:
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


def find_architecture(kind: str, shapes: Shapes) -> Architecture:
    """Derives filters, depth and channels from shapes by official name.

    A `MismatchError` lists the missing, unexpected and misshapen tensors.
    """
    depth = min(_depth(kind, shapes), _MAX_DEPTH)
    if kind == "unet" and depth < MIN_HALVINGS:
        raise MismatchError(f"it has {depth} halvings; the official has at least 5")
    dropout = kind == "resnet" and any(".conv_block.6." in name for name in shapes)
    first = {"resnet": "model.1", "unet": "model.model.0", "pixel": "net.0"}
    kernel = tuple(shapes.get(f"{first.get(kind, 'model.0')}.weight", ()))
    channels = kernel[1] if len(kernel) == 4 else 3
    of_one = state_dict_shapes(Architecture(kind, 1, depth, channels, dropout))
    # The majority decides; the last convolution has a fixed number of filters.
    num_filters = collections.Counter(
        shapes[name][0] // of_one[name][0]
        for name in [name for name in of_one if name.endswith(".weight")][:-1]
        if len(shapes.get(name, ())) == 4
    )
    most = num_filters.most_common(1)[0][0] if num_filters else 64
    architecture = Architecture(kind, most, depth, channels, dropout)
    if problems := mismatches(state_dict_shapes(architecture), shapes):
        norms = [n for n, s in shapes.items() if n.endswith(".weight") and len(s) == 1]
        hint = ". It has norms with weights, as batch norm; only instance norm fits"
        raise MismatchError(f"{problems}{hint if norms else ''}")
    return architecture


def _depth(kind: str, shapes: Shapes) -> int:
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
    """Drops the running statistics of old files, which instance norm ignores."""
    return {
        name: value
        for name, value in tensors.items()
        if name.rpartition(".")[2] not in _STATISTICS
    }


# --- One network of a file


def read_network(name: str, file: str) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Reads one of our four networks from a PyTorch or safetensors file, or FILE#KEY.

    Returns:
      Its architecture, and its weights as float32 arrays by our names.

    Raises:
      UserError: the file is damaged or hostile, or holds no such network.
    """
    path, key = split_key(os.path.expanduser(file))
    tensors = without_statistics(files.read(path))
    root, kind = _choose(path, key, {k: t.shape for k, t in tensors.items()})
    role = Architecture(kind, 1, 1).role
    if not name.startswith(role):
        raise UserError(f"{file} holds a {role} ({kind}), not a {name.split('_')[0]}.")
    tensors = {
        k.removeprefix(root): t for k, t in tensors.items() if k.startswith(root)
    }
    try:
        architecture = find_architecture(kind, {k: t.shape for k, t in tensors.items()})
    except MismatchError as error:
        other = describe_networks(tensors)
        raise UserError(f"{file} does not fit a {kind} ({error}).{other}") from error
    if architecture.channels != 3:
        raise UserError(
            f"{file} is for pictures of {architecture.channels} channels, not 3."
        )
    size = sum(math.prod(t.shape) * t.dtype.itemsize for t in tensors.values())
    if size > os.path.getsize(path):
        raise UserError(f"{file} names the same numbers as several tensors.")
    arrays = {k: _numbers(file, k, tensor) for k, tensor in tensors.items()}
    return architecture, to_keras(architecture, arrays)


def split_key(file: str) -> tuple[str, str]:
    """Path and key of FILE#KEY; FILE alone has an empty key."""
    path, _, key = file.rpartition("#")
    return (path, key) if path and not os.path.exists(file) else (file, "")


def _choose(path: str, key: str, shapes: Shapes) -> tuple[str, str]:
    """Returns prefix and kind of the network that the key names."""
    found = find_networks(shapes)
    if not found:
        names = ", ".join(map(shown, list(shapes)[:4])) or "no tensor"
        raise UserError(
            f"{path} holds none of the official networks, but {names}."
            + describe_networks(shapes)
        )
    if key and "" in found:
        raise UserError(f"{path} holds one network, without a key: leave out #{key}.")
    keys = {root.rstrip("."): root for root in found}
    chosen = [k for k in keys if f".{key}." in f".{k}."] if key else list(keys)
    if key in keys:
        chosen = [key]
    if len(chosen) == 1:
        root = keys[chosen[0]]
        return root, found[root]
    names = ", ".join(f"{path}#{shown(k)}" for k in list(keys)[:8])
    if not chosen:
        raise UserError(f"{path} has no network {key!a}; it has {names}.")
    raise UserError(f"{path} holds several networks; name one of {names}.")


def _numbers(file: str, name: str, tensor: files.Tensor) -> np.ndarray:
    array = tensor.numpy()
    if array.dtype.kind not in "fV":  # bfloat16 is "V".
        raise UserError(
            f"{name} in {file} is {array.dtype}, not a floating point number."
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.all(np.isfinite(array)):
        raise UserError(f"{name} in {file} is not finite everywhere.")
    return array
