"""Each detector fires on a made case, and is silent on a sound one."""

import numpy as np
import pytest

from cyclegan_tf.data import shapes
from cyclegan_tf.quality import corruptions, detectors
from cyclegan_tf.quality.pictures import Translations, translations

SIDE = 64


@pytest.fixture(scope="module")
def pairs():
    drawn = [shapes.draw_pair((2, i), SIDE) for i in range(6)]
    plain, striped = zip(*drawn, strict=True)
    return np.stack(plain), np.stack(striped)


def grid(period: int) -> np.ndarray:
    """+1 and -1 in turns, both ways."""
    signs = np.where(np.arange(SIDE) % period < period // 2, 1, -1)
    return (signs[:, None] * signs)[..., None]


def shifted(pictures, by):
    return np.clip(pictures.astype(int) + by, 0, 255).astype(np.uint8)


def told(made: Translations, pairs, **more) -> list[str]:
    numbers = detectors.numbers(made, detectors.checkerboard(pairs[1]))
    return detectors.problems({**numbers, **more}, "A2B")


def test_true_translation_has_no_problem(pairs):
    made = Translations("A2B", pairs[0], pairs[1], pairs[0], pairs[0])
    assert told(made, pairs, diversity=0.9) == []


def test_what_was_not_measured_is_no_problem(pairs):
    numbers = detectors.numbers(Translations("A2B", None, pairs[1]), 1.0)
    assert set(numbers) == {"checkerboard"}
    assert detectors.problems({"changed": None}, "A2B") == []


def test_output_that_equals_its_input_is_told(pairs):
    noise = np.random.default_rng(0).integers(-3, 4, pairs[0].shape)
    (line,) = told(Translations("A2B", pairs[0], shifted(pairs[0], noise)), pairs)
    assert line.startswith("A2B did nothing: outputs differ from inputs by 1.7 levels")


def test_negative_is_told(pairs):
    (line,) = told(Translations("A2B", pairs[0], 255 - pairs[0]), pairs)
    assert "inverted colours: outputs correlate with their inputs by -1.00" in line


def test_collapse_is_told(pairs):
    (line,) = told(Translations("A2B", *pairs), pairs, diversity=0.2)
    assert "mode collapse: outputs are 0.20 times as diverse as real pictures" in line


@pytest.mark.parametrize("period, levels", [(2, 6), (4, 6)])
def test_pattern_of_the_upsampling_is_told(pairs, period, levels):
    patterned = shifted(pairs[1], levels * grid(period))
    (line,) = told(Translations("A2B", pairs[0], patterned), pairs)
    assert line.startswith("A2B checkerboard: ")


def test_noise_is_no_checkerboard(pairs):
    noise = np.random.default_rng(0).normal(0, 8, pairs[1].shape)
    assert told(Translations("A2B", pairs[0], shifted(pairs[1], noise)), pairs) == []


def test_period_that_is_not_the_upsampling_is_no_checkerboard(pairs):
    wave = 6 * np.sin(2 * np.pi * np.arange(SIDE) / 6.4)[:, None, None]
    patterned = shifted(pairs[1], wave)
    assert told(Translations("A2B", pairs[0], patterned), pairs) == []


def hide(pictures):
    """A zebra in whose finest grid, 6 levels strong at most, the horse is written."""
    return shifted(
        np.full_like(pictures, 128), np.rint(grid(2) * pictures / 255 * 6).astype(int)
    )


def find(pictures):
    return np.clip(np.abs(pictures.astype(int) - 128) * 255 / 6, 0, 255).astype("u1")


def test_information_hidden_in_the_fake_is_told(pairs):
    made = translations("A2B", pairs[0], hide, find)
    numbers = detectors.numbers(made, 1e9)
    assert numbers["hidden"] > 10
    assert "hidden in the fake" in " ".join(detectors.problems(numbers, "A2B"))


def test_cycle_through_what_is_seen_hides_nothing(pairs):
    def darker(pictures):
        return (pictures * 0.8).astype(np.uint8)

    def brighter(pictures):
        return np.clip(pictures / 0.8, 0, 255).astype(np.uint8)

    made = translations("A2B", pairs[0], darker, brighter)
    assert abs(detectors.numbers(made, 1.0)["hidden"]) < 1.3
    soft = corruptions.slightly_blurred(pairs[0])
    same = detectors.hidden(pairs[0], pairs[0], soft)
    assert same == pytest.approx(1)


def losses(x, y, number=10):
    return [{"step": i, "disc_x_loss": x, "disc_y_loss": y} for i in range(number)]


def test_discriminator_that_has_won_for_long_is_told():
    for loss, limit in (("least_squares", 0.02), ("hinge", 0.05)):
        (line,) = detectors.discriminator_won(losses(0.2, 0.01), loss)
        wanted = f"discriminator_y has won: its loss stayed below {limit}"
        assert line.startswith(wanted)


@pytest.mark.parametrize(
    "records, loss",
    [
        (losses(0.2, 0.19), "least_squares"),
        (losses(0.01, 0.01, number=9), "least_squares"),
        (losses(0.01, 0.01) + losses(0.1, 0.1, number=1), "least_squares"),
        (losses(0.06, 0.6), "binary_cross_entropy"),
        (losses(0.06, 2.0), "hinge"),
        (losses(-5.0, -90.0), "wgan_gp"),
        ([{"step": 1, "gen_g_loss": 0.0}], "least_squares"),
    ],
)
def test_discriminator_in_the_game_is_not_told(records, loss):
    assert detectors.discriminator_won(records, loss) == []
