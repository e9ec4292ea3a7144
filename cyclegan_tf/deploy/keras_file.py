"""A generator as a Keras file that needs nothing but Keras."""

import keras

from cyclegan_tf import compat
from cyclegan_tf.core.layers import (
    DoublingConvolution2D,
    LinearOutput,
    ReflectionPadding2D,
    is_instance_normalization,
)
from cyclegan_tf.deploy import tflite


def portable(generator: keras.Model) -> keras.Model:
    """Rebuilds a generator from Keras' own layers and operations.

    `GroupNormalization(groups=-1)` is the instance norm, Keras' `pad` is the padding,
    and a cropped transposed convolution is the resize convolution. So
    `keras.models.load_model` finds all that it needs.

    Args:
      generator: A generator of ours.

    Returns:
      A model with the same weights, inputs, outputs and names of weights.
    """
    first, *layers = generator.layers
    outputs = {id(first.output): keras.Input(first.output.shape[1:], name=first.name)}
    for layer in layers:
        many = isinstance(layer.input, list)
        x = [outputs[id(t)] for t in layer.input] if many else outputs[id(layer.input)]
        outputs[id(layer.output)] = _call_portably(layer, x)
    model = keras.Model(
        outputs[id(generator.input)],
        outputs[id(generator.output)],
        name=generator.name,
    )
    tflite.copy_weights(generator, model)
    return model


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
