"""Conversion of generators to TFLite files for phones: float, half and integer.

The graphs use built-in operations only, and four dimensions at most.
"""

import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.generators import translate
from cyclegan_tf.core.layers import ResizeConvolution2D, is_instance_normalization
from cyclegan_tf.data import images
from cyclegan_tf.deploy import saved_model
from cyclegan_tf.files import scratch
from cyclegan_tf.messages import delayed_signals, without_native_messages

# The kinds that can take and give pixels.
PIXEL_KINDS = ("dynamic_int8", "int8")


def convert(
    generator: keras.Model,
    multiple: int,
    kind: str,
    size: tuple[int, int] | None,
    io: str = "uint8",
    calibration: Sequence[np.ndarray] = (),
) -> bytes:
    """Converts a generator that translates pictures.

    `float16` stores weights in half precision. `dynamic_int8` stores them in int8, with
    a scale for each output channel; each convolution brings its input to int8 with a
    scale from that very input, and norms, sums and results stay in float. `int8`
    computes everything in int8, with scales from the calibration pictures.

    Args:
      generator: The generator.
      multiple: The sides of its input must be multiples of this.
      kind: One of `TFLITE_TYPES`.
      size: (height, width) of the file's image, multiples of `multiple`; None for a
        file that takes any size: it pads and cuts back by itself.
      io: Type of the image for `PIXEL_KINDS`, `uint8` or `float32`; the others have
        float32. Floats are in [-1, 1]. In `dynamic_int8`, uint8 values are pixels in
        [0, 255]; in `int8` they stand for floats, by the scale and zero point of their
        tensor.
      calibration: uint8 pictures of `size`, for `int8`.

    Returns:
      The file, with the signature `translate` from `image` to `image`, both
      [1, height, width, 3].

    Raises:
      ValueError: the calibration pictures are missing, or have several or other sizes.
    """
    lean = lean_generator(generator)
    as_uint8 = io == "uint8" and kind in PIXEL_KINDS
    # A file without scales casts pixels itself; the converter does it for the others.
    casts = as_uint8 and kind != "int8"

    def translate_image(image: tf.Tensor) -> dict[str, tf.Tensor]:
        floats = images.to_float(image) if casts else image
        result = lean(floats) if size else translate(lean, floats, multiple)
        return {"image": images.to_uint8(result) if casts else result}

    def configure(converter: tf.lite.TFLiteConverter) -> None:
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            builtins = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [builtins]
            if as_uint8:
                converter.inference_input_type = tf.uint8
                converter.inference_output_type = tf.uint8

    shape = [1, *(size or (None, None)), 3]
    spec = tf.TensorSpec(shape, tf.uint8 if casts else tf.float32, name="image")
    samples = None
    if kind == "int8":
        _check_calibration(calibration, size)
        samples = _floats(calibration)
    signature = {"translate": saved_model.traced(translate_image, spec)}
    return convert_function(lean, signature, samples, kind != "float32", configure)


def convert_function(
    generator: keras.Model,
    signature: dict,
    samples: Sequence[dict] | None = None,
    optimize: bool = False,
    configure: Callable[[tf.lite.TFLiteConverter], None] = lambda converter: None,
) -> bytes:
    """Converts a tf.function.

    Args:
      generator: The function's variables.
      signature: The function by its name in the file.
      samples: Inputs for calibration, arrays by name; None for no calibration.
      optimize: Whether weights are stored in fewer bits.
      configure: Sets further properties of the converter.
    """
    with (
        scratch() as folder,
        delayed_signals(),
        without_native_messages(),
        warnings.catch_warnings(),
    ):
        # The calibrator warns that its interpreter moves to another package.
        warnings.simplefilter("ignore", UserWarning)
        saved_model.write(folder, generator, signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=list(signature)
        )
        if optimize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if samples is not None:
            converter.representative_dataset = lambda: samples
        configure(converter)
        return converter.convert()


def _check_calibration(pictures: Sequence[np.ndarray], size) -> None:
    # The converter would skip calibration, or crash.
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1 or (size and shapes != {(*size, 3)}):
        raise ValueError(
            f"`calibration` must hold pictures of one size, {size or 'any'}. "
            f"Received: {sorted(shapes) or 'none'}."
        )


def _floats(pictures: Sequence[np.ndarray]) -> list[dict]:
    """Calibration pictures as inputs of the file.

    The first gets a black and a white pixel: scales from greyer pictures would cut off
    the lights of others.
    """
    samples = [{"image": images.to_float(p[np.newaxis]).numpy()} for p in pictures]
    samples[0]["image"][0, 0, :2] = [[-1.0], [1.0]]
    return samples


# --- The same network in fewer operations


class _TransposedKernel(ResizeConvolution2D):
    """Stores its 4x4 kernel, which a file would compute for each picture."""

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        return 4, 4, self.filters, channels

    def transposed_kernel(self) -> tf.Tensor:
        return self.kernel


class _SquaredNormalization(keras.layers.Layer):
    """Instance norm whose variance is the mean of a product.

    It takes six TFLite operations; `tf.nn.moments` takes seven.
    """

    def __init__(self, epsilon: float, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        centred = inputs - mean
        variance = tf.reduce_mean(centred * centred, axis=[1, 2], keepdims=True)
        return centred * tf.math.rsqrt(variance + self.epsilon)


def lean_generator(generator: keras.Model) -> keras.Model:
    """Rebuilds a generator that computes the same, with layers for TFLite."""

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
    """Fills a copy that stores the 4x4 kernels of its resize convolutions.

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
