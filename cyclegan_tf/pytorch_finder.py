"""Finds the official PyTorch networks among a file's tensors, and their architecture.

Everything is read off names and shapes; no tensor's numbers are needed.
"""

import collections
import dataclasses
import itertools
import re
from collections.abc import Mapping

from cyclegan_tf.mismatches import Shapes, mismatches
from cyclegan_tf.pytorch_networks import Architecture, state_dict_shapes

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
