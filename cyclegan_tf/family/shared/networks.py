"""Small networks: a perceptron, DCGAN's two networks and a classifier of digits."""

import keras
import tensorflow as tf

from cyclegan_tf.core.layers import (
    TransposedConvolution2D,
    convolution,
    instance_normalization,
)


def perceptron(
    num_inputs: int, num_outputs: int, num_units: int, num_layers: int, name: str
) -> keras.Model:
    """A perceptron: `num_layers` hidden layers with ReLU, and a linear output layer.

    Hidden weights start from N(0, 2 / inputs) (arXiv 1502.01852), the last ones from
    Glorot's uniform distribution.
    """
    x = inputs = keras.Input((num_inputs,))
    for i in range(1, num_layers + 1):
        dense = {"activation": "relu", "kernel_initializer": "he_normal"}
        x = keras.layers.Dense(num_units, **dense, name=f"dense_{i}")(x)
    outputs = keras.layers.Dense(num_outputs, name="outputs")(x)
    return keras.Model(inputs, outputs, name=name)


def generator(num_inputs: int, num_filters: int, norm: str) -> keras.Model:
    """DCGAN's generator (arXiv 1511.06434, section 3): 7x7, doubled twice, tanh.

    Args:
      num_inputs: Size of a latent, and of its one-hot label if there is one.
      num_filters: Channels at 14x14; twice as many at 7x7.
      norm: `batch` (after each layer but the last, in place of the bias) or `none`.

    Returns:
      A model from [batch, num_inputs] to [batch, 28, 28, 1] in [-1, 1].
    """
    inputs = keras.Input((num_inputs,))
    x = keras.layers.Dense(
        7 * 7 * 2 * num_filters,
        use_bias=norm == "none",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="dense",
    )(inputs)
    x = keras.layers.Reshape((7, 7, 2 * num_filters), name="reshape")(x)
    x = keras.layers.ReLU(name="relu_1")(_normed(x, norm, "norm_1"))
    x = TransposedConvolution2D(num_filters, 4, norm == "none", name="up_1")(x)
    x = keras.layers.ReLU(name="relu_2")(_normed(x, norm, "norm_2"))
    x = TransposedConvolution2D(1, 4, use_bias=True, name="up_2")(x)
    x = keras.layers.Activation("tanh", name="tanh")(x)
    return keras.Model(inputs, x, name="generator")


def discriminator(channels: int, num_filters: int, norm: str) -> keras.Model:
    """DCGAN's discriminator: two halving convolutions, leaky ReLU, one logit.

    Args:
      channels: Channels of the images, and of a label if there is one.
      num_filters: Channels at 14x14; twice as many at 7x7.
      norm: `batch` (after the second convolution) or `none`.

    Returns:
      A model from [batch, 28, 28, channels] to logits [batch, 1].
    """
    x = inputs = keras.Input((28, 28, channels))
    halving = {"strides": 2, "zero_padding": 1}
    x = convolution(x, num_filters, 4, "down_1", use_bias=True, **halving)
    x = keras.layers.LeakyReLU(0.2, name="relu_1")(x)
    biased = norm == "none"
    x = convolution(x, 2 * num_filters, 4, "down_2", use_bias=biased, **halving)
    x = keras.layers.LeakyReLU(0.2, name="relu_2")(_normed(x, norm, "norm_2"))
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(1, name="logit")(x)
    return keras.Model(inputs, x, name="discriminator")


def features(
    num_filters: int,
    num_features: int,
    norm: str = "none",
    activation: str = "relu",
    name: str = "features",
) -> keras.Model:
    """Features for classifiers: two halving convolutions and a dense layer.

    Args:
      num_filters: Channels at 14x14; twice as many at 7x7.
      num_features: Size of the output.
      norm: `instance` (after each convolution) or `none`.
      activation: Activation of the output: `relu`, or `tanh` for [-1, 1].
      name: Name of the model.

    Returns:
      A model from [batch, 28, 28, 1] to [batch, num_features].
    """
    inputs = x = keras.Input((28, 28, 1))
    for i, filters in enumerate((num_filters, 2 * num_filters), start=1):
        x = keras.layers.Conv2D(
            filters,
            5,
            strides=2,
            padding="same",
            use_bias=norm == "none",
            kernel_initializer="he_normal",
            name=f"down_{i}",
        )(x)
        x = keras.layers.LeakyReLU(0.2, name=f"relu_{i}")(_normed(x, norm, f"norm_{i}"))
    x = keras.layers.Flatten(name="flatten")(x)
    dense = {"activation": activation, "kernel_initializer": "he_normal"}
    x = keras.layers.Dense(num_features, **dense, name="dense")(x)
    return keras.Model(inputs, x, name=name)


def _normed(x, norm: str, name: str):
    if norm == "none":
        return x
    if norm == "instance":
        return instance_normalization(name)(x)
    # Replicas share the statistics of the whole batch, and so their moving averages.
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    # With this momentum the averages follow within a thousand steps.
    return keras.layers.BatchNormalization(
        momentum=0.99, epsilon=1e-5, synchronized=several, name=name
    )(x)
