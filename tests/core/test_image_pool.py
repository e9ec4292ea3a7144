import numpy as np
import pytest
import tensorflow as tf
from helpers.python_pool import PythonPool

from cyclegan_tf.core.image_pool import ImagePool, pool_draws

pytestmark = pytest.mark.stack


def numbered(first, count):
    """Images that hold nothing but their number."""
    numbers = np.arange(first, first + count, dtype=np.float32)
    return np.broadcast_to(numbers[:, None, None, None], (count, 2, 2, 3)).copy()


@pytest.mark.parametrize("size,batch", [(1, 1), (4, 1), (5, 3), (50, 2), (3, 5)])
def test_pool_equals_plain_python_sample_by_sample(size, batch):
    pool, python_pool = ImagePool(size, (2, 2, 3)), PythonPool(size)
    query = tf.function(pool.query)
    for step in range(3 * size // batch + 20):
        images, seed = numbered(step * batch, batch), tf.constant([7, step])
        swaps, chosen = (x.numpy() for x in pool_draws(batch, size, seed))
        expected = python_pool.query(images, swaps, chosen)
        np.testing.assert_array_equal(query(tf.constant(images), seed), expected)
        stored = pool.images.numpy()[: len(python_pool.images)]
        np.testing.assert_array_equal(stored, python_pool.images)
        assert pool.count.numpy() == len(python_pool.images)


def test_pool_returns_input_until_full():
    pool = ImagePool(6, (2, 2, 3))
    for step in range(3):
        images = numbered(2 * step, 2)
        np.testing.assert_array_equal(pool.query(images, (0, step)), images)


def test_full_pool_swaps_half_of_the_time_evenly_over_its_slots():
    swaps, chosen = pool_draws(20_000, 10, tf.constant([0, 1]))
    assert np.mean(swaps) == pytest.approx(0.5, abs=0.02)
    counts = np.bincount(chosen.numpy(), minlength=10)
    assert counts.min() > 1800 and counts.max() < 2200


def test_another_seed_draws_otherwise_and_the_same_seed_alike():
    first, again, other = (
        pool_draws(100, 10, tf.constant(s))[1].numpy() for s in ([0, 1], [0, 1], [0, 2])
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_no_gradient_flows_through_the_pool():
    pool = ImagePool(2, (2, 2, 3))
    images = tf.constant(numbered(0, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        returned = pool.query(images, (0, 0))
    assert tape.gradient(returned, images) is None
