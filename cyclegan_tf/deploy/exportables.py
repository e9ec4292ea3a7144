"""What each model gives the export: its generators, their inputs and their files.

CycleGAN and pix2pix have `Translator`s; `dcgan`, `conditional` and `vae` have a
`DigitMaker`.
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
from cyclegan_tf.data import datasets, images
from cyclegan_tf.deploy import saved_model, tflite
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

_PIX2PIX_DIRECTIONS = {"a_to_b": "A2B", "b_to_a": "B2A"}


# --- Generators of a run


def network_names(options: BaseOptions) -> dict[str, str]:
    """The generators in checkpoints of a run, by direction; "" for digits."""
    if isinstance(options, Config):
        return dict(DIRECTIONS)
    if isinstance(options, Pix2Pix):
        return {_PIX2PIX_DIRECTIONS[options.direction]: "generator"}
    return {"": "generator"}


def size_multiple(options: Config | Pix2Pix) -> int:
    """The sides of a generator's input must be multiples of this."""
    is_pix2pix = isinstance(options, Pix2Pix)
    return 2**options.num_downs if is_pix2pix else options.size_multiple


def load_generator(run_dir, name: str, checkpoint: str | None = None) -> tuple:
    """Loads a generator of a run of any model that makes pictures.

    Args:
      run_dir: The run directory.
      name: `generator_g` or `generator_f` of a CycleGAN, else `generator`.
      checkpoint: A path that `check_run` gave; None for the newest.

    Returns:
      The run's options, and the generator, a Keras model.

    Raises:
      UserError: there is no run, no checkpoint, or one that does not match.
    """
    if checkpoint is None:
        read = functools.partial(load_generator, run_dir, name)
        return read_checkpoint(run_dir, read)
    options = load_options(run_dir)
    if isinstance(options, Config):
        return options, checkpoints.load_network(run_dir, name, checkpoint)
    if isinstance(options, Pix2Pix):
        network = unet(options.num_filters, options.num_downs, name=name)
    else:
        norm = getattr(options, "norm", "batch")
        num_inputs = options.latent_size + num_classes(options)
        network = digit_generator(num_inputs, options.num_filters, norm)
    checkpoints.restore_networks(checkpoint, {name: network})
    return options, network


def num_classes(options: DCGAN | Conditional) -> int:
    """Number of labels of a model of digits; 0 without labels."""
    return digits.NUM_CLASSES if isinstance(options, Conditional) else 0


def load_generators(export: ExportOptions) -> tuple[str, dict[str, keras.Model]]:
    """Loads the generators of a run from one checkpoint.

    Returns:
      The checkpoint's path prefix, and the generators by direction.

    Raises:
      UserError: as `load_generator`, or the run has no such direction.
    """
    names = network_names(load_options(export.run_dir))
    for direction in export.directions:
        check_choice("direction", direction, names)

    def read(path: str):
        found = tuple(names)
        if len(names) > 1:  # Imported runs of a CycleGAN may lack one.
            stored = checkpoints.networks_in(path)
            found = tuple(d for d, name in names.items() if name in stored)
        if not found:
            raise UserError(f"{path} holds no generator.")
        return path, {
            direction: load_generator(export.run_dir, names[direction], path)[1]
            for direction in export.directions or found
        }

    # All at once: a training that goes on may delete the checkpoint.
    return read_checkpoint(export.run_dir, read, export.checkpoint)


# --- Pictures to pictures


