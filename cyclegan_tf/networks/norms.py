"""The norm of the networks."""

import keras
import tensorflow as tf

from cyclegan_tf import compat
from cyclegan_tf.networks.precision import full_precision

NORM_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class InstanceNormalization(keras.layers.Layer):
    """Normalises each channel of each image over its pixels (arXiv 1607.08022).

    (x - mean) / sqrt(variance + epsilon), the biased variance over height and width,
    without scale and offset, as in the official networks. Equal to
    `keras.layers.GroupNormalization(groups=-1, scale=False, center=False)`, with no
    tensor of more than four dimensions, which phones' GPU delegates ask for.

    In training each image goes through TensorFlow's kernel for batch norm, as a batch
    of one: equal to 2e-5, in half of the time. Moments are float32 at the least.

    Args:
      epsilon: Added to the variance; the official networks use 1e-5.
    """

    def __init__(self, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises [batch, height, width, channels]; the shape stays."""
        known = inputs.shape.is_fully_defined()
        if training and known and inputs.dtype != tf.float64:  # The kernel has no such.
            images = [self._fused(image) for image in tf.split(inputs, inputs.shape[0])]
            return tf.concat(images, axis=0)
        precise = tf.cast(inputs, full_precision())
        mean, variance = tf.nn.moments(precise, axes=[1, 2], keepdims=True)
        normalized = tf.nn.batch_normalization(
            precise, mean, variance, None, None, self.epsilon
        )
        return tf.cast(normalized, inputs.dtype)

    def _fused(self, image: tf.Tensor) -> tf.Tensor:
        """One image, [1, height, width, channels], as a batch norm's batch."""
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
    """An instance norm without scale and offset.

    Args:
      name: Of the layer.
      epsilon: Added to the variance.

    Returns:
      TensorFlow Addons' layer on the stack that has it, else `InstanceNormalization`;
      they give the same to 1e-6 (tested against stored outputs of the other).
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
