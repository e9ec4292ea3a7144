"""Features: names that carry their protocol, and weights that can't be used."""

import re

import keras
import numpy as np
import pytest
from helpers.config_values import refused

from cyclegan_tf.quality import features
from cyclegan_tf.quality.features import Extractor
from cyclegan_tf.validation import UserError


def pictures(number=5, side=20):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (number, side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    """InceptionV3 with random weights."""
    keras.utils.set_random_seed(0)
    return keras.applications.InceptionV3(
        include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3)
    )


def test_inception_takes_a_file_and_is_what_keras_makes_of_it(network, tmp_path):
    network.save_weights(tmp_path / "inception.weights.h5")
    extractor = features.inception(str(tmp_path / "inception.weights.h5"))
    assert re.fullmatch(r"inception-[0-9a-f]{8}-299px-bicubic", extractor.name)
    found = extractor(pictures(2, side=299))
    # The preprocessing that Keras documents for its weights.
    floats = pictures(2, side=299).astype(np.float32)
    floats = keras.applications.inception_v3.preprocess_input(floats)
    expected = network(floats, training=False)
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_weights_that_cannot_be_fetched_say_how_to_give_a_file(monkeypatch):
    def offline(*args, weights=None, **kwargs):
        assert weights == "imagenet"
        raise Exception("URL fetch failure on https://example.com: None -- no route")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    told = r"can't be fetched \(URL fetch failure.*--feature_weights FILE, or use --fea"
    with pytest.raises(UserError, match=told):
        features.inception()


def test_file_that_is_missing_or_of_another_network_is_told(tmp_path, monkeypatch):
    def small(**options):
        inputs = keras.Input((8, 8, 3))
        return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))

    monkeypatch.setattr(keras.applications, "InceptionV3", small)
    with refused(f"`feature_weights`: no such file: {tmp_path / 'no.h5'}."):
        features.inception(str(tmp_path / "no.h5"))
    (tmp_path / "text.weights.h5").write_text("text")
    with refused("text.weights.h5 holds no weights of InceptionV3(include_top=False)"):
        features.inception(str(tmp_path / "text.weights.h5"))
    inputs = keras.Input((8, 8, 3))
    other = keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs))
    other.save_weights(tmp_path / "other.weights.h5")
    with refused("other.weights.h5 holds no weights"):
        features.inception(str(tmp_path / "other.weights.h5"))


def test_features_come_in_batches_of_which_one_is_held():
    asked = []

    def of(batch):
        asked.append(len(batch))
        return batch.reshape(len(batch), -1).astype(np.float32)

    found = Extractor("pixels", of)(pictures(37))
    assert found.shape == (37, 1200)
    assert asked == [16, 16, 5]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_name_who_made_them(bad):
    def of(batch):
        return np.full((len(batch), 3), bad)

    with refused("The features that stand-in makes of the pictures are not finite"):
        Extractor("stand-in", of)(pictures())


def test_thumbnails_are_features_of_any_size():
    found = features.thumbnails(pictures(3, side=40))
    assert found.shape == (3, 192)
    np.testing.assert_allclose(
        features.thumbnails(np.full((1, 9, 9, 3), 7, np.uint8)), 7
    )
