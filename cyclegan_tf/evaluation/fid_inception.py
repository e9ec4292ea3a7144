"""The Inception network of published FIDs, with weights from a file.

Published FIDs compare features of the Inception that Google published on 2015-12-05. It
has other weights than Keras' InceptionV3, and a max pool in its last block. Geometry,
names of weights and `legacy_pytorch` are those of pytorch-fid
(github.com/mseitzer/pytorch-fid), `clean` that of clean-fid
(github.com/GaParmar/clean-fid), names in Google's graph those of torch-fidelity
(github.com/toshas/torch-fidelity).
"""

import os
import pathlib
import re
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from keras.layers import AveragePooling2D, MaxPooling2D
from PIL import Image

from cyclegan_tf.core.features import digest
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.core.state import mismatches
from cyclegan_tf.messages import UserError, check_choice, reason
from cyclegan_tf.pytorch import files

_SIDE = 299
_EPSILON = 0.001

# torchvision's InceptionV3 has 1,000.
_NUM_CLASSES = 1008

_FETCH = (
    "Fetch pt_inception-2015-12-05-6726825d.pth of pytorch-fid, or "
    "classify_image_graph_def.pb of Google's inception-2015-12-05.tgz."
)

# Filters, size, strides and padding of the first convolutions.
_STEM = {
    "Conv2d_1a_3x3": (32, 3, 2, "valid"),
    "Conv2d_2a_3x3": (32, 3, 1, "valid"),
    "Conv2d_2b_3x3": (64, 3, 1, "same"),
    "Conv2d_3b_1x1": (80, 1, 1, "valid"),
    "Conv2d_4a_3x3": (192, 3, 1, "valid"),
}

# The branches of a block: filters and size of each convolution. A dict of sizes means
# one convolution a size, side by side.
_DOUBLE = ((64, 1), (96, 3), (96, 3))
_A = {"1x1": ((64, 1),), "5x5": ((48, 1), (64, 5)), "3x3dbl": _DOUBLE}
_B = {"3x3": ((384, 3),), "3x3dbl": _DOUBLE}
_C128, _C160, _C192 = (
    {
        "1x1": ((192, 1),),
        "7x7": ((n, 1), (n, (1, 7)), (192, (7, 1))),
        "7x7dbl": ((n, 1), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))),
    }
    for n in (128, 160, 192)
)
_D = {
    "3x3": ((192, 1), (320, 3)),
    "7x7x3": ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)),
}
_FORK = (384, {"a": (1, 3), "b": (3, 1)})
_E = {
    "1x1": ((320, 1),),
    "3x3": ((384, 1), _FORK),
    "3x3dbl": ((448, 1), (384, 3), _FORK),
}

# Branches, pool, and filters of the convolution after the pool. With 0 there is none,
# and strides are 2.
_BLOCKS = {
    "5b": (_A, AveragePooling2D, 32),
    "5c": (_A, AveragePooling2D, 64),
    "5d": (_A, AveragePooling2D, 64),
    "6a": (_B, MaxPooling2D, 0),
    "6b": (_C128, AveragePooling2D, 192),
    "6c": (_C160, AveragePooling2D, 192),
    "6d": (_C160, AveragePooling2D, 192),
    "6e": (_C192, AveragePooling2D, 192),
    "7a": (_D, MaxPooling2D, 0),
    "7b": (_E, AveragePooling2D, 192),
    "7c": (_E, MaxPooling2D, 192),
}

# The weights of a convolution in a state dict and in Google's graph.
_PARTS = {
    "conv.weight": "conv2d_params",
    "bn.weight": "batchnorm/gamma",
    "bn.bias": "batchnorm/beta",
    "bn.running_mean": "batchnorm/moving_mean",
    "bn.running_var": "batchnorm/moving_variance",
}
_LAYER = re.compile(r"Mixed_(..)\.branch(.*?)(?:_(pool|\d)([ab])?)?")


