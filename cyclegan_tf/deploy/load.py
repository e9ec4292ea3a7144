"""Loads a run or an exported file as a function from pictures to pictures."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.generators import translate
from cyclegan_tf.data import images
from cyclegan_tf.deploy.export_options import DIGIT_MAKERS, TRANSLATORS
from cyclegan_tf.deploy.exportables import DigitMaker, open_run
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator
from cyclegan_tf.files import plain_path
from cyclegan_tf.messages import UserError, check_choice, reason
from cyclegan_tf.training.run_directory import (
    CONFIG_FILE,
    check_run,
    load_options,
    read_checkpoint,
)

# From uint8 [batch, height, width, 3] to the same shape, of any size.
Translator = Callable[[np.ndarray], np.ndarray]


def load(
    path: str | os.PathLike, checkpoint: str = "latest"
) -> "LoadedModel | LoadedDigits":
    """Loads a run's generators, or an exported one.

        zebra = cg.load("runs/mine").translate(horse)
        horse = cg.load("runs/mine").translate(zebra, direction="B2A")

    Args:
      path: A run directory, a .tflite or .keras file, or the folder of a SavedModel or
        of its versions.
      checkpoint: Of a run: `latest`, `best` (see `keep_best`) or a step.

    Returns:
      A model with the method `translate`; of a run of digits, one with `generate`.

    Raises:
      UserError: there is no run with a checkpoint, and no model.
    """
    path = pathlib.Path(os.path.expanduser(path))
    if (path / CONFIG_FILE).is_file() and load_options(path).model in DIGIT_MAKERS:
        return LoadedDigits(path, checkpoint)
    return LoadedModel(path, checkpoint)


class LoadedModel:
    """The generators of a run, or one exported generator; see `load`.

    The latest checkpoint of a run is chosen at the first use of a direction.
    """

    def __init__(self, path: pathlib.Path, checkpoint: str = "latest"):
        self._path, self._checkpoint = path, checkpoint
        self._names, self._translators = {}, {}
        if (path / CONFIG_FILE).is_file():
            self._names = translator_names(path)
            check_run(path, checkpoint)
        else:
            self._translators[None] = of_model(path)

    def translate(
        self, pictures: np.ndarray, direction: str | None = None
    ) -> np.ndarray:
        """Translates a picture, or several of one size.

        Args:
          pictures: uint8 [height, width, 3] or [batch, height, width, 3], of any size,
            in RGB.
          direction: Of a run, `A2B` (X to Y) or `B2A`; by default A2B, or the only one.

        Returns:
          uint8 of the same shape.

        Raises:
          UserError: the pictures have another type or shape, or there is no such
            direction.
        """
        pictures = np.asarray(pictures)
        if (
            pictures.dtype != np.uint8
            or pictures.ndim not in (3, 4)
            or pictures.shape[-1] != 3
            or not pictures.size
        ):
            raise UserError(
                "`pictures` must be uint8 [height, width, 3] or [batch, height, width, "
                f"3]. Received: {pictures.dtype} {list(pictures.shape)}."
            )
        batch = pictures if pictures.ndim == 4 else pictures[np.newaxis]
        return self._translator(direction)(batch).reshape(pictures.shape)

    def _translator(self, direction: str | None) -> Translator:
        if self._names:
            direction = direction or next(iter(self._names))
            check_choice("direction", direction, self._names)
        elif direction is not None:
            raise UserError(
                "`direction` is for a run; an exported model has one. "
                f"Received: {direction!r}."
            )
        if direction not in self._translators:
            read = functools.partial(of_run, self._path, self._names[direction])
            self._translators[direction] = read_checkpoint(
                self._path, read, self._checkpoint
            )
        return self._translators[direction]


class LoadedDigits:
    """The generator of a run of `dcgan`, `conditional` or `vae`."""

    def __init__(self, path: pathlib.Path, checkpoint: str = "latest"):
        source = open_run(path)
        read = functools.partial(source.load, "generator")
        generator = read_checkpoint(path, read, checkpoint)
        size, classes = source.options.latent_size, source.num_classes
        self._maker = DigitMaker("", generator, size, classes)

    def generate(self, latent: np.ndarray, label: np.ndarray | None = None):
        """Generates digits.

        Args:
          latent: Float [batch, latent_size], standard normal.
          label: Integers [batch], 0 to 9, of a `conditional` only.

        Returns:
          uint8 [batch, 28, 28, 1].

        Raises:
          UserError: shapes or labels do not fit.
        """
        maker, latent = self._maker, np.asarray(latent, np.float32)
        if latent.ndim != 2 or latent.shape[1] != maker.latent_size:
            raise UserError(
                f"`latent` must be [batch, {maker.latent_size}]. Received: "
                f"{list(latent.shape)}."
            )
        if maker.num_classes:
            labels = range(maker.num_classes)
            if np.shape(label) != latent.shape[:1] or not np.isin(label, labels).all():
                raise UserError(
                    f"`label` must be {len(latent)} numbers of 0 to {labels[-1]}. "
                    f"Received: {label}."
                )
        return images.to_uint8(maker.generate(latent, label)).numpy()


# --- Runs and files as functions


def translator_names(run_dir: str | os.PathLike) -> dict[str, str]:
    """The generators of a run that translates pictures, by direction."""
    model = load_options(run_dir).model
    if model not in TRANSLATORS:
        raise UserError(
            f"{run_dir} is a run of the model `{model}`, which translates no pictures; "
            f"{' and '.join(TRANSLATORS)} do."
        )
    return open_run(run_dir).names


def of_run(run_dir: str | os.PathLike, name: str, checkpoint: str) -> Translator:
    """Loads a generator of a run from a checkpoint's path prefix."""
    source = open_run(run_dir)
    generator = source.load(name, checkpoint)
    return _on_pixels(lambda floats: translate(generator, floats, source.multiple))


