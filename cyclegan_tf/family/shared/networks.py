"""Small networks: a perceptron, and DCGAN's two and a classifier for 28x28 digits."""

import keras
import tensorflow as tf

from cyclegan_tf.core.layers import (
    TransposedConvolution2D,
    convolution,
    instance_normalization,
)

# Momentum of the population statistics: they must follow within a thousand steps.
_MOMENTUM = 0.99


def perceptron(
    num_inputs: int, num_outputs: int, num_units: int, num_layers: int, name: str
) -> keras.Model:
    """A perceptron: `num_layers` hidden layers with ReLU, and an output layer without.

    Returns:
      A model from [batch, num_inputs] to [batch, num_outputs]. Weights start at
      N(0, 2 / inputs) (arXiv 1502.01852), those of the last layer at Glorot's.
    """
    x = inputs = keras.Input((num_inputs,))
    for i in range(1, num_layers + 1):
        x = keras.layers.Dense(
            num_units,
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(),
            name=f"dense_{i}",
        )(x)
    outputs = keras.layers.Dense(num_outputs, name="outputs")(x)
    return keras.Model(inputs, outputs, name=name)


def generator(
    num_inputs: int, num_filters: int, norm: str, name: str = "generator"
) -> keras.Model:
    """DCGAN's generator (arXiv 1511.06434, section 3): 7x7, doubled twice, tanh.

    Args:
      num_inputs: Numbers of a latent, with those of a label if there is one.
      num_filters: Channels at 14x14; twice as many at 7x7.
      norm: `batch`, after each layer but the last, whose biases it replaces, or `none`.
      name: Of the model.

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
    return keras.Model(
        inputs, keras.layers.Activation("tanh", name="tanh")(x), name=name
    )


def discriminator(
    channels: int, num_filters: int, norm: str, name: str = "discriminator"
) -> keras.Model:
    """DCGAN's discriminator: two halving convolutions, leaky ReLU, one logit.

    Args:
      channels: Of the images, with those of a label if there is one.
      num_filters: Channels at 14x14; twice as many at 7x7.
      norm: `batch`, after the second convolution, or `none`.
      name: Of the model.

    Returns:
      A model from [batch, 28, 28, channels] to logits [batch, 1].
    """
    inputs = keras.Input((28, 28, channels))
    x = convolution(
        inputs, num_filters, 4, "down_1", strides=2, zero_padding=1, use_bias=True
    )
    x = keras.layers.LeakyReLU(0.2, name="relu_1")(x)
    x = convolution(
        x,
        2 * num_filters,
        4,
        "down_2",
        strides=2,
        zero_padding=1,
        use_bias=norm == "none",
    )
    x = keras.layers.LeakyReLU(0.2, name="relu_2")(_normed(x, norm, "norm_2"))
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="logit")(x), name=name)


def features(
    num_filters: int,
    num_features: int,
    norm: str = "none",
    activation: str = "relu",
    name: str = "features",
) -> keras.Model:
    """What a classifier looks at: two halving convolutions and a dense layer.

    Args:
      num_filters: Channels at 14x14; twice as many at 7x7.
      num_features: Numbers that come out.
      norm: `instance`, after each convolution, or `none`.
      activation: Of the features: `relu` (at least 0), or `tanh` (in [-1, 1]).
      name: Of the model.

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
            kernel_initializer=keras.initializers.HeNormal(),
            name=f"down_{i}",
        )(x)
        x = keras.layers.LeakyReLU(0.2, name=f"relu_{i}")(_normed(x, norm, f"norm_{i}"))
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(
        num_features,
        activation=activation,
        kernel_initializer=keras.initializers.HeNormal(),
        name="dense",
    )(x)
    return keras.Model(inputs, x, name=name)


def judge(num_classes: int = 10, num_factors: int = 4) -> keras.Model:
    """A classifier of digits that also predicts how a digit was drawn.

    Returns:
      A model from [batch, 28, 28, 1] to logits [batch, num_classes], factors [batch,
      num_factors] and features [batch, 64].
    """
    looks = features(32, 64)
    logits = keras.layers.Dense(num_classes, name="logits")(looks.output)
    factors = keras.layers.Dense(num_factors, name="factors")(looks.output)
    return keras.Model(looks.input, [logits, factors, looks.output], name="judge")


def with_label(images: tf.Tensor, labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Images with a channel a class: 1 at the label's, else 0.

    Args:
      images: Float [batch, height, width, channels].
      labels: Integers [batch].
      num_classes: How many there are.

    Returns:
      Float [batch, height, width, channels + num_classes].
    """
    maps = tf.one_hot(labels, num_classes, dtype=images.dtype)[
        :, tf.newaxis, tf.newaxis
    ]
    shape = [*images.shape[:3], num_classes]
    return tf.concat([images, tf.broadcast_to(maps, shape)], axis=-1)


def _normed(x, norm: str, name: str):
    if norm == "none":
        return x
    if norm == "instance":
        return instance_normalization(name)(x)
    # Of the whole batch, whatever the number of replicas; all keep the same population.
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(
        momentum=_MOMENTUM, epsilon=1e-5, synchronized=several, name=name
    )(x)
