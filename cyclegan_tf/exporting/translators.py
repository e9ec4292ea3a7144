"""A run, a SavedModel or a TFLite file as a function from pictures to pictures."""

import functools
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.data import images
from cyclegan_tf.exporting.tflite_files import TFLiteGenerator
from cyclegan_tf.networks.generators import translate
from cyclegan_tf.run_directory import (
    CONFIG_FILE,
    check_run,
    load_config,
    read_checkpoint,
)
from cyclegan_tf.training.checkpoints import load_network
from cyclegan_tf.validation import UserError, check_choice

SIGNATURE = "translate_float"

# From uint8 [batch, height, width, 3] to the same shape, of any size.
Translator = Callable[[np.ndarray], np.ndarray]

# What TensorFlow raises on a SavedModel that is damaged, or not one of ours.
_NOT_LOADED = (
    tf.errors.OpError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
)


class LoadedModel:
    """The generators of a run, or one that was exported, ready to translate.

    Args:
      path: A run directory, a TFLite or Keras file, or the folder of a SavedModel.
      checkpoint: Of a run: `latest`, when a direction is first asked for, `best` or a
        step.

    Raises:
      UserError: there is no run with a checkpoint, and no model.
    """

    def __init__(self, path: str | os.PathLike, checkpoint: str = "latest"):
        path = pathlib.Path(os.path.expanduser(path))
        self._path, self._is_run = path, (path / CONFIG_FILE).is_file()
        self._translators = {}
        if self._is_run:
            self._checkpoint = checkpoint
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
          direction: Of a run's two, `A2B` (X to Y; the default) or `B2A`. An exported
            model has but one.

        Returns:
          uint8 of the same shape.

        Raises:
          UserError: the pictures are of another type or shape, the run lacks that
            direction, or an exported model is asked for one.
        """
        pictures = np.asarray(pictures)
        if pictures.dtype != np.uint8 or pictures.shape[-1:] != (3,):
            raise _not_pictures(pictures)
        if pictures.ndim not in (3, 4) or not pictures.size:
            raise _not_pictures(pictures)
        batch = pictures if pictures.ndim == 4 else pictures[np.newaxis]
        return self._translator(direction)(batch).reshape(pictures.shape)

    def _translator(self, direction: str | None) -> Translator:
        if not self._is_run and direction is not None:
            raise UserError(
                "`direction` is for a run; an exported model has one. "
                f"Received: {direction!r}."
            )
        if self._is_run:
            direction = direction or "A2B"
            check_choice("direction", direction, DIRECTIONS)
        if direction not in self._translators:
            read = functools.partial(of_run, self._path, DIRECTIONS[direction])
            self._translators[direction] = read_checkpoint(
                self._path, read, self._checkpoint
            )
        return self._translators[direction]


def load(path: str | os.PathLike, checkpoint: str = "latest") -> LoadedModel:
    """Loads a run's generators, or an exported one.

        zebra = cg.load("runs/mine").translate(horse)
        horse = cg.load("runs/mine").translate(zebra, direction="B2A")

    Args:
      path: A run directory, a .tflite or .keras file, or the folder of a SavedModel or
        of its versions.
      checkpoint: Of a run: `latest`, `best` (see `keep_best`) or a step.

    Returns:
      A model; its `translate` takes uint8 [height, width, 3] or a batch of them.

    Raises:
      UserError: there is no run with a checkpoint there, and no model.
    """
    return LoadedModel(path, checkpoint)


def _not_pictures(array: np.ndarray) -> UserError:
    return UserError(
        "`pictures` must be uint8 [height, width, 3] or [batch, height, width, 3]. "
        f"Received: {array.dtype} {list(array.shape)}."
    )


def of_run(
    run_dir: str | os.PathLike, name: str, checkpoint: str | None = None
) -> Translator:
    """A generator of a run.

    Args:
      run_dir: The run directory.
      name: `generator_g` (X to Y) or `generator_f` (Y to X).
      checkpoint: One that `check_run` gave; None for the newest.

    Raises:
      UserError: there is no run, no checkpoint, or one that does not match.
    """
    generator = load_network(run_dir, name, checkpoint)
    multiple = load_config(run_dir).size_multiple
    return _on_pixels(lambda pictures: translate(generator, pictures, multiple))


def of_model(path: pathlib.Path) -> Translator:
    """An exported generator.

    Args:
      path: A TFLite or a Keras file; or a SavedModel's folder, or the folder above,
        whose newest version is taken.

    Raises:
      UserError: there is no model, or it does not map images to images.
    """
    if path.suffix.lower() == ".tflite" and os.path.isfile(path):
        return _of_tflite(path)
    if path.suffix.lower() == ".keras" and os.path.isfile(path):
        return _of_keras_file(path)
    if os.path.isdir(path):
        return _of_saved_model(_newest_version(path))
    if os.path.exists(path):
        raise UserError(
            f"{path} is neither a .tflite or .keras file nor a SavedModel's folder."
        )
    raise UserError(f"No such model: {path}.")


def _on_pixels(generate: Callable[[tf.Tensor], tf.Tensor]) -> Translator:
    """Makes one graph, for all sizes, of a function on floats in [-1, 1]."""
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8)

    @tf.function(input_signature=[spec], autograph=False)
    def translated(pictures):
        return images.to_uint8(generate(images.to_float(pictures)))

    graph = translated.get_concrete_function()
    return lambda pictures: graph(tf.constant(pictures)).numpy()


# --- SavedModels


def _newest_version(folder: pathlib.Path) -> pathlib.Path:
    """The folder itself if it holds a SavedModel, else that of the highest number."""
    held = [file.parent for file in folder.glob("*/saved_model.pb")]
    versions = [version for version in held if version.name.isdecimal()]
    if (folder / "saved_model.pb").exists():
        return folder
    if not versions:
        raise UserError(f"{folder} holds no SavedModel.")
    return max(versions, key=lambda version: int(version.name))


def _of_saved_model(folder: pathlib.Path) -> Translator:
    try:
        loaded = tf.saved_model.load(str(folder))
        if SIGNATURE in loaded.signatures:
            # The function holds `loaded`, since its variables would go with it.
            return _on_pixels(
                lambda floats: loaded.signatures[SIGNATURE](images=floats)["images"]
            )
    except _NOT_LOADED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{folder} can't be used: {reason}") from error
    raise UserError(f"{folder} has no signature `{SIGNATURE}`.")


# --- Keras files


def _of_keras_file(path: pathlib.Path) -> Translator:
    try:
        generator = keras.models.load_model(path, compile=False)
        shape = generator.input_shape, generator.output_shape
    except _NOT_LOADED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path} can't be used: {reason}") from error
    if shape != ((None, None, None, 3),) * 2:
        raise UserError(f"{path} does not map images of any size to images.")
    # Each convolution with a stride of 2 halves the picture; in Keras 2 a transposed
    # one, which doubles it, is a kind of it.
    halvings = sum(
        layer.strides == (2, 2)
        for layer in generator.layers
        if isinstance(layer, keras.layers.Conv2D)
        and not isinstance(layer, keras.layers.Conv2DTranspose)
    )
    return _on_pixels(lambda images: translate(generator, images, 2**halvings))


# --- TFLite files


def _of_tflite(path: pathlib.Path) -> Translator:
    generator = TFLiteGenerator(path)
    one = _translated_at_size if generator.size else _translated
    return lambda pictures: np.stack([one(generator, p) for p in pictures])


def _translated(generator: TFLiteGenerator, picture: np.ndarray) -> np.ndarray:
    floats = images.to_float(picture[np.newaxis]).numpy()
    return images.to_uint8(generator(floats)).numpy()[0]


def _translated_at_size(generator: TFLiteGenerator, picture: np.ndarray) -> np.ndarray:
    """Brings a picture to a file's own size and back, without changing its shape.

    It is fitted in at the top left, and what remains is filled by mirroring it.
    """
    fitted = images.resize(picture, fit(picture.shape[:2], generator.size))
    height, width = fitted.shape[:2]
    below, right = generator.size[0] - height, generator.size[1] - width
    filled = np.pad(fitted, ((0, below), (0, right), (0, 0)), mode="reflect")
    return images.resize(
        _translated(generator, filled)[:height, :width], picture.shape[:2]
    )


# --- Sizes


def shrunk(picture: np.ndarray, max_side: int) -> np.ndarray:
    """A picture whose longer side has at most `max_side` pixels, 0 for any number."""
    size = picture.shape[:2]
    if not max_side or max(size) <= max_side:
        return picture
    return images.resize(picture, fit(size, (max_side, max_side)))


def fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) of the same proportions that fits in a box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
