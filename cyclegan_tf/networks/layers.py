"""Layers of the official networks that Keras lacks, and the blocks made of them.

Keras pads a stride-2 convolution at the bottom and right, PyTorch on all four sides.
Every padding here is explicit, so that outputs equal those of the official networks to
the pixel and their published weights fit.
"""

import keras
import tensorflow as tf

NORM_EPSILON = 1e-5


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


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class InstanceNormalization(keras.layers.Layer):
    """Normalises each channel of each image over its pixels (arXiv 1607.08022).

    (x - mean) / sqrt(variance + epsilon), the biased variance over height and width,
    without scale and offset, as in the official networks. Equal to
    `keras.layers.GroupNormalization(groups=-1, scale=False, center=False)`, with no
    tensor of more than four dimensions, which phones' GPU delegates ask for.

    Args:
      epsilon: Added to the variance; the official networks use 1e-5.
    """

    def __init__(self, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises [batch, height, width, channels]; the shape stays."""
        mean, variance = tf.nn.moments(inputs, axes=[1, 2], keepdims=True)
        return tf.nn.batch_normalization(
            inputs, mean, variance, None, None, self.epsilon
        )

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "epsilon": self.epsilon}


def convolution(
    x,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    zero_padding: int = 0,
    use_bias: bool = False,
):
    """A convolution that pads with zeros on all four sides, weights from N(0, 0.02).

    Args:
      x: Keras tensor [batch, height, width, channels].
      filters: Channels of the result.
      kernel_size: Side of the square kernel.
      name: Name of the layer that holds the weights.
      strides: 1, or 2 to halve even sides.
      zero_padding: Rows and columns of zeros added at each side.
      use_bias: False before a norm, which would cancel the bias.

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
    )(x)


def transposed_convolution(
    x,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    use_bias: bool = False,
):
    """A transposed convolution of stride 2 that doubles both sides exactly.

    The full result is cut as PyTorch cuts it: a 3x3 kernel with padding 1 and output
    padding 1 loses its first row and column, a 4x4 kernel with padding 1 loses one on
    each side.

    Args:
      x: Keras tensor [batch, height, width, channels].
      filters: Channels of the result.
      kernel_size: 3 or 4.
      name: Name of the layer that holds the weights.
      use_bias: False before a norm, which would cancel the bias.

    Returns:
      Keras tensor [batch, 2 * height, 2 * width, filters].
    """
    x = keras.layers.Conv2DTranspose(
        filters,
        kernel_size,
        strides=2,
        padding="valid",
        use_bias=use_bias,
        kernel_initializer=_weights(),
        name=name,
    )(x)
    cut = (1, kernel_size - 3)
    return keras.layers.Cropping2D((cut, cut), name=f"{name}_crop")(x)


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
    y = InstanceNormalization(name=f"{name}_norm_1")(y)
    y = keras.layers.ReLU(name=f"{name}_relu")(y)
    y = ReflectionPadding2D(1, name=f"{name}_pad_2")(y)
    y = convolution(y, filters, 3, f"{name}_conv_2")
    y = InstanceNormalization(name=f"{name}_norm_2")(y)
    return keras.layers.Add(name=f"{name}_add")([x, y])


def _weights() -> keras.initializers.Initializer:
    # One object a layer: Keras warns when layers share an unseeded initializer.
    return keras.initializers.RandomNormal(mean=0.0, stddev=0.02)
