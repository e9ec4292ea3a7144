import keras
import numpy as np
import pytest

from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.quality import evaluation


def domain(*levels):
    pictures = [np.full((8, 8, 3), level, np.uint8) for level in levels]
    return Domain([str(x) for x in levels], pictures.__getitem__)


def test_paired_errors_by_hand(tiny):
    model = CycleGAN(tiny(), 10)
    identity = keras.layers.Identity()
    model.generator_g = lambda x, training: x + 20 / 127.5
    model.generator_f = lambda x, training: identity(x)
    data = UnpairedData(
        train_x=domain(0),
        train_y=domain(0),
        test_x=domain(100, 110),
        test_y=domain(50),
        true_y=domain(120, 140),
        true_x=domain(80),
    )
    errors = evaluation.paired_errors(model, data)
    assert errors == {
        "x_to_y": pytest.approx(5.0),
        "doing_nothing_x_to_y": pytest.approx(25.0),
        "y_to_x": pytest.approx(30.0),
        "doing_nothing_y_to_x": pytest.approx(30.0),
    }


def test_no_truth_no_errors(tiny):
    data = UnpairedData(domain(0), domain(0), domain(0), domain(0))
    assert evaluation.paired_errors(CycleGAN(tiny(), 10), data) is None


def test_pictures_of_any_size_are_translated_to_uint8(tiny):
    model = CycleGAN(tiny(), 10)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 17, 10, 3), np.uint8)
    translated = evaluation.translate_pictures(model.generator_g, pictures, 4)
    assert translated.shape == pictures.shape
    assert translated.dtype == np.uint8
