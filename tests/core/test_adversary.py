import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.core.adversary import Adversary, parts, random_parts

pytestmark = pytest.mark.stack


def test_whole_part_is_a_bilinear_resize(random_images):
    images = random_images(2, 12, 8, 3)
    whole = parts(images, tf.zeros((2, 2)), tf.ones((2, 1)), 20)
    np.testing.assert_allclose(whole, tf.image.resize(images, (20, 20)), atol=1e-5)


def test_part_is_a_cut_of_each_image_for_itself(random_images):
    images = random_images(2, 16, 16, 3).numpy()
    start = tf.constant([[0.25, 0.5], [0.0, 0.125]])
    found = parts(images, start, tf.fill((2, 1), 0.5), 8)
    np.testing.assert_allclose(found[0], images[0, 4:12, 8:16], atol=1e-5)
    np.testing.assert_allclose(found[1], images[1, 0:8, 2:10], atol=1e-5)


def test_random_parts_have_at_least_their_share_and_depend_on_the_seed():
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    images = tf.constant(np.tile(ramp[None, None, :, None], (500, 64, 1, 1)))
    found = random_parts(images, 0.7, 64, tf.constant([0, 1])).numpy()
    low, high = found[:, 0, 0, 0], found[:, 0, -1, 0]
    assert 0.68 < (high - low).min() < 0.72 and 0.97 < (high - low).max() <= 1
    assert low.min() < 0.01 and low.max() > 0.25
    other = random_parts(images, 0.7, 64, tf.constant([0, 2])).numpy()
    assert np.abs(found - other).max() > 0.1
    again = random_parts(images, 0.7, 64, tf.constant([0, 1])).numpy()
    np.testing.assert_array_equal(found, again)


def test_discriminator_sees_parts_of_real_images_and_of_fakes(tiny, random_images):
    config = tiny(discriminator="projected", discriminator_crop=0.5, feature_size=40)
    real, fake = (random_images(1, 32, 32, 3, seed=seed) for seed in (0, 1))
    seen = []

    def discriminator(images, training):
        seen.append(images)
        return tf.reduce_mean(images, axis=[1, 2, 3])

    adversary = Adversary(config, discriminator, [], lambda n: tf.constant([7, n]), 1)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        gen_loss, _ = adversary.losses(real, fake)
    for images, whole, number in ((seen[0], fake, 5), (seen[1], real, 7)):
        part = random_parts(whole, 0.5, 40, tf.constant([7, number]))
        np.testing.assert_array_equal(images, part)
    moved = tape.gradient(gen_loss, fake).numpy().any(axis=-1)
    assert moved.any() and not moved.all()
