"""Differences of pictures by hand; distances of features against SciPy and loops."""

import numpy as np
import pytest
from scipy import linalg, spatial

from cyclegan_tf.evaluation import distances
from cyclegan_tf.evaluation.distances import Moments


def flat(*levels, side=16):
    return np.stack([np.full((side, side, 3), level, np.uint8) for level in levels])


def noise(number=2, side=32, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (number, side, side, 3), np.uint8)


def test_error_and_psnr_by_hand():
    # It does not wrap around.
    assert distances.error(flat(10, 250), flat(20, 0)).tolist() == [10, 250]
    found = distances.psnr(flat(100, 7), flat(105, 7))
    assert found[0] == pytest.approx(10 * np.log10(255**2 / 25), rel=1e-6)
    assert found[1] == np.inf
    # Many pictures are measured in their order.
    pictures = np.repeat(noise(1, side=8), 70, axis=0) // 2
    brighter = pictures + np.arange(70, dtype=np.uint8)[:, None, None, None]
    assert distances.error(pictures, brighter).tolist() == [*range(70)]


def test_ssim_is_one_of_equals_and_falls_with_noise():
    for side in (5, 11, 32):
        pictures = noise(side=side)
        np.testing.assert_allclose(distances.ssim(pictures, pictures), 1, atol=1e-6)
        assert (distances.ssim(pictures, noise(side=side, seed=1)) < 0.5).all()


def test_structure_sees_edges_and_not_colours():
    pictures = flat(40, 40, side=32)
    pictures[:, 8:20, 10:25] = (200, 30, 90)
    recoloured = flat(90, 90, side=32)
    recoloured[:, 8:20, 10:25] = (10, 160, 240)
    np.testing.assert_allclose(distances.structure(pictures, recoloured), 1, atol=1e-4)
    assert (np.abs(distances.structure(noise(), noise(seed=1))) < 0.2).all()


def test_correlation_is_minus_one_of_the_negative_and_0_of_a_constant():
    pictures = noise()
    np.testing.assert_allclose(distances.correlation(pictures, pictures), 1)
    np.testing.assert_allclose(distances.correlation(pictures, 255 - pictures), -1)
    assert distances.correlation(pictures, flat(7, 7, side=32)).tolist() == [0, 0]


def test_errors_inside_and_outside_of_what_changes_in_the_truth():
    inputs, truth = flat(100, 100), flat(100, 100)
    truth[0, :4] = 180
    outputs = truth + np.uint8(3)
    outputs[0, :4] -= np.uint8(13)
    inside, outside = distances.errors_inside_outside(outputs, inputs, truth).T
    assert inside[0] == 10
    assert np.isnan(inside[1])
    assert outside.tolist() == [3, 3]


# --- Sets of features


def moments(features, *cuts) -> Moments:
    held = Moments()
    for batch in np.split(features, cuts):
        held.add(batch)
    return held


def normal(number, dimension, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(dimension, dimension))
    return random.normal(size=(number, dimension)) @ mixing + shift


def with_scipy(a, b) -> float:
    """The formula as it is written, with a matrix root."""
    first, second = np.cov(a.T), np.cov(b.T)
    apart = a.mean(axis=0) - b.mean(axis=0)
    root = linalg.sqrtm(first @ second).real
    return apart @ apart + np.trace(first + second - 2 * root)


@pytest.mark.parametrize("cuts", [(), (1,), (7, 8, 30), (16, 32, 48)])
def test_moments_of_batches_are_those_of_numpy(cuts):
    features = normal(60, 5, shift=1e4)
    held = moments(features, *cuts)
    assert held.count == 60
    np.testing.assert_allclose(held.mean, features.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(held.covariance, np.cov(features.T), rtol=1e-9)


def test_moments_of_float32_are_summed_in_float64():
    features = (1e4 + np.random.default_rng(0).normal(size=(4000, 2))).astype("f4")
    exact = np.cov(features.astype(np.float64).T)
    held = moments(features, *range(16, 4000, 16))
    np.testing.assert_allclose(held.covariance, exact, rtol=1e-9)


def test_frechet_distance_of_known_gaussians():
    a, b = Moments(2), Moments(2)
    a.mean, b.mean = np.array([0.0, 1.0]), np.array([3.0, 1.0])
    a._scatter, b._scatter = np.diag([4.0, 9.0]), np.diag([1.0, 25.0])
    # |3|^2 + (2 - 1)^2 + (3 - 5)^2
    assert distances.frechet_distance(a, b) == pytest.approx(14, rel=1e-12)


@pytest.mark.parametrize("number, dimension", [(300, 6), (80, 40)])
def test_frechet_distance_is_that_of_scipy(number, dimension):
    a, b = normal(number, dimension, 1), normal(2 * number, dimension, 2, shift=0.5)
    found = distances.frechet_distance(moments(a, 9), moments(b, 40))
    assert found == pytest.approx(with_scipy(a, b), rel=1e-8)
    assert distances.frechet_distance(moments(b), moments(a)) == pytest.approx(found)


def test_frechet_distance_of_fewer_pictures_than_dimensions_is_finite():
    a, b = normal(10, 30, 1), normal(12, 30, 2)
    assert 0 < distances.frechet_distance(moments(a), moments(b)) < np.inf
    assert distances.frechet_distance(moments(a), moments(a)) < 1e-6


def naive_kernel_distance(x, y) -> float:
    def kernel(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    within_x = [kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j]
    across = [kernel(a, b) for a in x for b in y]
    return np.mean(within_x) + np.mean(within_y) - 2 * np.mean(across)


def test_kernel_distance_of_whole_sets_is_that_of_plain_loops():
    x, y = normal(7, 4, 1), normal(7, 4, 2)
    mean, deviation = distances.kernel_distance(x, y, 7, num_subsets=3)
    assert mean == pytest.approx(naive_kernel_distance(x, y), rel=1e-12)
    assert deviation == pytest.approx(0, abs=1e-9 * abs(mean))


def test_kernel_distance_is_unbiased_and_depends_on_its_seed_alone():
    features = np.random.default_rng(3).normal(size=(400, 8))
    mean, deviation = distances.kernel_distance(features[::2], features[1::2], 50)
    assert abs(mean) < deviation
    far, _ = distances.kernel_distance(features[::2], features[1::2] + 1, 50)
    assert far > 10 * abs(mean)
    again = distances.kernel_distance(features[::2], features[1::2], 50, seed=0)
    other = distances.kernel_distance(features[::2], features[1::2], 50, seed=1)
    assert again == (mean, deviation) != other


def test_diversity_is_the_mean_distance_of_different_features():
    features = normal(9, 5)
    expected = spatial.distance.pdist(features).mean()
    assert distances.diversity(features) == pytest.approx(expected, rel=1e-9)
    assert distances.diversity(np.ones((4, 3))) == 0
