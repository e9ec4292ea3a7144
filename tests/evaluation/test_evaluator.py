"""Evaluations: three columns of numbers, by one protocol."""

import dataclasses

import numpy as np
import pytest
from helpers.config_values import refused
from helpers.quality_samples import COLOURS, PIXELS, TwoGenerators, array, drawn

from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.evaluation import distances, metrics
from cyclegan_tf.evaluation.evaluator import (
    Evaluator,
    halves,
    make_evaluator,
    make_folder_evaluator,
    paired_errors,
)
from cyclegan_tf.evaluation.features import fit_probe, thumbnails
from cyclegan_tf.evaluation.translations import Translations

PICTURES = 12


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
def evaluator():
    return make_evaluator(data(), 32, COLOURS)


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
    assert evaluator.evaluate([made])[1] == []
    collapsed = np.repeat(truth[:1], PICTURES, axis=0)
    made = Translations("A2B", made.inputs, collapsed)
    assert any("mode collapse" in p for p in evaluator.evaluate([made])[1])


def test_a_model_that_does_nothing_has_the_numbers_of_doing_nothing(evaluator):
    inputs = array(drawn(2, 0, PICTURES))
    targets = array(drawn(3, 1, PICTURES))
    found = measured(evaluator, inputs, targets=targets, same=targets, cycled=inputs)
    for name, row in found.items():
        assert row["model"] == row["doing_nothing"], name
    assert found["identity_error"]["model"] == found["cycle_error"]["model"] == 0
    # And the detectors speak of it.
    _, problems = evaluator.evaluate([Translations("A2B", inputs, inputs)])
    assert any("did nothing" in line for line in problems)


def test_numbers_are_those_of_the_parts(evaluator):
    inputs, outputs = (array(drawn(2, which, PICTURES)) for which in (0, 1))
    cycled = np.clip(inputs.astype(int) + 7, 0, 255).astype(np.uint8)
    found = measured(evaluator, outputs, cycled=cycled)
    model = {name: row["model"] for name, row in found.items()}
    assert model["cycle_error"] == distances.error(cycled, inputs).mean()
    halves_x, halves_y = (halves(d) for d in (data().train_x, data().train_y))
    half = COLOURS(array(halves_y[0]))
    probe_ = fit_probe(COLOURS(array(halves_x[0])), half)
    before, after = (probe_.log_odds(COLOURS(p)) for p in (inputs, outputs))
    assert model["log_odds_moved"] == pytest.approx(after.mean() - before.mean())
    assert model["taken_for_target"] == (after > 0).mean()
    first, other = halves(drawn(1, 1, 7))
    assert [*first.names] == ["1 0", "1 2", "1 4", "1 6"]
    assert [*other.names] == ["1 1", "1 3", "1 5"]
    np.testing.assert_array_equal(other.read(1), drawn(1, 1, 7).read(3))
    features = COLOURS(outputs)
    expected = distances.Moments(), distances.Moments()
    expected[0].add(features)
    expected[1].add(half)
    assert model["frechet_distance"] == pytest.approx(
        distances.frechet_distance(*expected), rel=1e-4
    )
    ratio = distances.diversity(features) / distances.diversity(half)
    assert model["diversity"] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize(("reference", "number"), [("train", 48), ("test", PICTURES)])
def test_distances_are_measured_to_the_reference_that_is_asked_for(reference, number):
    held = data()
    evaluator = make_evaluator(held, 32, COLOURS, reference=reference)
    targets = held.train_y if reference == "train" else held.test_y
    real = COLOURS(array(targets))
    assert len(real) == number
    outputs = array(drawn(5, 1, PICTURES))
    expected = distances.Moments(), distances.Moments()
    expected[0].add(COLOURS(outputs))
    expected[1].add(real)
    found = evaluator.numbers(Translations("A2B", array(drawn(2, 0, 12)), outputs))
    (name,) = (n for n in found if n.startswith("A2B/frechet_distance/"))
    assert name.endswith(f"/{PICTURES}-vs-{number}")
    assert found[name]["model"] == pytest.approx(
        distances.frechet_distance(*expected), rel=1e-4
    )
    # The probe learned from the reference, and is tried on the others.
    assert evaluator.probe_accuracy["pictures"]["x"] == (
        PICTURES if reference == "train" else 48
    )


def test_all_pictures_of_a_folder_can_be_the_reference():
    inputs, real = drawn(0, 0, 20), drawn(1, 1, 21)
    args = inputs, real, 32, COLOURS, 0, 0
    evaluator = make_folder_evaluator(*args, "test")
    found = evaluator.numbers(Translations("A2B", array(inputs), array(inputs)))
    (name,) = (n for n in found if n.startswith("A2B/kernel_distance/"))
    assert name.endswith("/20-vs-21") and found[name]["real"] is None
    assert evaluator.probe_accuracy["accuracy"]["x"] > 0.9