def load(
    path: str | os.PathLike, mode: str = "clean"
) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """Loads the network of published FIDs.

    Args:
      path: `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid; or, with a name that
        ends in `.pb`, Google's `classify_image_graph_def.pb`.
      mode: Resizing and scaling of pictures, a key of `MODES`.

    Returns:
      Name and function of an `Extractor`: `fid-DIGEST-MODE`, with the same digest for
      both files; and from uint8 [number, height, width, 3] to float32 [number, 2048].

    Raises:
      UserError: the file is missing, damaged, or of another network.
    """
    check_choice("mode", mode, MODES)
    if not path:
        raise UserError(f"FID's Inception needs a file, `feature_weights`. {_FETCH}")
    path, model, to_input = pathlib.Path(path).expanduser(), network(), MODES[mode]
    convolutions = [a for a in model.layers if isinstance(a, keras.layers.Conv2D)]
    shapes = {"fc.weight": (_NUM_CLASSES, 2048)}
    for layer in convolutions:
        height, width, inputs, filters = layer.kernel.shape
        shapes |= {f"{layer.name}.{part}": (filters,) for part in _PARTS}
        shapes[f"{layer.name}.conv.weight"] = (filters, inputs, height, width)
    is_graph = path.suffix == ".pb"
    found = _read_graph(path, shapes) if is_graph else files.read(path)
    arrays = _arrays(path, found, shapes)
    for layer in convolutions:
        layer.set_weights(_folded(*(arrays[f"{layer.name}.{part}"] for part in _PARTS)))
    name = f"fid-{digest([arrays[key] for key in sorted(arrays)])}-{mode}"
    return name, lambda pictures: model(to_input(pictures), training=False).numpy()


def clean(pictures: np.ndarray) -> np.ndarray:
    """Input like clean-fid: Pillow's bicubic filter on floats, then (x - 128) / 128.

    The result is float32 [number, 299, 299, 3] in [-1, 127 / 128].
    """
    size, resized = (_SIDE, _SIDE), np.empty((len(pictures), _SIDE, _SIDE, 3), "f4")
    for i, channel in np.ndindex(len(pictures), 3):
        image = Image.fromarray(pictures[i, :, :, channel].astype(np.float32))
        resized[i, :, :, channel] = image.resize(size, Image.Resampling.BICUBIC)
    return (resized.clip(0, 255) - 128) / 128


def legacy_pytorch(pictures: np.ndarray) -> tf.Tensor:
    """Input like pytorch-fid: bilinear without antialias, then 2 x / 255 - 1.

    The result is float32 [number, 299, 299, 3] in [-1, 1].
    """
    return tf.image.resize(pictures, (_SIDE, _SIDE), "bilinear") / 127.5 - 1.0


MODES: dict[str, Callable] = {"clean": clean, "legacy_pytorch": legacy_pytorch}


# --- The network


@computing_in("float32")
def network() -> keras.Model:
    """The network up to its last pooling, with random weights.

    It maps float32 [batch, 299, 299, 3] in [-1, 1] to [batch, 2048]. Each of its 94
    convolutions includes a batch norm, and has its state dict's name.
    """
    inputs = x = keras.Input((_SIDE, _SIDE, 3))
    for name, settings in _STEM.items():
        x = _convolve(x, name, *settings)
        if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
            x = MaxPooling2D(3, 2)(x)
    for place, settings in _BLOCKS.items():
        x = _block(x, f"Mixed_{place}.branch", *settings)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def _block(x, name: str, branches: dict, pool, pool_filters: int):
    last = (1, "same") if pool_filters else (2, "valid")
    outputs = []
    for branch, (*steps, (filters, sizes)) in branches.items():
        y, number = x, f"_{len(steps) + 1}" if steps else ""
        for i, step in enumerate(steps, start=1):
            y = _convolve(y, f"{name}{branch}_{i}", *step, 1, "same")
        for letter, size in (sizes if isinstance(sizes, dict) else {"": sizes}).items():
            last_name = f"{name}{branch}{number}{letter}"
            outputs.append(_convolve(y, last_name, filters, size, *last))
    # TensorFlow leaves pixels outside the picture out of averages.
    y = pool(3, *last)(x)
    if pool_filters:
        y = _convolve(y, f"{name}_pool", pool_filters, 1, 1, "same")
    return keras.layers.Concatenate()([*outputs, y])


