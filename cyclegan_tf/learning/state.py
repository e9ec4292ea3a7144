"""The state of a training by name, and how names and shapes differ.

Every variable is known by a group and a name of ours, `generator_g/first_conv_kernel`,
whatever Keras calls it, so that checkpoints outlive versions and the weights of others
find their places. Imports no TensorFlow: files that do not fit are refused at once.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cyclegan_tf.compat import as_tf_variable, path_of
from cyclegan_tf.messages import some_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from cyclegan_tf.learning.image_pool import ImagePool

# Variables by group and name.
State = dict[str, dict[str, "tf.Variable"]]
Shapes = Mapping[str, tuple[int, ...]]

_MAX_NAMES = 8
_MAX_NAME = 120


def state_of(
    networks: Mapping[str, "keras.Model"],
    optimizers: Mapping[str, Sequence["tf.Variable"]],
    pools: Mapping[str, "list[ImagePool]"],
) -> State:
    """Everything that training changes, for a checkpoint.

    Args:
      networks: By name; each is a group.
      optimizers: Variables of each, by the name of the network that it trains;
        `optimizer_of_NAME`.
      pools: Image pools by name, one a replica; `pools_NAME_REPLICA`.

    Returns:
      The variables by group and name.
    """
    groups = {name: named_weights(network) for name, network in networks.items()}
    for name, variables in optimizers.items():
        groups[f"optimizer_of_{name}"] = {
            f"{i:03d}_{path_of(v)}": v for i, v in enumerate(variables)
        }
    for name, replicas in pools.items():
        for replica, pool in enumerate(replicas):
            variables = {"images": pool.images, "count": pool.count}
            groups[f"pools_{name}_{replica}"] = variables
    return groups


def named_weights(network: "keras.Model") -> dict[str, "tf.Variable"]:
    """The weights of a network by layer and kind, such as `first_conv_kernel`."""
    return {
        f"{layer.name}_{path_of(v).rpartition('/')[2]}": as_tf_variable(v)
        for layer in network.layers
        for v in layer.weights
    }


def mismatches(wanted: Shapes, found: Shapes) -> str:
    """Lists all that is missing, unexpected or misshapen.

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
    """A name that a stranger may have chosen, short and without control characters."""
    name = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."
    return name if name.isprintable() else ascii(name)
