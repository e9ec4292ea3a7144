"""Adam as its paper and PyTorch have it."""

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf


class Adam(keras.optimizers.Adam):
    """Adam with epsilon where the paper adds it (arXiv 1412.6980, algorithm 1).

    Keras adds epsilon before it corrects the bias of the second moment, which makes it
    1 / sqrt(1 - beta_2**t) times as large at step t: 32 times at first. Ten steps of a
    training are then 1e-2 away from PyTorch's, even in float64. Keras also rounds its
    betas to float32 in the corrections; here they are made in float64.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates a variable and its two moments by a gradient of the same shape."""
        dtype = variable.dtype
        gradient = tf.cast(gradient, dtype)
        step = tf.cast(self.iterations, tf.float64) + 1
        correction_1 = 1 - tf.constant(self.beta_1, tf.float64) ** step
        correction_2 = 1 - tf.constant(self.beta_2, tf.float64) ** step
        rate = tf.cast(learning_rate, tf.float64) / correction_1

        m = self._momentums[self._get_variable_index(variable)]
        v = self._velocities[self._get_variable_index(variable)]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (tf.square(gradient) - v) * (1 - self.beta_2))
        corrected = tf.sqrt(v) / tf.cast(tf.sqrt(correction_2), dtype)
        update = tf.cast(rate, dtype) * m / (corrected + self.epsilon)
        self.assign_sub(variable, update)


def make_optimizers(
    networks: Mapping[str, keras.Model],
    learning_rates: Mapping[str, Callable],
    beta_1: float,
) -> dict[str, Adam]:
    """An Adam for each network, built, so that a checkpoint can be restored at once.

    Args:
      networks: By name.
      learning_rates: A Keras schedule for each, by name.
      beta_1: Decay of the first moment; that of the second is 0.999, as in the paper.

    Returns:
      The optimizers by the networks' names.
    """
    # Keras' own epsilon is 1e-7; the official code has PyTorch's 1e-8.
    optimizers = {
        name: Adam(learning_rates[name], beta_1=beta_1, beta_2=0.999, epsilon=1e-8)
        for name in networks
    }
    for name, network in networks.items():
        optimizers[name].build(network.trainable_variables)
    return optimizers
