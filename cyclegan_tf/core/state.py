"""The state of a training by name, and how names and shapes differ.

Each variable has a group and a name, `generator_g/first_conv_kernel`, that do not
depend on Keras' own names: checkpoints stay readable when Keras changes, and weights of
other programs can be matched. Imports no TensorFlow, so that a file that does not fit
is refused at once.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cyclegan_tf.compat import as_tf_variable, path_of
from cyclegan_tf.messages import some_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Variables by group and name.
State = dict[str, dict[str, "tf.Variable"]]
Shapes = Mapping[str, tuple[int, ...]]

_MAX_NAMES = 8
_MAX_NAME = 120


def state_of(
    networks: Mapping[str, "keras.Model"],
    optimizers: Mapping[str, Sequence["tf.Variable"]],
) -> State:
    """The variables of networks and their optimizers, for a checkpoint.

    Args:
      networks: By name; each is a group.
      optimizers: Variables of each optimizer, by the name of the network that it
        trains; their group is `optimizer_of_NAME`.

    Returns:
      The variables by group and name.
    """
    groups = {name: named_weights(network) for name, network in networks.items()}
    for name, variables in optimizers.items():
        groups[f"optimizer_of_{name}"] = {
            f"{i:03d}_{path_of(v)}": v for i, v in enumerate(variables)
        }
    return groups


def average_of(name: str) -> str:
    """The group of a network's moving average in a checkpoint."""
    return f"average_of_{name}"


def named_weights(network: "keras.Model") -> dict[str, "tf.Variable"]:
    """The weights of a network by layer and kind, such as `first_conv_kernel`."""
    return {
        f"{layer.name}_{path_of(v).rpartition('/')[2]}": as_tf_variable(v)
        for layer in network.layers
        for v in layer.weights
    }


def mismatches(wanted: Shapes, found: Shapes) -> str:
    """Describes all names that are missing, unexpected or misshapen.

    Args:
      wanted: Shapes by name.
      found: Shapes by name.

    Returns:
      `missing: a, b; unexpected: c; misshapen: d (1, 2) instead of (2, 1)`, at most
      eight names of each kind; empty if all match.
    """
    problems = {
        "missing": [shown(name) for name in sorted(wanted.keys() - found.keys())],
        "unexpected": [shown(name) for name in sorted(found.keys() - wanted.keys())],
        "misshapen": [
            f"{shown(name)} {found[name]} instead of {wanted[name]}"
            for name in sorted(wanted.keys() & found.keys())
            if tuple(found[name]) != tuple(wanted[name])
        ],
    }
    return "; ".join(
        f"{kind}: {some_of(names, _MAX_NAMES)}"
        for kind, names in problems.items()
        if names
    )


def shown(name: str) -> str:
    """A name from a stranger's file, shortened, without control characters."""
    name = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."
    return name if name.isprintable() else ascii(name)
