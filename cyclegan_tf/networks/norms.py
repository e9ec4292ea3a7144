"""Norms of the networks, by the names that a configuration gives them."""

import keras
import tensorflow as tf

NORM_EPSILON = 1e-5

# Updates with the statistics of the batch alone, and until the moving ones are trusted.
_FIRST_UPDATES = 1500
_LAST_UPDATES = 4500
# How far a batch's deviation and mean may then be from the moving ones.
_RATIO_MAX = 5.0
_SHIFT_MAX = 5.0


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


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class BatchRenormalization(keras.layers.Layer):
    """Normalises each channel by what it usually is (Ioffe 2017, arXiv 1702.03275).

    Afterwards (x - moving_mean) / sqrt(moving_variance + epsilon), one factor and one
    offset a channel. In training the same values, but gradients go through each image's
    own mean and variance, so that weights stay in bounds: instance norm, multiplied and
    shifted by constants. At first these are 1 and 0; they are let free while the moving
    statistics settle. Instance norm makes the most horse-like thing of a crop as strong
    in a meadow as on a horse; this leaves it weak. Images are normalised one by one,
    where the paper takes the batch. Without scale and offset.

    Args:
      momentum: Share of the moving statistics that a batch replaces.
      epsilon: Added to the variance.
    """

    def __init__(self, momentum: float = 0.01, epsilon: float = NORM_EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        """Makes the statistics, [channels] each, and the number of their updates."""
        channels = (input_shape[-1],)
        self.moving_mean = self._statistic("moving_mean", channels, "zeros")
        self.moving_variance = self._statistic("moving_variance", channels, "ones")
        self.num_updates = self._statistic("num_updates", (), "zeros")

    def _statistic(self, name: str, shape: tuple, initializer: str):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=False,
            aggregation="only_first_replica",
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises [batch, height, width, channels]; the shape stays."""
        if not training:
            return tf.nn.batch_normalization(
                inputs,
                tf.convert_to_tensor(self.moving_mean),
                tf.convert_to_tensor(self.moving_variance),
                None,
                None,
                self.epsilon,
            )
        mean, variance = tf.nn.moments(inputs, axes=[1, 2], keepdims=True)
        normalised = tf.nn.batch_normalization(
            inputs, mean, variance, None, None, self.epsilon
        )
        mean, variance = tf.stop_gradient(mean), tf.stop_gradient(variance)
        free = (self.num_updates - _FIRST_UPDATES) / (_LAST_UPDATES - _FIRST_UPDATES)
        free = tf.clip_by_value(free, 0, 1)
        ratio_max, shift_max = 1 + free * (_RATIO_MAX - 1), free * _SHIFT_MAX
        usual = tf.sqrt(self.moving_variance + self.epsilon)
        ratio = tf.sqrt(variance + self.epsilon) / usual
        ratio = tf.clip_by_value(ratio, 1 / ratio_max, ratio_max)
        shift = (mean - self.moving_mean) / usual
        shift = tf.clip_by_value(shift, -shift_max, shift_max)
        self._update(mean, variance)
        return normalised * ratio + shift

    def _update(self, mean, variance) -> None:
        """Moves the statistics towards those of the whole batch, of all replicas."""
        mean, square = (
            tf.reduce_mean(moment, axis=(0, 1, 2))
            for moment in (mean, variance + tf.square(mean))
        )
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            mean, square = replica.all_reduce(
                tf.distribute.ReduceOp.MEAN, [mean, square]
            )
        variance = square - tf.square(mean)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign_add(self.momentum * (now - moving))
        self.num_updates.assign_add(1.0)

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        config = super().get_config()
        return {**config, "momentum": self.momentum, "epsilon": self.epsilon}


def _layer_norm(name: str) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=NORM_EPSILON, scale=False, center=False, name=name
    )


# Each makes a layer of a name, without scale and offset. `layer` (arXiv 1607.06450)
# takes one mean and one variance an image: channels keep their sizes.
NORMS = {
    "instance": lambda name: InstanceNormalization(name=name),
    "layer": _layer_norm,
    "batch_renorm": lambda name: BatchRenormalization(name=name),
}
