import keras
import numpy as np
import pytest

from cyclegan_tf.data import images, shapes
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.quality import checks, pictures


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
    errors = checks.paired_errors(model, data)
    assert errors == {
        "x_to_y": pytest.approx(5.0),
        "doing_nothing_x_to_y": pytest.approx(25.0),
        "y_to_x": pytest.approx(30.0),
        "doing_nothing_y_to_x": pytest.approx(30.0),
    }


def test_no_truth_no_errors(tiny):
    data = UnpairedData(domain(0), domain(0), domain(0), domain(0))
    assert checks.paired_errors(CycleGAN(tiny(), 10), data) is None


def test_pictures_of_any_size_are_translated_to_uint8(tiny):
    model = CycleGAN(tiny(), 10)
    images = np.random.default_rng(0).integers(0, 256, (9, 17, 10, 3), np.uint8)
    translator = pictures.translators_of(model)["A2B"]
    made = pictures.translations("A2B", images, translator)
    assert made.outputs.shape == images.shape
    assert made.outputs.dtype == np.uint8
    np.testing.assert_array_equal(made.outputs[8:], translator(images[8:]))


def of_shapes(number=8):
    def domain(part, which):
        drawn = [shapes.draw_pair((part, i), 32)[which] for i in range(number)]
        return Domain([f"{part} {i}" for i in range(number)], drawn.__getitem__)

    test_x, test_y = domain(2, 0), domain(3, 1)
    return UnpairedData(test_x, test_y, test_x, test_y)


ONE = images.to_float(shapes.draw_pair((2, 0), 32)[0])


@pytest.mark.parametrize(
    "generator, told",
    [
        (lambda x, training: x, "did nothing"),
        (lambda x, training: -x, "inverted colours"),
        (lambda x, training: 0 * x + ONE, "mode collapse"),
    ],
)
def test_what_goes_wrong_is_said_of_both_directions(tiny, generator, told):
    model = CycleGAN(tiny(), 10)
    model.generator_g = model.generator_f = generator
    found = checks.problems(model, of_shapes())
    for direction in ("A2B", "B2A"):
        assert any(line.startswith(f"{direction} {told}") for line in found), found


def test_true_translations_are_sound(tiny):
    data, model = of_shapes(), CycleGAN(tiny(), 10)
    swapped = {}
    for part in (2, 3):
        for i in range(8):
            pair = shapes.draw_pair((part, i), 32)
            for a, b in (pair, pair[::-1]):
                swapped[a.tobytes()] = b

    def translated(pictures):
        # What the slight blur changed is looked up by what it was before.
        nearest = [
            min(swapped, key=lambda k: np.abs(as_array(k) - p).sum()) for p in pictures
        ]
        return np.stack([swapped[key] for key in nearest])

    def as_array(key):
        return np.frombuffer(key, np.uint8).reshape(32, 32, 3).astype(int)

    made = {direction: translated for direction in ("A2B", "B2A")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "translators_of", lambda model: made)
        assert checks.problems(model, data) == []
