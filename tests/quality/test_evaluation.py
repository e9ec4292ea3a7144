"""Evaluations: three columns of numbers, by one protocol."""

import dataclasses
import re

import numpy as np
import pytest
from helpers.config_values import refused
from helpers.quality_samples import array, drawn

from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.learning import distances
from cyclegan_tf.quality import likeness, protocol
from cyclegan_tf.quality.evaluation import Evaluator, halves
from cyclegan_tf.quality.features import Extractor
from cyclegan_tf.quality.judge import NUM_FEATURES
from cyclegan_tf.quality.pictures import Translations

PICTURES = 12
PIXELS = Extractor("pixels", lambda p: p[:, ::8, ::8].reshape(len(p), -1) / 255.0)


def data(number=48, tests=PICTURES) -> UnpairedData:
    return UnpairedData(
        train_x=drawn(0, 0, number),
        train_y=drawn(1, 1, number),
        test_x=drawn(2, 0, tests),
        test_y=drawn(3, 1, tests),
        true_y=drawn(2, 1, tests),
        true_x=drawn(3, 0, tests),
    )


@pytest.fixture(scope="module")
def prepared(judges):
    """An evaluator with a judge that was trained for it, and what is told of that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclegan_tf.quality.judge.NUM_STEPS", 15)
        return protocol.of_data(data(), 32)


@pytest.fixture
def evaluator(prepared):
    return prepared[0]


def measured(evaluator, outputs, **fields):
    values = {"inputs": array(drawn(2, 0, PICTURES)), "outputs": outputs, **fields}
    found = evaluator.numbers(Translations("A2B", **values))
    return {name.split("/")[1]: row for name, row in found.items()}


def test_true_translations_are_as_good_as_reality(evaluator):
    truth = array(drawn(2, 1, PICTURES))
    found = measured(evaluator, truth, truth=truth)
    assert found["taken_for_target"]["model"] == 1
    assert found["taken_for_target"]["doing_nothing"] == 0
    near, far = found["frechet_distance"]["real"], found["frechet_distance"]
    assert far["model"] < 3 * near + 0.1 < 0.2 * far["doing_nothing"]
    kernel = found["kernel_distance"]
    assert kernel["model"] < 0.1 * kernel["doing_nothing"]
    assert found["paired_error"]["model"] == 0
    assert found["paired_psnr"]["model"] == np.inf
    assert found["error_outside"]["doing_nothing"] == 0
    assert found["error_inside"]["doing_nothing"] > 50
    assert found["structure"]["doing_nothing"] == pytest.approx(1)
    assert found["structure"]["real"] < found["structure"]["model"] < 1
    made = Translations("A2B", array(drawn(2, 0, PICTURES)), truth)
    assert protocol.evaluate(evaluator, [made])[1] == []
    collapsed = np.repeat(truth[:1], PICTURES, axis=0)
    made = Translations("A2B", made.inputs, collapsed)
    assert any("mode collapse" in p for p in protocol.evaluate(evaluator, [made])[1])


def test_a_model_that_does_nothing_has_the_numbers_of_doing_nothing(evaluator):
    inputs = array(drawn(2, 0, PICTURES))
    targets = array(drawn(3, 1, PICTURES))
    found = measured(evaluator, inputs, targets=targets, same=targets, cycled=inputs)
    for name, row in found.items():
        assert row["model"] == row["doing_nothing"], name
    assert found["identity_error"]["model"] == found["cycle_error"]["model"] == 0
    # And the detectors speak of it.
    _, problems = protocol.evaluate(evaluator, [Translations("A2B", inputs, inputs)])
    assert any("did nothing" in line for line in problems)


def test_numbers_are_those_of_the_parts(evaluator):
    inputs, outputs = (array(drawn(2, which, PICTURES)) for which in (0, 1))
    cycled = np.clip(inputs.astype(int) + 7, 0, 255).astype(np.uint8)
    found = measured(evaluator, outputs, cycled=cycled)
    model = {name: row["model"] for name, row in found.items()}
    assert model["cycle_error"] == likeness.error(cycled, inputs).mean()
    log_odds, features = evaluator.judge.ask(outputs)
    before = evaluator.judge.ask(inputs)[0].mean()
    assert model["log_odds_moved"] == pytest.approx(log_odds.mean() - before)
    half, other = halves(drawn(1, 1, 7))
    assert [*half.names] == ["1 0", "1 2", "1 4", "1 6"]
    assert [*other.names] == ["1 1", "1 3", "1 5"]
    np.testing.assert_array_equal(other.read(1), drawn(1, 1, 7).read(3))
    half = evaluator.judge.ask(array(halves(data().train_y)[0]))[1]
    expected = distances.Moments(), distances.Moments()
    expected[0].add(features)
    expected[1].add(half)
    assert model["frechet_distance"] == pytest.approx(
        distances.frechet_distance(*expected), rel=1e-4
    )
    ratio = distances.diversity(features) / distances.diversity(half)
    assert model["diversity"] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.stack
def test_judge_learns_the_domains_and_looks_at_each_picture_alone(evaluator):
    judge = evaluator.judge
    for which, sign in ((0, -1), (1, 1)):
        # Pictures that it never saw.
        pictures = array(drawn(2, which))
        log_odds, features = judge.ask(pictures)
        assert (sign * log_odds > 0).mean() > 0.9
        assert features.shape == (24, NUM_FEATURES)
        alone = judge.ask(pictures[:1])[0]
        np.testing.assert_allclose(log_odds[:1], alone, atol=1e-4)
    # The same animals, drawn at another size.
    larger = judge.ask(array(drawn(2, 1, 3, side=48)))[0]
    assert np.abs(larger - log_odds[:3]).max() < 1


def test_judge_is_described_and_turned_round_for_the_other_direction(prepared):
    evaluator, told = prepared
    assert told["accuracy"]["x"] > 0.9 and told["accuracy"]["y"] > 0.9
    assert told["pictures"] == {"x": PICTURES, "y": PICTURES}
    assert told["side"] == 32
    made = Translations(
        "B2A", array(drawn(3, 1, PICTURES)), array(drawn(3, 0, PICTURES))
    )
    found = evaluator.numbers(made)
    name = next(n for n in found if n.startswith("B2A/taken_for_target/"))
    assert found[name] == {"model": 1, "doing_nothing": 0, "real": 1}


def test_full_names_carry_extractor_digest_resize_and_counts(evaluator):
    made = Translations("A2B", None, array(drawn(2, 1, PICTURES)))
    names = [*evaluator.numbers(made)]
    digest = evaluator.judge.digest
    assert re.fullmatch("[0-9a-f]{8}", digest)
    by_judge = f"judge-{digest}-32px-bicubic"
    assert f"A2B/kernel_distance/{by_judge}/{PICTURES}-vs-24" in names
    assert f"A2B/frechet_distance/{by_judge}/{PICTURES}-vs-24" in names
    assert f"A2B/taken_for_target/{by_judge}" in names
    assert not [name for name in names if "paired" in name or "structure" in name]
    other = Evaluator({"A2B": halves(drawn(1, 1, 48))}, None, PIXELS)
    names = other.numbers(made)
    assert "A2B/frechet_distance/pixels/12-vs-24" in names
    assert not [name for name in names if "taken" in name]


def test_same_seed_same_numbers_and_another_seed_other_subsets():
    targets = {"A2B": halves(drawn(1, 1, 48))}
    truth = array(drawn(2, 1, PICTURES))
    one, same, other = (
        measured(Evaluator(targets, None, PIXELS, subset_size=4, seed=seed), truth)
        for seed in (0, 0, 1)
    )
    assert one == same
    assert one["kernel_distance"] != other["kernel_distance"]
    assert one["frechet_distance"] == other["frechet_distance"]


def test_too_few_pictures_are_an_error():
    targets = {"A2B": halves(drawn(1, 1, 48))}
    with refused("A2B has 24 pictures in a half, fewer than the subset size 25."):
        Evaluator(targets, None, PIXELS, subset_size=25)
    evaluator = Evaluator(targets, None, PIXELS, subset_size=20)
    with refused("A2B has 12 outputs, fewer than the subset size 20."):
        measured(evaluator, array(drawn(2, 1, PICTURES)))
    with refused("A2B has 3 outputs; an evaluation needs 4 or more."):
        few = array(drawn(2, 1, 3)), array(drawn(2, 0, 3))
        measured(Evaluator(targets, None, PIXELS), few[0], inputs=few[1])
    with refused("3 pictures in a half; an evaluation needs 4 or more."):
        protocol.of_data(data(number=7), 32)
    with refused("testA has none."):
        none = dataclasses.replace(data(), without_pictures=("testA",))
        protocol.of_data(none, 32)
