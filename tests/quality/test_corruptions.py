"""What pictures go through before the judge sees them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from cyclegan_tf.quality import corruptions


def pictures(number=3, side=24, seed=0):
    random = np.random.default_rng(seed)
    small = random.uniform(0, 255, (number, side // 4, side // 4, 3))
    return np.repeat(np.repeat(small, 4, axis=1), 4, axis=2).astype(np.uint8)


def test_blur_is_the_gaussian_of_scipy_and_a_slight_one_hardly_seen():
    images = pictures().astype(np.float32)
    found = corruptions.blurred(images, 0.8).numpy()
    # SciPy calls `mirror` what TensorFlow calls REFLECT.
    expected = ndimage.gaussian_filter(
        images.astype(np.float64), (0, 0.8, 0.8, 0), mode="mirror", radius=(0, 3, 3, 0)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)
    # A slight blur is hardly seen.
    smooth = np.asarray(corruptions.blurred(pictures().astype(np.float32), 1.2))
    smooth = smooth.astype(np.uint8)
    soft = corruptions.slightly_blurred(smooth)
    assert soft.dtype == np.uint8
    assert 0 < np.abs(soft.astype(int) - smooth).mean() < 3


def test_jpeg_costs_what_another_encoder_costs():
    images = pictures().astype(np.float32)
    found = corruptions.as_jpeg(images, np.array([30, 75, 95])).numpy()
    for image, ours, quality in zip(images, found, (30, 75, 95), strict=True):
        file = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(file)).astype(np.float64)
        ours, theirs = (np.abs(x - image).mean() for x in (ours, theirs))
        assert ours == pytest.approx(theirs, rel=0.25, abs=0.3)


def test_view_is_whole_numbers_near_each_picture_and_always_the_same():
    images = pictures()
    for name in corruptions.VIEWS:
        found = corruptions.view(images, name, 1).numpy()
        assert found.shape == images.shape
        np.testing.assert_array_equal(found, np.round(found))
        assert found.min() >= 0 and found.max() <= 255
        np.testing.assert_array_equal(found, corruptions.view(images, name, 1))
        apart = np.abs(found - images).mean()
        assert apart == 0 if name == "plain" else 0.5 < apart < 20, name
        # Its neighbours don't matter.
        alone = corruptions.view(images[1:2], name, 1)[0].numpy()
        np.testing.assert_array_equal(found[1], alone)


def test_pictures_suffer_differently_and_by_their_seed_alone():
    images = tf.constant(np.repeat(pictures(1), 12, axis=0), tf.float32)
    found = corruptions.at_random(images, [0, 1]).numpy()
    assert len({image.tobytes() for image in found}) > 6
    np.testing.assert_array_equal(found, corruptions.at_random(images, [0, 1]))
    assert not np.array_equal(found, corruptions.at_random(images, [0, 2]))