@dataclasses.dataclass(frozen=True)
class Translator:
    """A generator that translates pictures.

    Attributes:
      name: Such as `horse2zebra_A2B`.
      direction: `A2B` or `B2A`.
      generator: With its weights.
      multiple: The sides of its input must be multiples of this.
      size: (height, width) of its training pictures.
      pictures: uint8 test pictures [height, width, 3] of any sizes.
      calibration: Returns training pictures.
    """

    name: str
    direction: str
    generator: keras.Model
    multiple: int
    size: Size
    pictures: list[np.ndarray]
    calibration: Callable[[], list[np.ndarray]]

    verified_signatures = ("translate_float", "translate", "serving_default")

    @property
    def any_sizes(self) -> list[Size]:
        """Sizes for the verification of files that take any; one fits no multiple."""
        return [self.size, (self.size[0] * 3 // 4 + 1, self.size[1] // 2 + 3)]

    def signatures(self, max_pixels: int) -> dict:
        """The tf.functions of the SavedModel."""
        return saved_model.picture_signatures(self.generator, self.multiple, max_pixels)

    def warmup(self) -> dict:
        """Inputs of the warm-up request."""
        picture = images.resize(self.pictures[0], self.size)
        return {"image_bytes": [tf.io.encode_png(picture).numpy()]}

    def tflite(self, kind: str, size: Size, export: ExportOptions) -> tuple:
        """A TFLite file, and further fields of its row."""
        calibration = []
        if kind == "int8":
            calibration = [
                images.resize(p, size or self.size) for p in self.calibration()
            ]
        content = tflite.convert(
            self.generator, self.multiple, kind, size, export.tflite_io, calibration
        )
        with without_native_messages():
            return content, TFLiteGenerator(content).tensors()

    def reference(self, size: Size) -> tuple[dict, np.ndarray]:
        """Test pictures of a size, and their translations."""
        pictures = [images.resize(picture, size) for picture in self.pictures]
        floats = [images.to_float(picture[np.newaxis]) for picture in pictures]
        outputs = [translate(self.generator, x, self.multiple) for x in floats]
        return {"pictures": np.stack(pictures)}, np.concatenate(outputs)


# --- Latents to digits


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

    def signatures(self, max_pixels: int) -> dict:
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

    def tflite(self, kind: str, size: Size, export: ExportOptions) -> tuple:
        """A TFLite file, and further fields of its row."""
        inputs = self._inputs(_NUM_CALIBRATION_LATENTS)
        specs = [
            tf.TensorSpec([1, *value.shape[1:]], value.dtype, name=key)
            for key, value in inputs.items()
        ]

        def generate(latent, label=None):
            return {"image": self.generate(latent, label)}

        calibration = None
        if kind == "int8":
            calibration = [
                {key: value[i : i + 1] for key, value in inputs.items()}
                for i in range(_NUM_CALIBRATION_LATENTS)
            ]
        signature = {"generate": saved_model.traced(generate, *specs)}
        content = tflite.convert_function(
            self.generator, signature, calibration, kind == "int8"
        )
        return content, {"min_psnr": _MIN_INT8_PSNR} if kind == "int8" else {}

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


# --- By model


def exportable(
    export: ExportOptions,
    options: BaseOptions,
    generator: keras.Model,
    name: str,
    direction: str,
) -> Translator | DigitMaker:
    """Prepares a generator for the export.

    Args:
      export: What to export.
      options: Those of the run.
      generator: As `load_generators` gives it.
      name: Name of the model.
      direction: `A2B`, `B2A` or, for digits, "".
    """
    if not direction:
        return DigitMaker(name, generator, options.latent_size, num_classes(options))
    is_cyclegan = isinstance(options, Config)

    def pictures(part: str, number: int) -> list[np.ndarray]:
        if export.pictures:
            return datasets.sample_folder(export.pictures, number)
        if is_cyclegan:
            return datasets.sample_split(options, part + direction[0], number)
        domain = getattr(pairs(), part)
        return [domain.read(i)[..., :3] for i in range(min(number, len(domain)))]

    pairs = functools.cache(lambda: paired.load(options))
    side = options.picture_size if is_cyclegan else options.image_size
    return Translator(
        name=f"{name}_{direction}",
        direction=direction,
        generator=generator,
        multiple=size_multiple(options),
        size=(side, side),
        pictures=pictures("test", NUM_TEST_PICTURES),
        calibration=functools.cache(
            lambda: pictures("train", export.num_calibration_pictures)
        ),
    )
