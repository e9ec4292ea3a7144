import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.networks import norms
from cyclegan_tf.networks.norms import (
    NORMS,
    BatchRenormalization,
    InstanceNormalization,
)


@pytest.fixture
def renorm(monkeypatch):
    """A layer that trusts its statistics after four updates, and no others yet."""
    monkeypatch.setattr(norms, "_FIRST_UPDATES", 2)
    monkeypatch.setattr(norms, "_LAST_UPDATES", 4)
    layer = BatchRenormalization(momentum=0.25)
    layer.build((None, None, None, 5))
    return layer


def pictures(seed: int = 0, batch: int = 2) -> tf.Tensor:
    x = np.random.default_rng(seed).normal(0.5, 2, (batch, 9, 7, 5))
    return tf.constant(x * [1, 2, 3, 4, 5], tf.float32)


def settled(layer, mean, deviation) -> None:
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(np.square(deviation))
    layer.num_updates.assign(100)


def test_first_updates_are_instance_norm(renorm):
    for i in range(3):
        x = pictures(i)
        expected = InstanceNormalization()(x)
        np.testing.assert_allclose(renorm(x, training=True), expected, atol=1e-6)
    assert float(renorm.num_updates) == 3
    assert np.abs(renorm(pictures(3), training=True) - expected).max() > 0.1


def test_statistics_move_towards_those_of_the_whole_batch(renorm):
    mean, variance = np.zeros(5), np.ones(5)
    for i in range(4):
        x = pictures(i, batch=3)
        renorm(x, training=True)
        mean += 0.25 * (np.mean(x, (0, 1, 2)) - mean)
        variance += 0.25 * (np.var(x, (0, 1, 2)) - variance)
        renorm(x)  # no update
    np.testing.assert_allclose(renorm.moving_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(renorm.moving_variance, variance, rtol=1e-4)


def test_afterwards_training_and_use_give_the_same(renorm):
    settled(renorm, np.arange(5), np.arange(3, 8))
    x = pictures()
    deviation = np.sqrt(np.arange(3, 8) ** 2 + 1e-5)
    expected = (x - np.arange(5)) / deviation
    np.testing.assert_allclose(renorm(x), expected, atol=1e-5)
    np.testing.assert_allclose(renorm(x, training=True), expected, atol=1e-5)


def test_gradients_are_those_of_instance_norm_times_a_constant(renorm):
    settled(renorm, np.arange(5), np.arange(3, 8))
    x = pictures()
    weights = tf.random.stateless_normal(x.shape, (0, 1))
    ratio = np.sqrt(np.var(x, (1, 2), keepdims=True) + 1e-5) / np.arange(3, 8)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = tf.reduce_sum(weights * renorm(x, training=True))
        theirs = tf.reduce_sum(weights * ratio * InstanceNormalization()(x))
    np.testing.assert_allclose(
        tape.gradient(ours, x), tape.gradient(theirs, x), atol=1e-6
    )


def test_a_picture_far_from_the_usual_is_bounded(renorm):
    settled(renorm, np.full(5, 1e3), np.full(5, 1e-3))
    y = renorm(pictures(), training=True).numpy()
    expected = 5 * InstanceNormalization()(pictures()) - 5
    np.testing.assert_allclose(y, expected, atol=1e-4)
    constant = renorm(tf.zeros((1, 4, 4, 5)), training=True)
    assert np.isfinite(constant).all()


@pytest.mark.parametrize("name", NORMS)
def test_norms_are_rebuilt_from_their_configs(name):
    layer = NORMS[name]("norm")
    rebuilt = type(layer).from_config(layer.get_config())
    assert rebuilt.name == "norm"
    assert rebuilt.get_config() == layer.get_config()


def test_a_saved_layer_keeps_its_statistics(renorm, tmp_path):
    inputs = keras.Input((None, None, 5))
    model = keras.Model(inputs, renorm(inputs))
    settled(renorm, np.arange(5), np.arange(3, 8))
    model.save(tmp_path / "norm.keras")
    loaded = keras.models.load_model(tmp_path / "norm.keras")
    np.testing.assert_array_equal(loaded(pictures()), model(pictures()))
