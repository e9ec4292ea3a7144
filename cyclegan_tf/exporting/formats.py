"""Writes one generator in each format, and says how each file is to be verified."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf import compat
from cyclegan_tf.data import images
from cyclegan_tf.exporting import saved_model, tflite, tflite_files
from cyclegan_tf.exporting.request import Request, Size
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.networks.layers import (
    DoublingConvolution2D,
    LinearOutput,
    ReflectionPadding2D,
)
from cyclegan_tf.networks.norms import is_instance_normalization
from cyclegan_tf.process import delayed_signals
from cyclegan_tf.validation import UserError


@dataclasses.dataclass(frozen=True)
class Model:
    """One direction of a run.

    Attributes:
      name: Such as `horse2zebra_A2B`.
      generator: With its weights.
      multiple: What the generator's sides must be a multiple of.
      size: (height, width) it was trained at.
      pictures: uint8 test pictures [height, width, 3] of any sizes.
      calibration: Gives such training pictures.
      about: What is told of it in the files.
    """

    name: str
    generator: keras.Model
    multiple: int
    size: Size
    pictures: list[np.ndarray]
    calibration: Callable[[], list[np.ndarray]]
    about: dict

    @property
    def odd_size(self) -> Size:
        """A size that fits no multiple, to try files that take any."""
        return self.size[0] * 3 // 4 + 1, self.size[1] // 2 + 3


def _saved_model(model: Model, request: Request, folder: pathlib.Path) -> list[dict]:
    place = f"saved_model/{model.name}/{request.version}"
    path = folder / place
    path.parent.mkdir(parents=True)
    saved_model.write_saved_model(
        model.generator, model.multiple, path, request.max_pixels
    )
    picture = tf.io.encode_png(images.resize(model.pictures[0], model.size)).numpy()
    saved_model.write_warmup(path, model.name, picture)
    sizes = [model.size, model.odd_size]
    return [
        {"path": f"{place}:{signature}", "kind": signature, "sizes": sizes}
        for signature in ("translate_float", "translate", "serving_default")
    ]


def _keras_file(model: Model, request: Request, folder: pathlib.Path) -> list[dict]:
    place = f"keras/{model.name}.keras"
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    portable(model.generator).save(path)
    return [{"path": place, "kind": "keras", "sizes": [model.size]}]


def portable(generator: keras.Model) -> keras.Model:
    """A generator of the same weights, made of Keras' own layers and operations.

    `GroupNormalization(groups=-1)` is the same instance norm, `pad` of Keras the same
    padding, and a transposed convolution, cropped, the same resize convolution, so
    `keras.models.load_model` finds all it needs.

    Args:
      generator: A generator of ours.

    Returns:
      A model with the same inputs, outputs and names of weights.
    """
    ops = compat.operations()

    def output(layer: keras.layers.Layer, x):
        if isinstance(layer, LinearOutput):
            return ops.minimum(ops.maximum(x, -1.0), 1.0)
        if isinstance(layer, ReflectionPadding2D):
            sides = (layer.padding, layer.padding)
            return ops.pad(x, ((0, 0), sides, sides, (0, 0)), mode="reflect")
        if isinstance(layer, DoublingConvolution2D):
            size = layer.transposed_kernel().shape[0]
            x = keras.layers.Conv2DTranspose(
                layer.filters, size, strides=2, use_bias=layer.use_bias, name=layer.name
            )(x)
            cut = (1, size - 3)
            return keras.layers.Cropping2D((cut, cut), name=f"{layer.name}_crop")(x)
        if is_instance_normalization(layer):
            return keras.layers.GroupNormalization(
                -1, epsilon=layer.epsilon, center=False, scale=False, name=layer.name
            )(x)
        return type(layer).from_config(layer.get_config())(x)

    first, *layers = generator.layers
    made = {id(first.output): keras.Input(first.output.shape[1:], name=first.name)}
    for layer in layers:
        many = isinstance(layer.input, list)
        x = [made[id(t)] for t in layer.input] if many else made[id(layer.input)]
        made[id(layer.output)] = output(layer, x)
    model = keras.Model(
        made[id(generator.input)], made[id(generator.output)], name=generator.name
    )
    tflite.copy_weights(generator, model)
    return model


def _tflite(model: Model, request: Request, folder: pathlib.Path) -> list[dict]:
    (folder / "tflite").mkdir(exist_ok=True)
    rows = []
    for size in request.tflite_sizes:
        for kind in request.tflite_types:
            if kind == "int16x8" and size is None:
                print("  int16x8 has no kernels for any size: left out", flush=True)
                continue
            rows.append(_tflite_file(model, request, kind, size, folder))
    return rows


def _tflite_file(model, request, kind: str, size, folder: pathlib.Path) -> dict:
    """Writes a TFLite file and its description; gives its row."""
    calibration, told = [], f"{size[0]}x{size[1]}" if size else "any size"
    if kind in tflite.CALIBRATED:
        calibration = [
            images.resize(p, size or model.size) for p in model.calibration()
        ]
        told += f", calibrated on {len(calibration)} pictures"
    print(f"  {kind}, {told}", flush=True)
    with delayed_signals(), without_native_messages():
        content = tflite.convert(
            model.generator, model.multiple, kind, size, request.tflite_io, calibration
        )
        tensors = tflite_files.TFLiteGenerator(content).tensors()
    found = tflite_files.problems(content, fixed_size=size is not None)
    if found:
        raise UserError(f"Not exported. {model.name} {kind}: {'; '.join(found)}.")
    about = {
        **model.about,
        "kind": kind,
        **tensors,
        "channels": "RGB",
        "real_value": "(stored - zero_point) * scale, in [-1, 1]",
        "operations": tflite_files.operations(content),
        "gpu_problems": tflite_files.gpu_problems(content),
        "analyzer_passes_for_gpu": tflite_files.analyzer_passes(content),
    }
    place = f"tflite/{model.name}_{kind}{_suffix(size, model.size)}.tflite"
    (folder / place).write_bytes(tflite_files.with_metadata(content, about))
    described = (folder / place).with_suffix(".json")
    described.write_text(json.dumps(about, indent=2) + "\n")
    sizes = [size] if size else [model.size, model.odd_size]
    return {"path": place, "kind": kind, "sizes": sizes}


def _suffix(size: Size | None, training_size: Size) -> str:
    if size == training_size:
        return ""
    return "_any" if size is None else f"_{size[0]}x{size[1]}"


# From a model, a request and a folder to rows with `path`, `kind` and `sizes`.
WRITERS = {"savedmodel": _saved_model, "keras": _keras_file, "tflite": _tflite}
