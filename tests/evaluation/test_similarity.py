"""Differences of pictures, by hand."""

import numpy as np
import pytest

from cyclegan_tf.evaluation import similarity


def flat(*levels, side=16):
    return np.stack([np.full((side, side, 3), level, np.uint8) for level in levels])


def noise(number=2, side=32, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (number, side, side, 3), np.uint8)


def test_error_and_psnr_by_hand():
    # It does not wrap around.
    assert similarity.error(flat(10, 250), flat(20, 0)).tolist() == [10, 250]
    found = similarity.psnr(flat(100, 7), flat(105, 7))
    assert found[0] == pytest.approx(10 * np.log10(255**2 / 25), rel=1e-6)
    assert found[1] == np.inf
    # Many pictures are measured in their order.
    pictures = np.repeat(noise(1, side=8), 70, axis=0) // 2
    brighter = pictures + np.arange(70, dtype=np.uint8)[:, None, None, None]
    assert similarity.error(pictures, brighter).tolist() == [*range(70)]


def test_ssim_is_one_of_equals_and_falls_with_noise():
    for side in (5, 11, 32):
        pictures = noise(side=side)
        np.testing.assert_allclose(similarity.ssim(pictures, pictures), 1, atol=1e-6)
        assert (similarity.ssim(pictures, noise(side=side, seed=1)) < 0.5).all()


def test_structure_sees_edges_and_not_colours():
    pictures = flat(40, 40, side=32)
    pictures[:, 8:20, 10:25] = (200, 30, 90)
    recoloured = flat(90, 90, side=32)
    recoloured[:, 8:20, 10:25] = (10, 160, 240)
    np.testing.assert_allclose(similarity.structure(pictures, recoloured), 1, atol=1e-4)
    assert (np.abs(similarity.structure(noise(), noise(seed=1))) < 0.2).all()


def test_correlation_is_minus_one_of_the_negative_and_0_of_a_constant():
    pictures = noise()
    np.testing.assert_allclose(similarity.correlation(pictures, pictures), 1)
    np.testing.assert_allclose(similarity.correlation(pictures, 255 - pictures), -1)
    assert similarity.correlation(pictures, flat(7, 7, side=32)).tolist() == [0, 0]


def test_errors_inside_and_outside_of_what_changes_in_the_truth():
    inputs, truth = flat(100, 100), flat(100, 100)
    truth[0, :4] = 180
    outputs = truth + np.uint8(3)
    outputs[0, :4] -= np.uint8(13)
    inside, outside = similarity.errors_inside_outside(outputs, inputs, truth).T
    assert inside[0] == 10
    assert np.isnan(inside[1])
    assert outside.tolist() == [3, 3]