def _convolve(x, name: str, filters: int, size, strides: int, padding: str):
    return keras.layers.Conv2D(
        filters, size, strides, padding, activation="relu", name=name
    )(x)


# --- Weights


def _arrays(path, found: dict[str, files.Tensor], shapes) -> dict[str, np.ndarray]:
    """The weights as float32; refuses those that do not fit."""
    wrong = mismatches(shapes, {n: t.shape for n, t in found.items() if n in shapes})
    if wrong:
        raise UserError(
            f"{path} holds no weights of FID's Inception: {wrong}. {_FETCH}"
        )
    with np.errstate(over="ignore"):
        arrays = {name: found[name].numpy().astype(np.float32) for name in shapes}
    for name, array in arrays.items():
        least = 0 if name.endswith("running_var") else -np.inf
        if not np.isfinite(array).all() or array.min() < least:
            raise UserError(f"{path} is damaged: {name} has impossible values.")
    return arrays


def _folded(kernel, gamma, beta, mean, variance) -> list[np.ndarray]:
    """Kernel and bias of a convolution with its batch norm, in TensorFlow's order."""
    scale = gamma / np.sqrt(variance.astype(np.float64) + _EPSILON)
    return [kernel.transpose(2, 3, 1, 0) * scale, beta - mean * scale]


def _read_graph(path: pathlib.Path, names: Iterable[str]) -> dict[str, files.Tensor]:
    """The weights in Google's graph, with names and axes of a state dict."""
    try:
        graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} can't be read: {reason(error)}.") from error
    except DecodeError as error:
        raise UserError(f"{path} is no TensorFlow graph.") from error
    constants = {
        node.name: node.attr["value"].tensor
        for node in graph.node
        if node.attr["value"].tensor.dtype == tf.float32.as_datatype_enum
    }
    found = {name: constants.get(_name_in_graph(name)) for name in names}
    return {name: _tensor(path, c) for name, c in found.items() if c is not None}


def _tensor(path: pathlib.Path, constant) -> files.Tensor:
    shape = [dimension.size for dimension in constant.tensor_shape.dim]
    axes = (3, 2, 0, 1) if len(shape) == 4 else tuple(reversed(range(len(shape))))

    def numpy() -> np.ndarray:
        try:
            return tf.make_ndarray(constant).transpose(axes)
        except ValueError as error:
            raise UserError(f"{path} is damaged.") from error

    return files.Tensor(tuple(shape[i] for i in axes), np.dtype(np.float32), numpy)


def _name_in_graph(name: str) -> str:
    """Google's name for a weight, such as `mixed_4/tower/conv_1/conv2d_params`.

    The first branch with several convolutions is `tower`, the second `tower_1`, the
    branch of the pool `tower_2`. Number 0 is left out everywhere.
    """
    if name == "fc.weight":
        return "softmax/weights"
    layer, kind, part = name.rsplit(".", 2)
    if layer in _STEM:
        places = [f"conv_{list(_STEM).index(layer)}"]
    else:
        block, branch, step, letter = _LAYER.fullmatch(layer).groups()
        towers = [b for b, steps in _BLOCKS[block][0].items() if len(steps) > 1]
        places = [f"mixed_{list(_BLOCKS).index(block)}"]
        if step:
            places.append(f"tower_{2 if step == 'pool' else towers.index(branch)}")
        if letter:
            places += ["mixed", f"conv_{'ab'.index(letter)}"]
        else:
            places.append(f"conv_{int(step) - 1 if step and step != 'pool' else 0}")
    places = [place.removesuffix("_0") for place in places]
    return "/".join([*places, _PARTS[f"{kind}.{part}"]])
