"""A generator as a Keras file that needs nothing but Keras to be loaded."""

import keras

from cyclegan_tf.layers import InstanceNormalization, ReflectionPadding2D


def portable(generator: keras.Model) -> keras.Model:
    """A generator of the same weights, made of Keras' own layers and operations.

    `GroupNormalization(groups=-1)` is the same instance norm, and `keras.ops.pad` the
    same padding, so `keras.models.load_model` finds all it needs, on any backend.

    Args:
      generator: A generator of ours.

    Returns:
      A model with the same inputs, outputs and names of weights.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, InstanceNormalization):
            return type(layer).from_config(layer.get_config())
        return keras.layers.GroupNormalization(
            groups=-1,
            epsilon=layer.epsilon,
            center=False,
            scale=False,
            name=layer.name,
        )

    def call(layer: keras.layers.Layer, *args, **kwargs):
        if not isinstance(layer, ReflectionPadding2D):
            return layer(*args, **kwargs)
        sides = (layer.padding, layer.padding)
        return keras.ops.pad(args[0], ((0, 0), sides, sides, (0, 0)), mode="reflect")

    model = keras.models.clone_model(
        generator, clone_function=clone, call_function=call
    )
    model.set_weights(generator.get_weights())
    return model
