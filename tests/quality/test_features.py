"""Features: names that carry their protocol, and weights that can't be used."""

import re

import keras
import numpy as np
import pytest
from helpers.config_values import refused

from cyclegan_tf.quality import features
from cyclegan_tf.quality.features import Extractor


def pictures(number=5, side=20):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (number, side, side, 3), np.uint8)


def small(filters=2):
    """In place of InceptionV3."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(filters, 3)(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    "fast", [pytest.param(False, marks=pytest.mark.slow), True], ids=["whole", "small"]
)
def test_inception_takes_a_file_and_is_what_keras_makes_of_it(
    tmp_path, monkeypatch, fast
):
    if fast:
        monkeypatch.setattr(keras.applications, "InceptionV3", lambda **_: small())
    network = keras.applications.InceptionV3(
        include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3)
    )
    network.save_weights(tmp_path / "inception.weights.h5")
    extractor = features.inception(str(tmp_path / "inception.weights.h5"))
    assert re.fullmatch(r"inception-[0-9a-f]{8}-299px-bicubic", extractor.name)
    found = extractor(pictures(2, side=299))
    # The preprocessing that Keras documents for its weights.
    floats = pictures(2, side=299).astype(np.float32)
    floats = keras.applications.inception_v3.preprocess_input(floats)
    expected = network(floats, training=False)
    assert found.shape == (2, 2 if fast else 2048)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_weights_that_cannot_be_had_are_told(tmp_path, monkeypatch):
    def offline(*args, weights=None, **kwargs):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://example.com: no route")
        return small()

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with refused("can't be fetched (URL fetch failure"):
        features.inception()
    with refused("give it as --feature_weights FILE"):
        features.inception()
    (tmp_path / "text.weights.h5").write_text("text")
    small(5).save_weights(tmp_path / "other.weights.h5")
    for name, told in (
        ("no.h5", f"`feature_weights`: no such file: {tmp_path / 'no.h5'}."),
        ("text.weights.h5", "text.weights.h5 holds no weights of InceptionV3"),
        ("other.weights.h5", "other.weights.h5 holds no weights of InceptionV3"),
    ):
        with refused(told):
            features.inception(str(tmp_path / name))


def test_features_come_in_batches_of_which_one_is_held_and_are_finite():
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
