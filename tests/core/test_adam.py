"""Adam against the paper's algorithm, and against PyTorch's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from cyclegan_tf.core.adam import Adam

pytestmark = pytest.mark.stack

SETTINGS = {"beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}


def rate(step) -> tf.Tensor:
    return tf.constant(2e-4, tf.float64)


def gradients(number: int, shape=(5,)) -> list[np.ndarray]:
    """From far below epsilon to far above it, and zeros."""
    random = np.random.default_rng(0)
    sizes = np.array([1e-12, 1e-8, 1e-6, 1.0, 0.0])
    return [random.normal(size=shape) * sizes for _ in range(number)]


def of_the_paper(values: np.ndarray, steps) -> np.ndarray:
    m = v = 0.0
    for t, g in enumerate(steps, start=1):
        m = 0.5 * m + (1 - 0.5) * g
        v = 0.999 * v + (1 - 0.999) * g**2
        m_hat, v_hat = m / (1 - 0.5**t), v / (1 - 0.999**t)
        values = values - 2e-4 * m_hat / (np.sqrt(v_hat) + 1e-8)
    return values


def of_ours(values: np.ndarray, steps, dtype: str) -> np.ndarray:
    variable = tf.Variable(values, dtype=dtype)
    adam = Adam([variable], rate, **SETTINGS)
    apply = tf.function(lambda gradient: adam.apply([gradient]))
    for gradient in steps:
        apply(tf.constant(gradient, dtype))
    return variable.numpy().astype("float64") - values


def of_torch(values: np.ndarray, steps) -> np.ndarray:
    parameter = torch.nn.Parameter(torch.tensor(values))
    adam = torch.optim.Adam([parameter], lr=2e-4, betas=(0.5, 0.999), eps=1e-8)
    for gradient in steps:
        parameter.grad = torch.tensor(gradient)
        adam.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("num_steps", [1, 2, 10, 1000])
def test_updates_are_those_of_the_paper_and_of_pytorch(num_steps):
    values, steps = np.zeros(5), gradients(num_steps)
    expected = of_the_paper(values, steps)
    np.testing.assert_allclose(of_torch(values, steps), expected, rtol=1e-12)
    ours = of_ours(values, steps, "float64")
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    ours = of_ours(values, steps, "float32")
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-12)


def test_first_step_is_the_rate_times_the_sign_but_for_small_gradients():
    gradient = np.array([3.0, -0.02, 1e-8, 1e-12, 0.0])
    update = of_ours(np.zeros(5), [gradient], "float32")
    expected = -2e-4 * gradient / (abs(gradient) + 1e-8)
    np.testing.assert_allclose(update, expected, rtol=1e-5)


def test_keras_own_adam_is_another_for_small_gradients():
    """What this class is for."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    layer.build((None, 1))
    adam = keras.optimizers.Adam(2e-4, **SETTINGS)
    adam.apply_gradients([(tf.constant([[1e-8]]), layer.kernel)])
    ours = of_ours(np.zeros(1), [np.array([1e-8])], "float32")
    assert ours[0] < 10 * layer.kernel.numpy()[0, 0] < 0


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_updates_in_a_graph_and_over_replicas_are_the_same(num_replicas):
    devices = [f"CPU:{i}" for i in range(num_replicas)]
    strategy = tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    steps = gradients(10)
    with strategy.scope():
        variable = tf.Variable(np.zeros(5), dtype="float32")
        adam = Adam([variable], rate, **SETTINGS)
    # What each replica's part of the batch gives is another gradient.
    shares = tf.constant([1.0] if num_replicas == 1 else [0.25, 0.75])

    @tf.function
    def train_step(gradient):
        def update():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            adam.apply([shares[replica] * gradient])

        strategy.run(update)

    for gradient in steps:
        train_step(tf.constant(gradient, tf.float32))
    np.testing.assert_allclose(
        variable.numpy(), of_ours(np.zeros(5), steps, "float32"), rtol=1e-5, atol=1e-12
    )
    for mirrored in (variable, *adam.variables):
        first, *others = strategy.experimental_local_results(mirrored)
        assert len(others) == num_replicas - 1
        for other in others:
            np.testing.assert_array_equal(first.numpy(), other.numpy())
    assert adam.iterations.numpy() == 10
