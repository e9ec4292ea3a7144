"""The linear probe: the least loss, as SciPy finds it, and domains told apart."""

import numpy as np
from scipy.optimize import minimize

from cyclegan_tf.quality import probe


def clouds(number, apart, dimension=6, seed=0):
    """Features of two domains whose means are `apart`, of unequal scales."""
    random = np.random.default_rng(seed)
    scales = 10.0 ** np.arange(-3, dimension - 3)
    x, y = random.normal(size=(2, number, dimension))
    y[:, 0] += apart
    return 5 + scales * x, 5 + scales * y


def test_its_loss_is_the_least_there_is():
    x, y = clouds(15, 1.0)
    found = probe.fit(x, y)
    held = np.concatenate([x, y])
    inputs = (held - held.mean(axis=0)) / held.std(axis=0)
    side = np.repeat([-1, 1], 15)

    def loss(weights):
        losses = np.log1p(np.exp(-side * (inputs @ weights[:-1] + weights[-1])))
        return losses.mean() + probe.PENALTY / 2 * (weights[:-1] ** 2).sum()

    least = minimize(loss, np.zeros(7), tol=1e-12)
    ours = np.append(found.weights, found.bias)
    assert abs(loss(ours) - least.fun) < 1e-10
    np.testing.assert_allclose(ours, least.x, atol=1e-4)
    log_odds = inputs @ least.x[:-1] + least.x[-1]
    np.testing.assert_allclose(found.log_odds(held), log_odds, atol=1e-3)


def test_domains_that_lie_apart_are_told_apart_and_equal_ones_are_not():
    for apart, least, most in ((8.0, 1.0, 1.0), (0.0, 0.3, 0.7)):
        found = probe.fit(*clouds(100, apart))
        x, y = clouds(100, apart, seed=1)
        right = [(found.log_odds(x) < 0).mean(), (found.log_odds(y) > 0).mean()]
        assert least <= np.mean(right) <= most


def test_more_features_than_pictures_and_a_larger_domain_favour_neither():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 150)), random.normal(size=(60, 150))
    y[:, 7] = x[:, 7] = 3.0  # One that does not vary.
    found = probe.fit(x, y)
    assert (found.log_odds(x) < 0).all() and found.weights[7] == 0
    others = random.normal(size=(400, 150))
    assert 0.3 < (found.log_odds(others) > 0).mean() < 0.7
    np.testing.assert_array_equal(probe.fit(x, y).weights, found.weights)
