"""Layers of the official networks that Keras lacks, and blocks of them.

Keras pads a stride-2 convolution at the bottom and right, PyTorch on all four sides.
Every padding here is explicit, so that outputs equal those of the official networks to
the pixel and their published weights fit.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from cyclegan_tf import compat

NORM_EPSILON = 1e-5

# The type of weights, whatever the user has set in Keras.
FULL_PRECISION = "float32"


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class InstanceNormalization(keras.layers.Layer):
    """Normalises each channel of each image over its pixels (arXiv 1607.08022).

    (x - mean) / sqrt(variance + epsilon), the biased variance over height and width,
    without scale and offset, as in the official networks. It equals
    `keras.layers.GroupNormalization(groups=-1, scale=False, center=False)`, but uses
    only tensors of at most four dimensions, which the GPU delegates of phones need.

    Training runs TensorFlow's batch norm kernel on one image at a time: equal to 2e-5,
    in half of the time. Moments are computed in float32 or float64.

    Args:
      epsilon: Added to the variance; the official networks use 1e-5.
    """

    def __init__(self, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises [batch, height, width, channels]; the shape stays."""
        known = inputs.shape.is_fully_defined()
        if (
            training and known and inputs.dtype != tf.float64
        ):  # The kernel has no float64.
            images = [self._fused(image) for image in tf.split(inputs, inputs.shape[0])]
            return tf.concat(images, axis=0)
        precise = inputs
        if inputs.dtype != tf.float64:
            precise = tf.cast(inputs, tf.float32)
        mean, variance = tf.nn.moments(precise, axes=[1, 2], keepdims=True)
        normalized = tf.nn.batch_normalization(
            precise, mean, variance, None, None, self.epsilon
        )
        return tf.cast(normalized, inputs.dtype)

    def _fused(self, image: tf.Tensor) -> tf.Tensor:
        """Runs batch norm on one image, [1, height, width, channels]."""
        channels = image.shape[-1]
        return tf.raw_ops.FusedBatchNormV3(
            x=image,
            scale=tf.ones([channels]),
            offset=tf.zeros([channels]),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )[0]

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "epsilon": self.epsilon}


def instance_normalization(
    name: str, epsilon: float = NORM_EPSILON
) -> keras.layers.Layer:
    """Makes an instance norm without scale and offset.

    Args:
      name: Name of the layer.
      epsilon: Added to the variance.

    Returns:
      The layer of TensorFlow Addons if that is installed, else `InstanceNormalization`.
      They agree to 1e-6 (tests compare each with stored outputs of the other).
    """
    if addons := compat.addons():
        return addons.layers.InstanceNormalization(
            epsilon=epsilon,
            center=False,
            scale=False,
            name=name,
            dtype=full_precision(),
        )
    return InstanceNormalization(epsilon, name=name)


def is_instance_normalization(layer: keras.layers.Layer) -> bool:
    """Whether `instance_normalization` made a layer, on either stack."""
    return type(layer).__name__ == InstanceNormalization.__name__


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Sets all that new layers take from Keras' global state, and restores it.

    So the user's own settings do not change what a run computes. Weights are float32.

    Args:
      precision: The type in which layers compute: `float32`, `bfloat16` or `float16`.
    """
    half = precision != "float32"
    policy = f"mixed_{precision}" if half else FULL_PRECISION
    before = (
        keras.mixed_precision.global_policy(),
        keras.backend.floatx(),
        keras.backend.image_data_format(),
    )
    _set_keras(policy, FULL_PRECISION, "channels_last")
    try:
        yield
    finally:
        _set_keras(*before)


def _set_keras(policy, floatx: str, layout: str) -> None:
    keras.backend.set_floatx(floatx)
    keras.backend.set_image_data_format(layout)
    keras.mixed_precision.set_global_policy(policy)


def full_precision() -> str:
    """The type of weights, for layers that must not compute in half precision."""
    return FULL_PRECISION


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class ReflectionPadding2D(keras.layers.Layer):
    """Mirrors `padding` pixels outwards at each side, the border not repeated.

    Args:
      padding: Pixels added at each of the four sides, less than height and width.

    Maps [batch, height, width, channels] to [batch, height + 2 * padding,
    width + 2 * padding, channels].
    """

    def __init__(self, padding: int, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pads a batch of images."""
        sides = [self.padding, self.padding]
        return tf.pad(inputs, [[0, 0], sides, sides, [0, 0]], mode="REFLECT")

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "padding": self.padding}


