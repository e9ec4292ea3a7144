"""What is looked at after each epoch."""

import numpy as np
import pytest
from helpers.quality_samples import array, drawn

from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.quality import checks, pictures


class Model:
    """Two generators, in place of a CycleGAN."""

    def __init__(self, config, generator_g, generator_f):
        self.config = config
        self.shown_generators = {"generator_g": generator_g, "generator_f": generator_f}


def domain(*levels):
    pictures = [np.full((8, 8, 3), level, np.uint8) for level in levels]
    return Domain([str(x) for x in levels], pictures.__getitem__)


def test_paired_errors_by_hand(tiny):
    model = Model(tiny(), lambda x, training: x + 20 / 127.5, lambda x, training: x)
    test_x, test_y = domain(100, 110), domain(50)
    data = UnpairedData(
        test_x, test_y, test_x, test_y, true_y=domain(120, 140), true_x=domain(80)
    )
    assert checks.paired_errors(model, data) == {
        "x_to_y": pytest.approx(5.0),
        "doing_nothing_x_to_y": pytest.approx(25.0),
        "y_to_x": pytest.approx(30.0),
        "doing_nothing_y_to_x": pytest.approx(30.0),
    }
    unknown = UnpairedData(test_x, test_y, test_x, test_y)
    assert checks.paired_errors(model, unknown) is None


@pytest.mark.stack
def test_pictures_of_any_size_are_translated_to_uint8(tiny):
    model = CycleGAN(tiny(), 10)
    images = np.random.default_rng(0).integers(0, 256, (9, 17, 10, 3), np.uint8)
    translator = pictures.translators_of(model)["A2B"]
    made = pictures.translations("A2B", images, translator)
    assert made.outputs.shape == images.shape
    assert made.outputs.dtype == np.uint8
    np.testing.assert_array_equal(made.outputs[8:], translator(images[8:]))


def test_what_goes_wrong_is_said_of_both_directions(tiny):
    test_x, test_y = drawn(2, 0, 8), drawn(3, 1, 8)
    data = UnpairedData(test_x, test_y, test_x, test_y)
    one = images.to_float(test_x.read(0))
    for generator, told in (
        (lambda x, training: x, "did nothing"),
        (lambda x, training: -x, "inverted colours"),
        (lambda x, training: 0 * x + one, "mode collapse"),
    ):
        found = checks.problems(Model(tiny(), generator, generator), data)
        for direction in ("A2B", "B2A"):
            assert any(line.startswith(f"{direction} {told}") for line in found), found


def test_true_translations_are_sound(monkeypatch):
    x, y = drawn(2, 0, 8), drawn(2, 1, 8)
    made = {"A2B": lambda pictures: array(y), "B2A": lambda pictures: array(x)}
    monkeypatch.setattr(checks, "translators_of", lambda model: made)
    assert checks.problems(None, UnpairedData(x, y, x, y)) == []
