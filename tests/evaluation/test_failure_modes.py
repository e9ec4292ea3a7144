"""Each failure is found in an artificial case, and not in a sound one."""

import numpy as np
import pytest
from helpers.quality_samples import TwoGenerators, array, drawn
from scipy import ndimage

from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.evaluation import failure_modes
from cyclegan_tf.evaluation.translations import (
    Translations,
    slightly_blurred,
    translate_pictures,
)

SIDE = 64


@pytest.fixture(scope="module")
def pairs():
    return [array(drawn(2, which, 6, SIDE)) for which in (0, 1)]


def grid(period: int) -> np.ndarray:
    """+1 and -1 in turns, both ways."""
    signs = np.where(np.arange(SIDE) % period < period // 2, 1, -1)
    return (signs[:, None] * signs)[..., None]


def shifted(pictures, by):
    return np.clip(pictures.astype(int) + by, 0, 255).astype(np.uint8)


def told(pairs, outputs, **more) -> list[str]:
    made = Translations("A2B", pairs[0], outputs)
    numbers = failure_modes.measure(made, failure_modes.checkerboard(pairs[1]))
    return failure_modes.problems({**numbers, **more}, "A2B")


def test_what_is_sound_or_was_not_measured_is_no_problem(pairs):
    made = Translations("A2B", pairs[0], pairs[1], pairs[0], pairs[0])
    numbers = failure_modes.measure(made, failure_modes.checkerboard(pairs[1]))
    assert failure_modes.problems({**numbers, "diversity": 0.9}, "A2B") == []
    numbers = failure_modes.measure(Translations("A2B", None, pairs[1]), 1.0)
    assert set(numbers) == {"checkerboard"}
    assert failure_modes.problems({"changed": None}, "A2B") == []


def test_what_goes_wrong_is_told(pairs):
    plain, striped = pairs
    noise = np.random.default_rng(0).integers(-3, 4, plain.shape)
    for outputs, more, begins in (
        (shifted(plain, noise), {}, "did nothing: outputs differ from inputs by 1.7"),
        (
            255 - plain,
            {},
            "inverted colours: outputs correlate with their inputs by -1",
        ),
        (striped, {"diversity": 0.2}, "mode collapse: outputs are 0.20 times as"),
        # Patterns of the upsampling.
        (shifted(striped, 6 * grid(2)), {}, "checkerboard: "),
        (shifted(striped, 6 * grid(4)), {}, "checkerboard: "),
    ):
        (line,) = told(pairs, outputs, **more)
        assert line.startswith(f"A2B {begins}")


def test_noise_and_waves_of_another_period_are_no_checkerboard(pairs):
    noise = np.random.default_rng(0).normal(0, 8, pairs[1].shape)
    wave = 6 * np.sin(2 * np.pi * np.arange(SIDE) / 6.4)[:, None, None]
    for by in (noise, wave):
        assert told(pairs, shifted(pairs[1], by)) == []


def test_information_hidden_in_the_fake_is_told(pairs):
    def hide(pictures):
        """A zebra in whose finest grid, 6 levels at most, the horse is written."""
        hidden = np.rint(grid(2) * pictures / 255 * 6).astype(int)
        return shifted(np.full_like(pictures, 128), hidden)

    def find(pictures):
        found = np.abs(pictures.astype(int) - 128) * 255 / 6
        return np.clip(found, 0, 255).astype(np.uint8)

    numbers = failure_modes.measure(
        translate_pictures("A2B", pairs[0], hide, find), 1e9
    )
    assert numbers["hidden"] > 10
    assert "hidden in the fake" in " ".join(failure_modes.problems(numbers, "A2B"))


def test_cycle_through_what_is_seen_hides_nothing(pairs):
    made = translate_pictures(
        "A2B",
        pairs[0],
        lambda pictures: (pictures * 0.8).astype(np.uint8),
        lambda pictures: np.clip(pictures / 0.8, 0, 255).astype(np.uint8),
    )
    assert abs(failure_modes.measure(made, 1.0)["hidden"]) < 1.3
    soft = slightly_blurred(pairs[0])
    # SciPy calls `mirror` what NumPy calls reflect.
    expected = ndimage.gaussian_filter(
        pairs[0].astype(np.float64),
        (0, 0.5, 0.5, 0),
        mode="mirror",
        radius=(0, 3, 3, 0),
    )
    np.testing.assert_allclose(soft, expected, atol=0.501)
    same = failure_modes.hidden(pairs[0], pairs[0], soft)
    assert same == pytest.approx(1)


def losses(x, y, number=10):
    return [{"step": i, "disc_x_loss": x, "disc_y_loss": y} for i in range(number)]


def test_discriminator_that_has_won_for_long_is_told():
    for loss, limit in (("least_squares", 0.02), ("hinge", 0.05)):
        (line,) = failure_modes.discriminator_won(losses(0.2, 0.01), loss)
        wanted = f"discriminator_y has won: its loss stayed below {limit}"
        assert line.startswith(wanted)
    for records, loss in (
        (losses(0.2, 0.19), "least_squares"),
        (losses(0.01, 0.01, number=9), "least_squares"),
        (losses(0.01, 0.01) + losses(0.1, 0.1, number=1), "least_squares"),
        (losses(0.06, 0.6), "binary_cross_entropy"),
        (losses(0.06, 2.0), "hinge"),
        (losses(-5.0, -90.0), "wgan_gp"),
        ([{"step": 1, "gen_g_loss": 0.0}], "least_squares"),
    ):
        assert failure_modes.discriminator_won(records, loss) == []


def test_what_goes_wrong_is_said_of_both_directions(tiny):
    test_x, test_y = drawn(2, 0, 8), drawn(3, 1, 8)
    data = UnpairedData(test_x, test_y, test_x, test_y)
    one = images.to_float(test_x.read(0))
    for generator, told in (
        (lambda x, training: x, "did nothing"),
        (lambda x, training: -x, "inverted colours"),
        (lambda x, training: 0 * x + one, "mode collapse"),
    ):
        found = failure_modes.check_model(
            TwoGenerators(tiny(), generator, generator), data
        )
        for direction in ("A2B", "B2A"):
            assert any(line.startswith(f"{direction} {told}") for line in found), found