class DoublingConvolution2D(keras.layers.Layer):
    """Base of the layers that double both sides by a transposed convolution.

    Maps [batch, height, width, channels] to [batch, 2 * height, 2 * width, filters].

    Args:
      filters: Channels of the result.
      use_bias: False before a norm, which would cancel the bias.
    """

    def __init__(self, filters: int, use_bias: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias

    def build(self, input_shape):
        """Creates the kernel, and the bias if there is one."""
        self.kernel = self.add_weight(
            shape=self._kernel_shape(input_shape[-1]),
            initializer=_weights(),
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.filters,), initializer="zeros", name="bias"
            )
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Doubles the sides of a batch of images."""
        kernel, shape = self.transposed_kernel(), tf.shape(inputs)
        # The result of an odd kernel has one row and one column too many: the first.
        cut = kernel.shape[0] % 2
        x = tf.nn.conv2d_transpose(
            inputs,
            kernel,
            (shape[0], 2 * shape[1] + cut, 2 * shape[2] + cut, self.filters),
            strides=2,
            padding="VALID" if cut else "SAME",
        )
        if cut and training:  # Its gradient is faster than that of x[:, 1:, 1:].
            x = tf.slice(x, [0, 1, 1, 0], [-1, -1, -1, -1])
        elif cut:
            x = x[:, 1:, 1:]
        return x + self.bias if self.use_bias else x

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        config = super().get_config()
        return {**config, "filters": self.filters, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class TransposedConvolution2D(DoublingConvolution2D):
    """A transposed convolution that doubles both sides exactly, as PyTorch's does.

    A 3x3 kernel with padding 1 and output padding 1 loses the first row and column of
    the full result, a 4x4 kernel with padding 1 loses one on each side.

    Args:
      kernel_size: 3 or 4.
    """

    def __init__(self, filters: int, kernel_size: int, use_bias=False, **kwargs):
        super().__init__(filters, use_bias, **kwargs)
        self.kernel_size = kernel_size

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        return self.kernel_size, self.kernel_size, self.filters, channels

    def transposed_kernel(self) -> tf.Tensor:
        """The kernel, [kernel_size, kernel_size, filters, channels]."""
        return tf.convert_to_tensor(self.kernel)

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class ResizeConvolution2D(DoublingConvolution2D):
    """Doubles both sides (nearest neighbour), then convolves with a 3x3 kernel.

    Odena et al. 2016, "Deconvolution and Checkerboard Artifacts". Together they are
    one linear map: a transposed convolution of stride 2 with a 4x4 kernel, which is the
    sum of the mirrored 3x3 kernel at the four places of a pixel's copies. It is
    computed that way, with 4 instead of 9 products per pixel. The weights are the 3x3
    kernel. Padding is zeros.
    """

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        return 3, 3, channels, self.filters

    def transposed_kernel(self) -> tf.Tensor:
        """The kernel of the transposed convolution, [4, 4, filters, channels]."""
        kernel = tf.transpose(tf.reverse(self.kernel, axis=[0, 1]), [0, 1, 3, 2])
        down = tf.pad(kernel, [[1, 0], [0, 0], [0, 0], [0, 0]])
        kernel = tf.pad(kernel, [[0, 1], [0, 0], [0, 0], [0, 0]]) + down
        right = tf.pad(kernel, [[0, 0], [1, 0], [0, 0], [0, 0]])
        return tf.pad(kernel, [[0, 0], [0, 1], [0, 0], [0, 0]]) + right


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class LinearOutput(keras.layers.Layer):
    """Returns its input in training, and clips it to [-1, 1] otherwise.

    It replaces tanh, which saturates: black and white areas get almost no gradient.
    `range_loss` penalises values outside [-1, 1].

    Maps [batch, height, width, channels] to that shape.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Clips a batch of images, except in training."""
        return inputs if training else tf.clip_by_value(inputs, -1.0, 1.0)


def convolution(
    x,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    zero_padding: int = 0,
    use_bias: bool = False,
    dtype: str | None = None,
):
    """A convolution that pads with zeros on all four sides.

    Args:
      x: Keras tensor [batch, height, width, channels].
      filters: Channels of the result.
      kernel_size: Side of the square kernel.
      name: Name of the layer that holds the weights.
      strides: 1, or 2 to halve even sides.
      zero_padding: Rows and columns of zeros added at each side.
      use_bias: False before a norm, which would cancel the bias.
      dtype: Type to compute in; that of the current policy if None.

    Returns:
      Keras tensor [batch, (height + 2 * zero_padding - kernel_size) // strides + 1,
      likewise width, filters].
    """
    if zero_padding:
        x = keras.layers.ZeroPadding2D(zero_padding, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="valid",
        use_bias=use_bias,
        kernel_initializer=_weights(),
        name=name,
        dtype=dtype,
    )(x)


def doubling_convolution(
    x,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    upsampling: str = "transposed",
    use_bias: bool = False,
):
    """Doubles both sides: `TransposedConvolution2D`, or `ResizeConvolution2D`.

    Args:
      x: Keras tensor [batch, height, width, channels].
      filters: Channels of the result.
      kernel_size: Kernel size of the transposed convolution.
      name: Name of the layer that holds the weights.
      upsampling: `transposed` or `resize`.
      use_bias: False before a norm, which would cancel the bias.

    Returns:
      Keras tensor [batch, 2 * height, 2 * width, filters].
    """
    if upsampling == "resize":
        return ResizeConvolution2D(filters, use_bias, name=name)(x)
    return TransposedConvolution2D(filters, kernel_size, use_bias, name=name)(x)


def residual_block(x, name: str):
    """Two reflect-padded 3x3 convolutions with norms, added to their input.

    No activation follows the sum (arXiv 1703.10593, section 7.2).

    Args:
      x: Keras tensor [batch, height, width, channels], sides at least 2.
      name: Prefix of the layers' names.

    Returns:
      Keras tensor of the same shape.
    """
    filters = x.shape[-1]
    y = ReflectionPadding2D(1, name=f"{name}_pad_1")(x)
    y = convolution(y, filters, 3, f"{name}_conv_1")
    y = instance_normalization(f"{name}_norm_1")(y)
    y = keras.layers.ReLU(name=f"{name}_relu")(y)
    y = ReflectionPadding2D(1, name=f"{name}_pad_2")(y)
    y = convolution(y, filters, 3, f"{name}_conv_2")
    y = instance_normalization(f"{name}_norm_2")(y)
    return keras.layers.Add(name=f"{name}_add")([x, y])


def _weights() -> keras.initializers.Initializer:
    # One object a layer: Keras warns when layers share an unseeded initializer.
    return keras.initializers.RandomNormal(mean=0.0, stddev=0.02)