def of_model(path: pathlib.Path) -> Translator:
    """Loads an exported generator; see `load`."""
    if path.is_dir():
        return _of_saved_model(_newest_version(path))
    if not path.exists():
        raise UserError(f"No such model: {path}.")
    loaders = {".tflite": _of_tflite, ".keras": _of_keras_file}
    if path.suffix.lower() not in loaders:
        raise UserError(
            f"{path} is neither a .tflite or .keras file nor a SavedModel's folder."
        )
    return loaders[path.suffix.lower()](path)


def _on_pixels(generate: Callable[[tf.Tensor], tf.Tensor]) -> Translator:
    """Builds one graph, for all sizes, from a function on floats in [-1, 1]."""
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8)

    @tf.function(input_signature=[spec], autograph=False)
    def translated(pictures):
        return images.to_uint8(generate(images.to_float(pictures)))

    graph = translated.get_concrete_function()
    return lambda pictures: graph(tf.constant(pictures)).numpy()


@contextlib.contextmanager
def _reading(path: pathlib.Path):
    """Turns errors on files that are damaged, or not ours, into one line."""
    try:
        yield
    except Exception as error:  # On damaged files loaders raise whatever they meet.
        raise UserError(f"{path} can't be used: {reason(error)}") from error


def _newest_version(folder: pathlib.Path) -> pathlib.Path:
    """The folder itself if it holds a SavedModel, or its highest version."""
    if (folder / "saved_model.pb").exists():
        return folder
    found = [file.parent for file in folder.glob("*/saved_model.pb")]
    versions = [version for version in found if version.name.isdecimal()]
    if not versions:
        raise UserError(f"{folder} holds no SavedModel.")
    return max(versions, key=lambda version: int(version.name))


def _of_saved_model(folder: pathlib.Path) -> Translator:
    with _reading(folder):
        with plain_path(folder) as plain:
            loaded = tf.saved_model.load(plain)
        translate_float = loaded.signatures.get("translate_float")
        if translate_float is None:
            raise LookupError("it has no signature `translate_float`")
        # The function refers to `loaded`, or its variables would be deleted.
        return _on_pixels(
            lambda floats: loaded.signatures["translate_float"](images=floats)["images"]
        )


def _of_keras_file(path: pathlib.Path) -> Translator:
    with _reading(path):
        generator = keras.models.load_model(path, compile=False)
        shapes = generator.input_shape, generator.output_shape
        if shapes != ((None, None, None, 3),) * 2:
            raise ValueError("it does not map images of any size to images")
    # A convolution with a stride of 2 halves the picture. In Keras 2 a transposed one,
    # which doubles it, is a subclass.
    halvings = sum(
        layer.strides == (2, 2)
        for layer in generator.layers
        if isinstance(layer, keras.layers.Conv2D)
        and not isinstance(layer, keras.layers.Conv2DTranspose)
    )
    return _on_pixels(lambda floats: translate(generator, floats, 2**halvings))


def _of_tflite(path: pathlib.Path) -> Translator:
    generator = TFLiteGenerator(path)

    def translated(picture: np.ndarray) -> np.ndarray:
        floats = images.to_float(picture[np.newaxis]).numpy()
        return images.to_uint8(generator(floats)).numpy()[0]

    def translated_at_size(picture: np.ndarray) -> np.ndarray:
        """Fits a picture into the top left of the file's size, mirrors it to fill the
        rest, and resizes the result back.
        """
        fitted = images.resize(picture, fit(picture.shape[:2], generator.size))
        height, width = fitted.shape[:2]
        below, right = generator.size[0] - height, generator.size[1] - width
        filled = np.pad(fitted, ((0, below), (0, right), (0, 0)), mode="reflect")
        return images.resize(translated(filled)[:height, :width], picture.shape[:2])

    one = translated_at_size if generator.size else translated
    return lambda pictures: np.stack([one(picture) for picture in pictures])


# --- Sizes


def shrunk(picture: np.ndarray, max_side: int) -> np.ndarray:
    """Shrinks a picture until its longer side fits in `max_side` pixels; 0: any."""
    size = picture.shape[:2]
    if not max_side or max(size) <= max_side:
        return picture
    return images.resize(picture, fit(size, (max_side, max_side)))


def fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) of the same proportions that fits in a box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
