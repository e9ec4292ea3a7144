"""What every network must do, whatever it computes."""

import keras
import numpy as np
import tensorflow as tf


def check_network(network: keras.Model, sizes, path) -> None:
    """Config round trip, eager equals graph, any size, gradients, save and load.

    Args:
      network: A model on images.
      sizes: (height, width) pairs it must accept.
      path: A folder to write to.
    """
    random = np.random.default_rng(0)
    graph = tf.function(network, reduce_retracing=True)
    for height, width in sizes:
        images = tf.constant(random.uniform(-1, 1, (2, height, width, 3)), tf.float32)
        eager = network(images)
        assert np.all(np.isfinite(eager))
        np.testing.assert_allclose(eager, graph(images), atol=1e-5)
        # Each image is treated for itself, which batched calls rely on.
        np.testing.assert_allclose(eager[:1], network(images[:1]), atol=1e-5)
    _check_gradients(network, images)
    _check_copies(network, images, path)


def _check_gradients(network, images) -> None:
    with tf.GradientTape() as tape:
        output = network(images)
        # A sum of squares: a plain sum is constant after a norm.
        loss = tf.reduce_sum(output * tf.random.stateless_normal(output.shape, (1, 2)))
    variables = network.trainable_variables
    for variable, gradient in zip(
        variables, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, variable.name
        assert np.any(np.abs(gradient) > 0), variable.name


def _check_copies(network, images, path) -> None:
    rebuilt = network.__class__.from_config(network.get_config())
    rebuilt.set_weights(network.get_weights())
    np.testing.assert_array_equal(rebuilt(images), network(images))
    network.save(path / "network.keras")
    loaded = keras.models.load_model(path / "network.keras")
    np.testing.assert_array_equal(loaded(images), network(images))
