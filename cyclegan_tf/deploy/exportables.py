"""What each model gives the export: its generators, their inputs and their files.

A `Source` is a run. It has `Translator`s (CycleGAN, pix2pix) or a `DigitMaker`
(`dcgan`, `conditional`, `vae`).
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.config import DIRECTIONS, Config
from cyclegan_tf.core.generators import translate, unet
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.data import datasets, images
from cyclegan_tf.deploy import conversion, saved_model
from cyclegan_tf.deploy.export_options import ExportOptions, Size
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator
from cyclegan_tf.family.shared import digits
from cyclegan_tf.family.shared import pairs as paired
from cyclegan_tf.family.shared.networks import generator as digit_generator
from cyclegan_tf.family.shared.options import DCGAN, Conditional, Pix2Pix
from cyclegan_tf.messages import UserError, check_choice, without_native_messages
from cyclegan_tf.training import checkpoints
from cyclegan_tf.training.run_directory import load_options, read_checkpoint

NUM_TEST_PICTURES = 8
_NUM_CALIBRATION_LATENTS = 200
_DIGIT_SIZE = (28, 28)
_MIN_INT8_PSNR = 15.0  # Below it no digit is visible.


# --- Runs, by model


@dataclasses.dataclass(frozen=True)
class Source:
    """A run of a model that makes pictures, as the export and `load` see it.

    Attributes:
      options: Those of the run.
      title: Its data set, or its model.
      names: The generators in its checkpoints, by direction; "" for digits.
      load: Loads a generator, from its name and a checkpoint's path prefix.
      multiple: The sides of a generator's input must be multiples of this.
      side: Of the training pictures, in pixels.
      pictures: Reads pictures of a part, `train` or `test`, to translate in a
        direction, at most a number; None for digits.
      num_classes: Number of labels of digits; 0 without labels.
    """

    options: BaseOptions
    title: str
    names: dict[str, str]
    load: Callable[[str, str], keras.Model]
    multiple: int = 1
    side: int = 0
    pictures: Callable[[str, str, int], list[np.ndarray]] | None = None
    num_classes: int = 0


def _cyclegan(options: Config) -> Source:
    return Source(
        options,
        options.dataset,
        DIRECTIONS,
        load=lambda *which: checkpoints.load_network(options.run_dir, *which),
        multiple=options.size_multiple,
        side=options.picture_size,
        pictures=lambda part, direction, number: datasets.sample_split(
            options, part + direction[0], number
        ),
    )


def _pix2pix(options: Pix2Pix) -> Source:
    pairs = functools.cache(lambda: paired.load(options))

    def pictures(part: str, direction: str, number: int) -> list[np.ndarray]:
        domain = getattr(pairs(), part)
        return [domain.read(i)[..., :3] for i in range(min(number, len(domain)))]

    @computing_in("float32")
    def load(name: str, checkpoint: str) -> keras.Model:
        network = unet(options.num_filters, options.num_downs, name=name)
        return _restored(name, network, checkpoint)

    direction = {"a_to_b": "A2B", "b_to_a": "B2A"}[options.direction]
    return Source(
        options,
        options.dataset,
        {direction: "generator"},
        load,
        multiple=2**options.num_downs,
        side=options.image_size,
        pictures=pictures,
    )


def _digits(options: DCGAN | Conditional, norm: str, num_classes: int) -> Source:
    @computing_in("float32")
    def load(name: str, checkpoint: str) -> keras.Model:
        num_inputs = options.latent_size + num_classes
        network = digit_generator(num_inputs, options.num_filters, norm)
        return _restored(name, network, checkpoint)

    names = {"": "generator"}
    return Source(options, options.model, names, load, num_classes=num_classes)


def _restored(name: str, network: keras.Model, checkpoint: str) -> keras.Model:
    checkpoints.restore_networks(checkpoint, {name: network})
    return network


_SOURCES = {
    "cyclegan": _cyclegan,
    "pix2pix": _pix2pix,
    "dcgan": lambda options: _digits(options, options.norm, 0),
    "conditional": lambda options: _digits(options, "batch", digits.NUM_CLASSES),
    "vae": lambda options: _digits(options, options.norm, 0),
}


def open_run(run_dir) -> Source:
    """Reads the options of a run whose model makes pictures."""
    options = load_options(run_dir)
    return _SOURCES[options.model](options)


# --- Generators that translate pictures


@dataclasses.dataclass(frozen=True)
class Translator:
    """A generator that translates pictures, such as `horse2zebra_A2B`."""

    name: str
    direction: str
    generator: keras.Model
    source: Source
    export: ExportOptions

    verified_signatures = ("translate_float", "translate", "serving_default")

    @property
    def size(self) -> Size:
        """(height, width) of its training pictures."""
        return self.source.side, self.source.side

    @property
    def any_sizes(self) -> list[Size]:
        """Sizes for the verification of files that take any; one fits no multiple."""
        return [self.size, (self.size[0] * 3 // 4 + 1, self.size[1] // 2 + 3)]

    def signatures(self) -> dict:
        """The tf.functions of the SavedModel."""
        return saved_model.picture_signatures(
            self.generator, self.source.multiple, self.export.max_pixels
        )

    def warmup(self) -> dict:
        """Inputs of the warm-up request."""
        picture = images.resize(self._test_pictures[0], self.size)
        return {"image_bytes": [tf.io.encode_png(picture).numpy()]}

    def tflite(self, kind: str, size: Size | None) -> tuple[bytes, dict]:
        """A TFLite file, and further fields of its row."""
        pictures = self._calibration_pictures if kind == "int8" else []
        content = conversion.convert(
            self.generator,
            self.source.multiple,
            kind,
            size,
            self.export.tflite_io,
            [images.resize(picture, size or self.size) for picture in pictures],
        )
        with without_native_messages():
            return content, TFLiteGenerator(content).tensors()

    def reference(self, size: Size) -> tuple[dict, np.ndarray]:
        """Test pictures of a size, and their translations."""
        pictures = [images.resize(picture, size) for picture in self._test_pictures]
        floats = [images.to_float(picture[np.newaxis]) for picture in pictures]
        outputs = [translate(self.generator, x, self.source.multiple) for x in floats]
        return {"pictures": np.stack(pictures)}, np.concatenate(outputs)

    @functools.cached_property
    def _test_pictures(self) -> list[np.ndarray]:
        return self._read("test", NUM_TEST_PICTURES)

    @functools.cached_property
    def _calibration_pictures(self) -> list[np.ndarray]:
        return self._read("train", self.export.num_calibration_pictures)

    def _read(self, part: str, number: int) -> list[np.ndarray]:
        """uint8 pictures [height, width, 3] of any sizes."""
        if self.export.pictures:
            return datasets.sample_folder(self.export.pictures, number)
        try:
            return self.source.pictures(part, self.direction, number)
        except UserError as error:
            line = f"{error} --pictures FOLDER names other pictures."
            raise UserError(line) from error


# --- Generators of digits


@dataclasses.dataclass(frozen=True)
class DigitMaker:
    """A generator of digits, from a latent and a one-hot label if there are labels."""

    name: str
    generator: keras.Model
    latent_size: int
    num_classes: int

    direction = ""
    size = _DIGIT_SIZE
    any_sizes = (_DIGIT_SIZE,)
    verified_signatures = ("serving_default", "generate")

    def generate(self, latent: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        """Images [batch, 28, 28, 1] in [-1, 1] from latents, and labels if any."""
        if label is not None:
            label = tf.one_hot(label, self.num_classes)
            latent = tf.concat([latent, label], axis=1)
        return self.generator(latent, training=False)

    def signatures(self) -> dict:
        """The tf.functions of the SavedModel."""
        return saved_model.digit_signatures(
            self.generate, self.latent_size, self.num_classes
        )

    def warmup(self) -> dict:
        """Inputs of the warm-up request."""
        inputs = self._inputs(1)
        if "label" in inputs:
            inputs["label"] = inputs["label"].astype(np.int64)
        return inputs

    def tflite(self, kind: str, size: Size | None) -> tuple[bytes, dict]:
        """A TFLite file, and further fields of its row."""
        number = _NUM_CALIBRATION_LATENTS
        inputs = self._inputs(number)
        specs = [
            tf.TensorSpec([1, *value.shape[1:]], value.dtype, name=key)
            for key, value in inputs.items()
        ]

        def generate(latent, label=None):
            return {"image": self.generate(latent, label)}

        signature = {"generate": saved_model.traced(generate, *specs)}
        if kind != "int8":
            return conversion.convert_function(self.generator, signature), {}
        content = conversion.convert_function(
            self.generator,
            signature,
            [{k: v[i : i + 1] for k, v in inputs.items()} for i in range(number)],
            optimizations=conversion.SMALLER_WEIGHTS,
        )
        return content, {"min_psnr": _MIN_INT8_PSNR}

    def reference(self, size: Size) -> tuple[dict, np.ndarray]:
        """Latents, labels if any, and their digits."""
        inputs = self._inputs(NUM_TEST_PICTURES)
        return inputs, self.generate(**inputs).numpy()

    def _inputs(self, number: int) -> dict[str, np.ndarray]:
        """Latents, and labels in turn if there are any."""
        shape = [number, self.latent_size]
        inputs = {"latent": tf.random.stateless_normal(shape, (0, 1)).numpy()}
        if self.num_classes:
            labels = np.arange(number, dtype=np.int32) % self.num_classes
            inputs["label"] = labels
        return inputs


# --- All of a run


def load_models(
    source: Source, name: str, export: ExportOptions
) -> tuple[str, list[Translator | DigitMaker]]:
    """Loads the generators to export from one checkpoint.

    Args:
      source: The run.
      name: Name of the model, without the direction.
      export: What to export.

    Returns:
      The checkpoint's path prefix, and the generators.

    Raises:
      UserError: the run has no such checkpoint or direction, or it does not match.
    """
    for direction in export.directions:
        check_choice("direction", direction, source.names)

    def model(direction: str, path: str) -> Translator | DigitMaker:
        generator = source.load(source.names[direction], path)
        if source.pictures:
            full_name = f"{name}_{direction}"
            return Translator(full_name, direction, generator, source, export)
        latent_size, num_classes = source.options.latent_size, source.num_classes
        return DigitMaker(name, generator, latent_size, num_classes)

    def read(path: str) -> tuple:
        found = tuple(source.names)
        if len(found) > 1:  # Imported runs of a CycleGAN may lack one.
            stored = checkpoints.networks_in(path)
            found = tuple(d for d in found if source.names[d] in stored)
        if not found:
            raise UserError(f"{path} holds no generator.")
        return path, [model(d, path) for d in export.directions or found]

    # All at once: a training that goes on may delete the checkpoint.
    return read_checkpoint(export.run_dir, read, export.checkpoint)
