"""A generator as TFLite files: in floats, and in the integers that phones are fast at.

The graph is written for phones: four dimensions at most, built-in ops only, and the
instance norm in ops that all of float, int8 and int16 kernels know.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.compat import as_tf_variable
from cyclegan_tf.data import images
from cyclegan_tf.files import scratch
from cyclegan_tf.networks.generators import translate
from cyclegan_tf.networks.layers import (
    ResizeConvolution2D,
)
from cyclegan_tf.networks.norms import is_instance_normalization

SIGNATURE = "translate"


class _TransposedKernel(ResizeConvolution2D):
    """Its 4x4 kernel ready-made: a file would compute it for each picture."""

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        return 4, 4, self.filters, channels

    def transposed_kernel(self) -> tf.Tensor:
        return self.kernel


class _SquaredNormalization(keras.layers.Layer):
    """The instance norm, its variance the mean of a product.

    TFLite would make a SQUARED_DIFFERENCE of `tf.nn.moments`, which has no int16
    kernel, and needs seven ops where this takes six.
    """

    def __init__(self, epsilon: float, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        centred = inputs - mean
        variance = tf.reduce_mean(centred * centred, axis=[1, 2], keepdims=True)
        return centred * tf.math.rsqrt(variance + self.epsilon)


def _float32(converter: tf.lite.TFLiteConverter) -> None:
    """Leaves everything as it was trained."""


def _float16(converter: tf.lite.TFLiteConverter) -> None:
    """Stores weights in half precision; a GPU computes in it, a CPU does not."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic_int8(converter: tf.lite.TFLiteConverter) -> None:
    """Stores weights in int8, one scale an output channel.

    Each convolution also brings its input to int8, with a scale taken from that very
    input; norms, sums and results stay in float.
    """
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8(converter: tf.lite.TFLiteConverter) -> None:
    """Does everything in int8, with scales from the calibration pictures."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _int16x8(converter: tf.lite.TFLiteConverter) -> None:
    """Does everything in int16, with int8 weights."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]


KINDS = {
    "float32": _float32,
    "float16": _float16,
    "dynamic_int8": _dynamic_int8,
    "int8": _int8,
    "int16x8": _int16x8,
}
CALIBRATED = ("int8", "int16x8")

# Kinds that can take and give pixels; there is no kernel that casts to int16.
PIXEL_KINDS = ("dynamic_int8", "int8")


def convert(
    generator: keras.Model,
    multiple: int,
    kind: str,
    size: tuple[int, int] | None,
    io: str = "uint8",
    calibration: Sequence[np.ndarray] = (),
) -> bytes:
    """Converts a generator to TFLite.

    Args:
      generator: The generator.
      multiple: What its sides must be a multiple of.
      kind: One of `KINDS`.
      size: (height, width) of the image the file takes, multiples of `multiple`; None
        for a file that takes any size, padding and cutting back by itself.
      io: Type of the image taken and given by the kinds in `PIXEL_KINDS`, `uint8` or
        `float32`; the others have float32. Floats are in [-1, 1]. In `dynamic_int8`,
        uint8 are pixels in [0, 255]; in `int8` they stand for floats, by the scale and
        zero point of their tensor.
      calibration: uint8 pictures of `size` for the kinds in `CALIBRATED`.

    Returns:
      The file, with the signature `translate` from `image` to `image`, both
      [1, height, width, 3].

    Raises:
      ValueError: the calibration pictures are missing, or of several or other sizes.
    """
    if kind in CALIBRATED:
        _check_calibration(calibration, size)
    as_uint8 = io == "uint8" and kind in PIXEL_KINDS
    # Without scales of its own a file casts; else the converter sees to it.
    as_pixels = as_uint8 and kind not in CALIBRATED
    with scratch() as folder:
        _save_graph(generator, multiple, size, as_pixels, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        KINDS[kind](converter)
        if kind in CALIBRATED:
            converter.representative_dataset = lambda: _floats(calibration)
        if as_uint8 and kind in CALIBRATED:
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.uint8
        return converter.convert()


def _check_calibration(pictures: Sequence[np.ndarray], size) -> None:
    # The converter would skip calibration, or crash.
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1 or (size and shapes != {(*size, 3)}):
        raise ValueError(
            f"`calibration` must hold pictures of one size, {size or 'any'}. "
            f"Received: {sorted(shapes) or 'none'}."
        )


def _floats(pictures: Sequence[np.ndarray]):
    """Calibration pictures as the converter wants them.

    The first gets a black and a white pixel, or an input scale that was set by greyer
    pictures would cut off the lights of others.
    """
    for i, picture in enumerate(pictures):
        image = images.to_float(picture[np.newaxis]).numpy()
        if i == 0:
            image[0, 0, 0], image[0, 0, 1] = -1.0, 1.0
        yield {"image": image}


def _save_graph(generator, multiple: int, size, as_pixels: bool, folder: str) -> None:
    """Saves what is converted; a SavedModel, whose variables become constants."""
    lean = lean_generator(generator)

    def translate_image(image: tf.Tensor) -> dict[str, tf.Tensor]:
        floats = images.to_float(image) if as_pixels else image
        made = lean(floats) if size else translate(lean, floats, multiple)
        return {"image": images.to_uint8(made) if as_pixels else made}

    shape = [1, *(size or (None, None)), 3]
    dtype = tf.uint8 if as_pixels else tf.float32
    spec = tf.TensorSpec(shape, dtype, name="image")
    module = tf.Module()
    module.weights = [as_tf_variable(v) for v in lean.variables]
    function = tf.function(translate_image, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, folder, signatures={SIGNATURE: function})


def lean_generator(generator: keras.Model) -> keras.Model:
    """A generator that computes the same, its layers written for TFLite."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if is_instance_normalization(layer):
            return _SquaredNormalization(layer.epsilon, name=layer.name)
        kind = type(layer)
        if kind is ResizeConvolution2D:
            kind = _TransposedKernel
        return kind.from_config(layer.get_config())

    lean = keras.models.clone_model(generator, clone_function=clone)
    copy_weights(generator, lean)
    return lean


def copy_weights(generator: keras.Model, copy: keras.Model) -> None:
    """Fills a copy whose resize convolutions have their 4x4 kernels ready-made.

    Args:
      generator: A generator of ours.
      copy: A model whose layers with weights have the same names.
    """
    for layer in generator.layers:
        weights = layer.get_weights()
        if isinstance(layer, ResizeConvolution2D):
            weights[0] = layer.transposed_kernel().numpy()
        if weights:
            copy.get_layer(layer.name).set_weights(weights)
