"""Converts generators to TFLite files, and rebuilds them for Keras files.

TFLite graphs use built-in operations only, and four dimensions at most. Keras files
need nothing but Keras.
"""

import warnings
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf import compat
from cyclegan_tf.core.generators import translate
from cyclegan_tf.core.layers import (
    DoublingConvolution2D,
    LinearOutput,
    ReflectionPadding2D,
    ResizeConvolution2D,
    is_instance_normalization,
)
from cyclegan_tf.data import images
from cyclegan_tf.deploy import saved_model
from cyclegan_tf.files import scratch
from cyclegan_tf.messages import delayed_signals, without_native_messages

_MOST = 256  # Values that float16 may add without the loss of many digits.
SMALLER_WEIGHTS = [tf.lite.Optimize.DEFAULT]


def convert(
    generator: keras.Model,
    multiple: int,
    kind: str,
    size: tuple[int, int] | None,
    io: str = "uint8",
    calibration: Sequence[np.ndarray] = (),
) -> bytes:
    """Converts a generator that translates pictures to a TFLite file.

    `float16` stores weights in half precision. `dynamic_int8` stores them in int8, with
    a scale for each output channel; each convolution converts its input to int8 with a
    scale from that very input, and norms, sums and results stay in float. `int8`
    computes everything in int8, with scales from the calibration pictures.

    Args:
      generator: The generator.
      multiple: The sides of its input must be multiples of this.
      kind: One of `TFLITE_TYPES`.
      size: (height, width) of the file's image; None for a file that takes any size:
        it pads and cuts back by itself.
      io: Type of the image of `dynamic_int8` and `int8` files, `uint8` or `float32`;
        the others have float32. Floats are in [-1, 1]. In `dynamic_int8`, uint8 values
        are pixels in [0, 255]; in `int8` they stand for floats, by the scale and zero
        point of their tensor.
      calibration: uint8 pictures of `size`, at least one, for `int8`.

    Returns:
      The file. Its signature `translate` maps `image` to `image`, both
      [1, height, width, 3].
    """
    # Averages of blocks would lose digits in int8.
    lean = lean_generator(generator, in_blocks=kind != "int8")
    # A file without scales casts pixels itself; the converter does it for `int8`.
    casts = kind == "dynamic_int8" and io == "uint8"

    def translate_image(image: tf.Tensor) -> dict[str, tf.Tensor]:
        floats = images.to_float(image) if casts else image
        result = lean(floats) if size else translate(lean, floats, multiple)
        return {"image": images.to_uint8(result) if casts else result}

    shape, samples, settings = [1, *(size or (None, None)), 3], None, {}
    spec = tf.TensorSpec(shape, tf.uint8 if casts else tf.float32, name="image")
    if kind != "float32":
        settings["optimizations"] = SMALLER_WEIGHTS
    if kind == "float16":
        settings["target_spec"] = tf.lite.TargetSpec(supported_types=[tf.float16])
    if kind == "int8":
        settings["target_spec"] = tf.lite.TargetSpec(
            [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        )
        settings["inference_input_type"] = tf.as_dtype(io)
        settings["inference_output_type"] = tf.as_dtype(io)
        floats = [images.to_float(p[np.newaxis]).numpy() for p in calibration]
        # Scales from greyer pictures would clip the lights of others.
        floats[0][0, 0, :2] = [[-1.0], [1.0]]
        samples = [{"image": x} for x in floats]
    signature = {"translate": saved_model.traced(translate_image, spec)}
    return convert_function(lean, signature, samples, **settings)


def convert_function(
    generator: keras.Model,
    signature: dict,
    samples: Sequence[dict] | None = None,
    **settings,
) -> bytes:
    """Converts a tf.function of a generator to a TFLite file.

    Args:
      generator: Its variables are those of the function.
      signature: The function by its name in the file.
      samples: Inputs for calibration, arrays by name; None for no calibration.
      **settings: Attributes of TensorFlow's converter, such as `optimizations`.
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
        if samples is not None:
            converter.representative_dataset = lambda: samples
        for name, value in settings.items():
            setattr(converter, name, value)
        return converter.convert()


# --- The same generator in other layers


class _TransposedKernel(ResizeConvolution2D):
    """Stores its 4x4 kernel, which a file would compute for each picture."""

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        return 4, 4, self.filters, channels

    def transposed_kernel(self) -> tf.Tensor:
        return self.kernel


class _SquaredNormalization(keras.layers.Layer):
    """Instance norm whose variance is the mean of a product.

    It takes six TFLite operations; `tf.nn.moments` takes seven. With `in_blocks` means
    of known sizes are averages of blocks first: GPUs of phones add in float16, in which
    a sum of 65,536 squares overflows, or leaves most of them out.
    """

    def __init__(self, epsilon: float, in_blocks: bool, **kwargs):
        super().__init__(**kwargs)
        self.epsilon, self.in_blocks = epsilon, in_blocks

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        centred = inputs - self._mean(inputs)
        variance = self._mean(centred * centred)
        return centred * tf.math.rsqrt(variance + self.epsilon)

    def _mean(self, x: tf.Tensor) -> tf.Tensor:
        sides = x.shape[1:3]
        if self.in_blocks and sides.is_fully_defined() and sides[0] * sides[1] > _MOST:
            block = [_near_root(side) for side in sides]
            x = tf.nn.avg_pool2d(x, block, block, "VALID")
        return tf.reduce_mean(x, axis=[1, 2], keepdims=True)


def _near_root(side: int) -> int:
    """The divisor of a side next to its square root: 16 for 256."""
    divisors = [n for n in range(1, side + 1) if side % n == 0]
    return min(divisors, key=lambda n: max(n, side // n))


def lean_generator(generator: keras.Model, in_blocks: bool = False) -> keras.Model:
    """Rebuilds a generator with layers that take fewer operations in TFLite.

    With `in_blocks` it takes the means of instance norms in two steps.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if is_instance_normalization(layer):
            return _SquaredNormalization(layer.epsilon, in_blocks, name=layer.name)
        kind = type(layer)
        if kind is ResizeConvolution2D:
            kind = _TransposedKernel
        return kind.from_config(layer.get_config())

    lean = keras.models.clone_model(generator, clone_function=clone)
    return _with_weights(lean, generator)


def portable_generator(generator: keras.Model) -> keras.Model:
    """Rebuilds a generator from Keras' own layers, for `keras.models.load_model`.

    Inputs, outputs, weights and their names stay the same.
    """
    first, *layers = generator.layers
    outputs = {id(first.output): keras.Input(first.output.shape[1:], name=first.name)}
    for layer in layers:
        many = isinstance(layer.input, list)
        x = [outputs[id(t)] for t in layer.input] if many else outputs[id(layer.input)]
        outputs[id(layer.output)] = _call_portably(layer, x)
    ends = outputs[id(generator.input)], outputs[id(generator.output)]
    return _with_weights(keras.Model(*ends, name=generator.name), generator)


def _call_portably(layer: keras.layers.Layer, x):
    ops = compat.operations()
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


def _with_weights(copy: keras.Model, generator: keras.Model) -> keras.Model:
    """Fills a copy, which stores the 4x4 kernels of resize convolutions."""
    for layer in generator.layers:
        weights = layer.get_weights()
        if isinstance(layer, ResizeConvolution2D):
            weights[0] = layer.transposed_kernel().numpy()
        if weights:
            copy.get_layer(layer.name).set_weights(weights)
    return copy