def test_probe_is_described_and_turned_round_for_the_other_direction(evaluator):
    assert (
        evaluator.probe_accuracy["accuracy"]["x"] > 0.9
        and evaluator.probe_accuracy["accuracy"]["y"] > 0.9
    )
    assert evaluator.probe_accuracy["pictures"] == {"x": PICTURES, "y": PICTURES}
    made = Translations(
        "B2A", array(drawn(3, 1, PICTURES)), array(drawn(3, 0, PICTURES))
    )
    found = evaluator.numbers(made)
    name = next(n for n in found if n.startswith("B2A/taken_for_target/"))
    assert found[name]["doing_nothing"] < 0.1 < 0.9 < found[name]["model"]


def test_full_names_carry_extractor_and_counts(evaluator):
    made = Translations("A2B", None, array(drawn(2, 1, PICTURES)))
    names = [*evaluator.numbers(made)]
    assert f"A2B/kernel_distance/{COLOURS.name}/{PICTURES}-vs-24" in names
    assert f"A2B/frechet_distance/{COLOURS.name}/{PICTURES}-vs-24" in names
    assert f"A2B/taken_for_target/{COLOURS.name}/probe-24-24" in names
    assert not [name for name in names if "paired" in name or "structure" in name]
    # One domain alone has no probe, unless there are pictures of the other.
    y, x = halves(drawn(1, 1, 48)), drawn(0, 0, 20)
    for source, known in ((None, False), (x, True)):
        names = Evaluator({"A2B": y}, PIXELS, source).numbers(made)
        assert "A2B/frechet_distance/pixels/12-vs-24" in names
        assert ("A2B/taken_for_target/pixels/probe-20-24" in names) == known


def test_all_else_is_measured_without_features(evaluator):
    inputs, truth = (array(drawn(2, which, PICTURES)) for which in (0, 1))
    bare = make_evaluator(data(), 32, None)
    assert bare.probe_accuracy == {} and bare.probe is None
    fields = {"cycled": inputs, "truth": truth}
    found, whole = (measured(e, truth, **fields) for e in (bare, evaluator))
    gone = {name for name, metric in metrics.METRICS.items() if metric.protocol}
    assert whole.keys() - found.keys() == gone
    ratio = found["diversity"]["doing_nothing"]
    of_y = distances.diversity(thumbnails(array(halves(data().train_y)[0])))
    assert ratio == pytest.approx(distances.diversity(thumbnails(inputs)) / of_y)
    for name in found.keys() - {"diversity"}:
        assert found[name] == whole[name]


def test_same_seed_same_numbers_and_another_seed_other_subsets():
    targets = {"A2B": halves(drawn(1, 1, 48))}
    truth = array(drawn(2, 1, PICTURES))
    one, same, other = (
        measured(Evaluator(targets, PIXELS, subset_size=4, seed=seed), truth)
        for seed in (0, 0, 1)
    )
    assert one == same
    assert one["kernel_distance"] != other["kernel_distance"]
    assert one["frechet_distance"] == other["frechet_distance"]


def test_too_few_pictures_are_an_error():
    targets = {"A2B": halves(drawn(1, 1, 48))}
    with refused("A2B has 24 pictures in a half, fewer than the subset size 25."):
        Evaluator(targets, PIXELS, subset_size=25)
    evaluator = Evaluator(targets, PIXELS, subset_size=20)
    with refused("A2B has 12 outputs, fewer than the subset size 20."):
        measured(evaluator, array(drawn(2, 1, PICTURES)))
    with refused("A2B has 3 outputs; an evaluation needs 4 or more."):
        few = array(drawn(2, 1, 3)), array(drawn(2, 0, 3))
        measured(Evaluator(targets, PIXELS), few[0], inputs=few[1])
    with refused("3 pictures in a half; an evaluation needs 4 or more."):
        make_evaluator(data(number=7), 32, PIXELS)
    with refused("`input` has 3 pictures; an evaluation needs 4 or more."):
        make_folder_evaluator(drawn(0, 0, 3), drawn(1, 1), 32, PIXELS, 0, 0)
    with refused("testA has none."):
        none = dataclasses.replace(data(), without_pictures=("testA",))
        make_evaluator(none, 32, PIXELS)


def domain(*levels):
    pictures = [np.full((8, 8, 3), level, np.uint8) for level in levels]
    return Domain([str(x) for x in levels], pictures.__getitem__)


def test_paired_errors_by_hand(tiny):
    model = TwoGenerators(
        tiny(), lambda x, training: x + 20 / 127.5, lambda x, training: x
    )
    test_x, test_y = domain(100, 110), domain(50)
    data = UnpairedData(
        test_x, test_y, test_x, test_y, true_y=domain(120, 140), true_x=domain(80)
    )
    assert paired_errors(model, data) == {
        "x_to_y": pytest.approx(5.0),
        "doing_nothing_x_to_y": pytest.approx(25.0),
        "y_to_x": pytest.approx(30.0),
        "doing_nothing_y_to_x": pytest.approx(30.0),
    }
    unknown = UnpairedData(test_x, test_y, test_x, test_y)
    assert paired_errors(model, unknown) is None
