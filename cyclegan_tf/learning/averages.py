"""Moving averages of generators, which are shown in place of those that are trained.

Yazici et al., "The unusual effectiveness of averaging in GAN training" (ICLR 2019).
"""

from collections.abc import Mapping

import keras
import tensorflow as tf

from cyclegan_tf.compat import as_tf_variable


def start(averages: Mapping[str, keras.Model], networks: Mapping) -> None:
    """Makes averages equal to the networks of the same names."""
    for name, average in averages.items():
        average.set_weights(networks[name].get_weights())


def average_of(name: str) -> str:
    """What a checkpoint calls the average of a network."""
    return f"average_of_{name}"


def decay_at(step: tf.Tensor, decay: float) -> tf.Tensor:
    """min(decay, step / (9 + step)): at first the average forgets sooner.

    Args:
      step: Steps so far, this one included, an integer scalar.
      decay: In [0, 1).

    Returns:
      What is kept of the average, a float64 scalar.
    """
    step = tf.cast(step, tf.float64)
    return tf.minimum(tf.constant(decay, tf.float64), step / (9 + step))


def update(
    averages: Mapping[str, keras.Model],
    networks: Mapping[str, keras.Model],
    decay: tf.Tensor,
    strategy: tf.distribute.Strategy,
) -> None:
    """Moves averages to decay * average + (1 - decay) * weight, on each replica.

    Args:
      averages: By name; not in a replica's context.
      networks: Those that are trained; others of other names may be there.
      decay: What is kept, a scalar.
      strategy: The networks'.
    """

    def towards(average, weight):
        tf.raw_ops.ResourceApplyGradientDescent(
            var=average.handle,
            alpha=tf.cast(1 - decay, average.dtype),
            delta=average - weight,
        )

    for name, network in averages.items():
        for average, trained in zip(
            network.weights, networks[name].weights, strict=True
        ):
            strategy.extended.update(
                as_tf_variable(average), towards, args=(as_tf_variable(trained),)
            )
