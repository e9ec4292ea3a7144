"""Evaluations during a training, and the best checkpoint."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.config_values import refused

from cyclegan_tf.deploy import load as loading
from cyclegan_tf.evaluation import features
from cyclegan_tf.messages import UserError
from cyclegan_tf.training import train
from cyclegan_tf.training.checkpoints import Checkpoints, load_network
from cyclegan_tf.training.cyclegan_run import make_run
from cyclegan_tf.training.run_directory import (
    best_checkpoint,
    check_run,
    newest_checkpoint,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """An epoch of 12 steps, and 4 test pictures."""
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 12)
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TEST", 4)


@pytest.mark.usefixtures("no_figures", "counts_only")
def test_epochs_without_evaluations_say_what_goes_wrong(tiny, tmp_path, capsys):
    train.train(tiny(run_dir=str(tmp_path / "run"), max_steps=12))
    printed = capsys.readouterr().out
    # New generators give nearly one picture for all.
    assert "Step 12, A2B mode collapse: outputs are 0." in printed
    assert "the probe" not in printed


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"keep_best": "kernel_distance"}, "needs `evaluate_every_epochs` of at least"),
        ({"keep_best": "fid"}, "`keep_best` must be one of taken_for_target, "),
        ({"keep_best": "B2C/structure"}, "after A2B/ or B2A/. Received: 'B2C/struct"),
        ({"keep_best": "structure/A2B"}, "Received: 'structure/A2B'."),
        (
            {"keep_best": "A2B/paired_error", "dataset": "maps"},
            "needs true translations, which only shapes, shapes_anywhere, ",
        ),
        ({"evaluate_every_epochs": -1}, "must be at least 0. Received: -1."),
        ({"evaluation_features": "judge"}, "must be one of efficientnet_lite0, "),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(tiny, fields, told):
    every = {} if "needs `eval" in told else {"evaluate_every_epochs": 1}
    with refused(told):
        tiny(**{**every, **fields})


def test_evaluations_by_the_network_of_the_discriminators_are_refused(tiny):
    fields = {"discriminator": "projected", "feature_network": "mobilenet_v2"}
    fields |= {"adversarial_loss": "hinge", "evaluation_features": "mobilenet_v2"}
    with refused("such as efficientnet_lite2."):
        tiny(**fields, evaluate_every_epochs=1)
    tiny(**fields)
    fields["evaluation_features"] = "efficientnet_lite2"
    tiny(**fields, evaluate_every_epochs=1)


def test_too_few_pictures_are_told_before_anything_is_written(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 6)
    config = tiny(run_dir=str(tmp_path / "run"), evaluate_every_epochs=1)
    with refused("The target of A2B has 3 pictures in a half; an evaluation needs 4"):
        train.train(config)
    assert not (tmp_path / "run").exists()


def test_evaluations_without_weights_measure_the_rest(
    tiny, tmp_path, monkeypatch, capsys
):
    def offline(weights):
        raise UserError("No weights: --feature_weights FILE.")

    monkeypatch.setitem(features.EXTRACTORS, "efficientnet_lite2", offline)
    monkeypatch.setitem(features.EXTRACTORS, "mobilenet_v2", offline)
    config = tiny(run_dir=str(tmp_path), evaluate_every_epochs=1)

    def evaluation(**fields):
        return make_run(dataclasses.replace(config, **fields)).evaluator()()

    for fields, told in (
        ({"keep_best": "B2A/frechet_distance"}, "`keep_best` B2A/frechet_distance can"),
        ({"evaluation_features": "mobilenet_v2"}, "--evaluation_weights FILE."),
        ({"evaluation_weights": "w.pth"}, "--evaluation_weights FILE."),
    ):
        with refused(told):
            evaluation(**fields)
    numbers, _, kept = evaluation(keep_best="B2A/structure")
    assert kept == (numbers["B2A/structure"], True)
    assert "not measured: No weights: --evaluation_weights F" in capsys.readouterr().out
    assert json.loads((tmp_path / "evaluation.json").read_text())["features"] is None


# --- The best checkpoint


@pytest.fixture
def kept(model, tmp_path):
    """Checkpoints of a run, saved at steps with a value each."""

    def keep(*values, higher=False, metric="kernel_distance"):
        run_dir = tmp_path / "run"
        if not run_dir.exists():
            tf.io.gfile.makedirs(str(run_dir))
            (run_dir / "config.json").write_text(model.config.to_json())
        checkpoints = Checkpoints(model.trainer.state(), run_dir)
        for step, value in values:
            checkpoints.save(step)
            checkpoints.keep_best(metric, value, higher)
        return run_dir

    return keep


@pytest.mark.parametrize("higher, best", [(False, 2), (True, 3)])
def test_best_stays_when_the_newest_have_moved_on(kept, higher, best):
    values = [(1, 5.0), (2, 1.0), (3, 9.0), (4, 5.0), (5, 9.0), (6, 4.0)]
    run_dir = kept(*values, higher=higher)
    assert best_checkpoint(run_dir)[1]["step"] == best
    assert check_run(run_dir) == newest_checkpoint(run_dir)
    path = check_run(run_dir, "best")
    assert path == check_run(run_dir, str(best)) == str(run_dir / f"best/step-{best}")
    assert sorted(p.name for p in (run_dir / "best").iterdir()) == [
        "best.json",
        f"step-{best}.data-00000-of-00001",
        f"step-{best}.index",
    ]
    assert check_run(run_dir, "5") == str(run_dir / "checkpoints/step-5")
    assert load_network(run_dir, "generator_g", path).count_params()
    with refused(f": 4, 5, 6, latest, best. Received: '{9 - best}9'."):
        check_run(run_dir, f"{9 - best}9")


def test_best_is_what_is_translated_and_loaded(kept, model):
    kept((1, 1.0))
    generator, picture = model.generator_g, np.full((1, 32, 32, 3), 70, np.uint8)
    before = generator.get_weights()
    at_best = loading.load(kept() / ".").translate(picture)
    try:
        generator.set_weights([w + 0.3 for w in before])
        run_dir = kept((2, 3.0))
    finally:
        generator.set_weights(before)
    best = loading.load(run_dir, checkpoint="best").translate(picture)
    latest = loading.load(run_dir).translate(picture)
    np.testing.assert_array_equal(best, at_best)
    assert not np.array_equal(latest, best)


def test_best_by_another_number_is_replaced_and_a_tie_is_not(kept):
    kept((1, 5.0), (2, 5.0))
    assert best_checkpoint(kept())[1]["step"] == 1
    kept((3, 7.0), metric="cycle_error")
    found = best_checkpoint(kept())[1]
    assert found == {"metric": "cycle_error", "value": 7.0, "step": 3}


@pytest.mark.parametrize("damage", ["", "{}", '{"metric": 1, "value": 2, "step": "x"}'])
def test_record_that_is_damaged_is_no_best_checkpoint(kept, damage):
    run_dir = kept((1, 5.0))
    (run_dir / "best/best.json").write_text(damage)
    assert best_checkpoint(run_dir) is None
    with refused("has no best checkpoint: train with --keep_best."):
        check_run(run_dir, "best")
    assert best_checkpoint(kept((2, 9.0)))[1]["step"] == 2
