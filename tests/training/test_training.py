import dataclasses
import json
import logging
import os
import pathlib
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import saved_run
from helpers.quality_samples import PIXELS
from helpers.runs import tensors
from tensorflow.python.framework import config as tf_config

from cyclegan_tf.core.cyclegan import NETWORKS, CycleGAN
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.data import datasets, images
from cyclegan_tf.evaluation import features, translations
from cyclegan_tf.messages import UserError
from cyclegan_tf.training import cyclegan_run
from cyclegan_tf.training import train as training
from cyclegan_tf.training.checkpoints import load_network
from cyclegan_tf.training.nan_checks import NonFiniteLossError
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.training.run_directory import (
    best_checkpoint,
    load_config,
    newest_checkpoint,
    save_config,
)

pytestmark = [pytest.mark.usefixtures("few_shapes"), pytest.mark.stack]

LEARNS_SOONER = {
    "average_decay": 0.9,
    "input_skip": True,
    "output_activation": "linear",
    "upsampling": "resize",
    "discriminator_learning_rate": 6e-4,
    "beta_2": 0.99,
    "num_steps": 24,
}
CRITICS = {"adversarial_loss": "wgan_gp", "pool_size": 0}
PROJECTED = {"discriminator": "projected", "adversarial_loss": "hinge", "pool_size": 0}


def iterations(run_dir) -> int:
    name = "optimizer_of_generator_g/000_iteration/.ATTRIBUTES/VARIABLE_VALUE"
    return tensors(run_dir)[name]


@pytest.mark.usefixtures("shows_nothing")
def test_broken_run_ends_as_an_unbroken_one_to_the_bit(whole_run, tmp_path):
    """Only one of both shows pictures."""
    broken = dataclasses.replace(whole_run, run_dir=str(tmp_path / "broken"))
    go_on_after(14, whole_run, broken)
    assert_same_tensors(broken, whole_run)
    assert iterations(broken.run_dir) == 24


def go_on_after(step, whole, broken) -> None:
    """Trains on from a step of a run, within an epoch, as if it was killed then."""
    shutil.copytree(whole.run_dir, broken.run_dir)
    for path in pathlib.Path(broken.run_dir, "checkpoints").glob("step-*.*"):
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink()
    assert newest_checkpoint(broken.run_dir).endswith(f"step-{step}")
    training.train(broken)


def assert_same_tensors(config, other):
    ours, theirs = tensors(config.run_dir), tensors(other.run_dir)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def evaluations(run_dir) -> dict[int, dict]:
    log = read_log(pathlib.Path(run_dir) / "log.jsonl")
    return {r["step"]: r for r in log if "A2B/cycle_error" in r}


def tags(run_dir) -> set[str]:
    found = set()
    for path in (pathlib.Path(run_dir) / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found |= {value.tag for value in event.summary.value}
    return found


def weights(run_dir) -> list[np.ndarray]:
    return load_network(run_dir, "generator_g").get_weights()


@pytest.mark.usefixtures("no_figures")
def test_training_is_evaluated_and_the_best_is_kept(
    whole_run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(datasets.shapes, "NUM_TEST", 4)
    monkeypatch.setitem(features.EXTRACTORS, "mobilenet_v2", lambda weights: PIXELS)
    config = dataclasses.replace(
        whole_run,
        run_dir=str(tmp_path / "run"),
        evaluate_every_epochs=1,
        evaluation_features="mobilenet_v2",
        keep_best="A2B/kernel_distance",
    )
    training.train(config)
    found = evaluations(config.run_dir)
    assert [*found] == [12, 24]
    name = "A2B/kernel_distance/pixels/4-vs-6"
    errors = {step: record[name] for step, record in found.items()}
    best = min(errors, key=errors.get)
    path, kept = best_checkpoint(config.run_dir)
    metric = {"metric": "A2B/kernel_distance", "value": errors[best], "step": best}
    assert kept == metric
    assert pathlib.Path(f"{path}.index").exists()
    record = json.loads((tmp_path / "run/evaluation.json").read_text())
    spread = record["last_five_evaluations"][name]
    assert spread["mean"] == pytest.approx(np.mean([*errors.values()]))
    assert spread["count"] == 2
    named = record["best_not_the_result"][name]
    assert named == {"value": errors[best], "step": best}
    assert (record["step"], record["pictures"]) == (24, {"A2B": 4, "B2A": 4})
    assert (tmp_path / "run/evaluation.png").exists()
    assert set(record["numbers"]) <= tags(config.run_dir)
    printed = capsys.readouterr().out
    assert "Features for distances and the probe: pixels." in printed
    assert "Accuracy of the linear probe: " in printed
    assert f"best {errors[best]:.4f} at step {best}" in printed
    # The same without evaluations ends with the same weights.
    for a, b in zip(weights(config.run_dir), weights(whole_run.run_dir), strict=True):
        np.testing.assert_array_equal(a, b)
    assert evaluations(whole_run.run_dir) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("shows_nothing")
@pytest.mark.parametrize("fields", [LEARNS_SOONER, PROJECTED, CRITICS])
def test_broken_run_of_other_options_ends_so_too(tiny, tmp_path, fields):
    config = tiny(log_every_steps=5, save_every_steps=7, **fields)
    whole = dataclasses.replace(config, run_dir=str(tmp_path / "whole"))
    training.train(whole)
    broken = dataclasses.replace(config, run_dir=str(tmp_path / "broken"))
    go_on_after(14, whole, broken)
    assert_same_tensors(broken, whole)
    assert iterations(broken.run_dir) == 24


@pytest.mark.usefixtures("eagerly", "shows_nothing")
def test_run_with_averages_is_shown_loaded_and_gone_on_from_with_them(tiny, tmp_path):
    fields = {"average_decay": 0.9, "learning_rate": 1e-2, "max_steps": 4}
    run = tiny(run_dir=str(tmp_path / "run"), **fields)
    training.train(run)
    held = tensors(run.run_dir)

    def kernel(group):
        return held[f"{group}/first_conv_kernel/.ATTRIBUTES/VARIABLE_VALUE"]

    average, trained = kernel("average_of_generator_g"), kernel("generator_g")
    assert np.abs(average - trained).max() > 1e-4
    loaded = load_network(run.run_dir, "generator_g")
    np.testing.assert_array_equal(loaded.get_layer("first_conv").kernel, average)
    # One that begins with it goes on from the trained weights, and averages these.
    after = tiny(initialize_from=run.run_dir, average_decay=0.9)
    model = CycleGAN(after, 12)
    cyclegan_run._initialized(model)
    for network in (model.generator_g, model.shown_generators["generator_g"]):
        np.testing.assert_array_equal(network.get_layer("first_conv").kernel, trained)


def test_averages_are_not_asked_of_a_run_without_them(tmp_path):
    run = saved_run(tmp_path / "run").config
    save_config(dataclasses.replace(run, average_decay=0.9))
    with pytest.raises(UserError, match="missing: average_of_generator_g/"):
        load_network(run.run_dir, "generator_g")


def test_pictures_are_made_with_the_averages(tiny):
    data = datasets.load(tiny())
    model = CycleGAN(tiny(average_decay=0.9), 12)
    for network in model.shown_generators.values():
        network.set_weights([3 * w for w in network.get_weights()])
    real_x = translations.first_pictures(data.test_x)
    translate = translations.make_translators(model)
    columns = translations.grid_pictures(model, data)
    trained, shown = (
        images.to_uint8(networks["generator_g"](images.to_float(real_x)))
        for networks in (model.networks, model.shown_generators)
    )
    assert np.abs(np.subtract(trained, shown, dtype=int)).max() > 20
    # A graph may round a value between two levels to the other one.
    for made in (translate["A2B"](real_x), columns["fake_y"]):
        assert np.abs(np.subtract(made, shown, dtype=int)).max() <= 1


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("output_activation", "tanh", "linear"),
        pytest.param("output_activation", "linear", "tanh", marks=pytest.mark.slow),
    ],
)
def test_weights_that_mean_something_else_are_refused(
    tiny, tmp_path, field, before, after
):
    first = saved_run(tmp_path / "before", **{field: before}).config
    fields = {"initialize_from": first.run_dir, "run_dir": str(tmp_path / "after")}
    with pytest.raises(UserError, match=f"`{field}` {before}, this run {after}"):
        training.train(tiny(**fields, **{field: after}))
    assert not (tmp_path / "after").exists()


@pytest.mark.usefixtures("counts_only", "shows_nothing")
def test_run_begins_with_the_networks_of_another_once(
    tiny, whole_run, tmp_path, capsys
):
    shutil.copytree(whole_run.run_dir, tmp_path / "before")
    fields = {"initialize_from": str(tmp_path / "before"), "max_steps": 2}
    config = tiny(run_dir=str(tmp_path / "after"), seed=5, **fields)
    capsys.readouterr()
    training.train(config)
    told = f"From {config.initialize_from}: generator_g, generator_f, discriminator_x, "
    assert told + "discriminator_y.\n" in capsys.readouterr().out
    ours, theirs = tensors(config.run_dir), tensors(whole_run.run_dir)
    networks = [name for name in theirs if name.startswith(NETWORKS)]
    assert len(networks) == 2 * 9 + 2 * 6
    for name in networks:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    # It goes on without the other.
    shutil.rmtree(config.initialize_from)
    training.train(dataclasses.replace(config, max_steps=4))
    assert "From" not in capsys.readouterr().out
    assert iterations(config.run_dir) == 4
    assert newest_checkpoint(config.run_dir).endswith("step-4")


@pytest.mark.usefixtures("counts_only", "shows_nothing")
def test_global_options_are_restored_also_after_an_error(tiny, tmp_path, monkeypatch):
    seen = []

    def failing(self, *batch):
        options = tf.config.optimizer.get_experimental_options()
        seen.append((options["remapping"], tf_config.is_op_determinism_enabled()))
        raise RuntimeError("in a step")

    before = tf.config.optimizer.get_experimental_options()
    config = tiny(run_dir=str(tmp_path), max_steps=1, deterministic=True)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", failing)
        with pytest.raises(RuntimeError, match="in a step"):
            training.train(config)
    training.train(config)
    assert seen == [(False, True)]
    assert tf.config.optimizer.get_experimental_options() == before
    assert not tf_config.is_op_determinism_enabled()


@pytest.mark.usefixtures("counts_only", "shows_nothing")
def test_messages_can_be_silenced(tiny, tmp_path, capsys):
    logger = logging.getLogger("cyclegan_tf")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        training.train(tiny(run_dir=str(tmp_path), max_steps=1))
    finally:
        logger.setLevel(level)
    assert capsys.readouterr().out == ""


def test_run_that_can_not_begin_leaves_nothing(tiny, tmp_path):
    config = tiny(run_dir=str(tmp_path / "run"), initialize_from=str(tmp_path / "no"))
    with pytest.raises(UserError, match="`initialize_from` .*no has no checkpoint"):
        training.train(config)
    with pytest.raises(UserError, match="`initialize_from` .*no has no checkpoint"):
        training.describe(config)
    assert not list(tmp_path.iterdir())


def test_run_directory_holds_all_that_was_promised(whole_run):
    run_dir = pathlib.Path(whole_run.run_dir)
    grids = sorted(p.name for p in (run_dir / "grids").iterdir())
    assert grids == ["epoch_0001.png", "epoch_0002.png"]
    assert load_config(run_dir) == whole_run
    records = read_log(run_dir / "log.jsonl")
    assert [r["step"] for r in records if "disc_x_loss" in r] == [6, 12, 18, 24]
    rates = [r["learning_rate"] for r in records if "learning_rate" in r]
    # The rate of the next step: the decay starts with the second epoch.
    assert rates == pytest.approx([2e-4, 1e-4, 1e-4, 1e-4])
    assert [r["epoch"] for r in records if "epoch" in r] == [1, 1, 2, 2]
    assert all(0 <= r["waiting_for_data"] < 1 for r in records if "epoch" in r)
    assert [r["step"] for r in records if "first_step_seconds" in r] == [6]
    errors = [r for r in records if "error_x_to_y" in r]
    assert [r["step"] for r in errors] == [12, 24]
    assert errors[0]["error_x_to_y"] != errors[-1]["error_x_to_y"]
    assert errors[0]["error_doing_nothing_x_to_y"] > 10
    assert (run_dir / "losses.png").stat().st_size > 1000
    assert list((run_dir / "tensorboard").iterdir())
    assert not list(run_dir.rglob("*.tmp"))


@pytest.mark.usefixtures("counts_only", "shows_nothing")
def test_end_of_a_training_names_what_there_is(tiny, tmp_path, capsys):
    training.train(tiny(run_dir=str(tmp_path), max_steps=2))
    told = capsys.readouterr().out
    for name in ("grids", "step_0000002.png", "losses.png", str(tmp_path)):
        assert name in told


@pytest.mark.usefixtures("shows_nothing")
def test_records_are_means_of_whole_windows_whatever_is_saved_between(
    tiny, tmp_path, monkeypatch
):
    steps = iter(range(1, 100))
    monkeypatch.setattr(
        Trainer,
        "train_step",
        lambda self, x, y, identity: {"gen_g_loss": tf.constant(float(next(steps)))},
    )
    config = tiny(run_dir=str(tmp_path), log_every_steps=5, save_every_steps=4)
    training.train(config)
    records = [r for r in read_log(tmp_path / "log.jsonl") if "gen_g_loss" in r]
    assert [(r["step"], r["gen_g_loss"]) for r in records] == [
        (5, 3.0),
        (10, 8.0),
        (15, 13.0),
        (20, 18.0),
        (24, 22.5),
    ]


def test_finished_run_is_left_as_it_is(whole_run, tmp_path, capsys):
    run = shutil.copytree(whole_run.run_dir, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*.index")}
    training.train(dataclasses.replace(whole_run, run_dir=str(run)))
    assert "at step 24 of 24: nothing to train" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in run.rglob("*.index")}


@pytest.mark.usefixtures("counts_only", "shows_nothing")
def test_non_finite_loss_stops_the_run_and_keeps_the_good_checkpoint(
    tiny, tmp_path, monkeypatch
):
    original = Trainer.train_step

    def broken(self, *batch):
        losses = original(self, *batch)
        if self.step >= 9:
            losses["disc_x_loss"] = tf.constant(float("nan"))
        return losses

    monkeypatch.setattr(Trainer, "train_step", broken)
    config = tiny(run_dir=str(tmp_path), save_every_steps=4, log_every_steps=50)
    with pytest.raises(
        NonFiniteLossError,
        match="disc_x_loss is nan at step 9, of shapes 0 number 6, shapes 1 number 9; "
        ".*number 6. The last good checkpoint is of step 8",
    ):
        training.train(config)
    assert newest_checkpoint(tmp_path).endswith("step-8")


@pytest.mark.usefixtures("counts_only", "shows_nothing")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_after_the_step_and_saves_it(tiny, tmp_path, monkeypatch, number):
    original = Trainer.train_step

    def interrupted(self, *batch):
        if self.step == 4:
            os.kill(os.getpid(), number)
        return original(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    told = "Stopped and saved at step 5. The same command continues."
    with pytest.raises(KeyboardInterrupt, match=told) as stopped:
        training.train(tiny(run_dir=str(tmp_path)))
    assert stopped.value.number == number
    assert newest_checkpoint(tmp_path).endswith("step-5")
    assert handlers == (
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("shows_nothing")
def test_two_replicas_train_and_go_on(tiny, tmp_path):
    fields = {"input_skip": True, "output_activation": "linear"}
    run = {"run_dir": str(tmp_path), "strategy": "cpu:2", "num_epochs": 2}
    config = tiny(batch_size=2, **run, **fields)
    training.train(dataclasses.replace(config, max_steps=4))
    training.train(dataclasses.replace(config, max_steps=8))
    records = read_log(tmp_path / "log.jsonl")
    assert newest_checkpoint(tmp_path).endswith("step-8")
    assert all(np.isfinite(r.get("gen_g_loss", 0)) for r in records)


def test_grid_shows_what_the_generators_make(tiny):
    config = tiny()
    data = datasets.load(config)
    model = CycleGAN(config, 10)
    columns = translations.grid_pictures(model, data)
    assert list(columns) == [
        "real_x",
        "fake_y",
        "cycled_x",
        "same_x",
        "real_y",
        "fake_x",
        "cycled_y",
        "same_y",
    ]
    np.testing.assert_array_equal(columns["real_x"][1], data.test_x.read(1))
    real_y = images.to_float(data.test_y.read(1)[None])
    same_y = images.to_uint8(model.generator_g(real_y))[0]
    difference = columns["same_y"][1].astype(int) - same_y.numpy()
    assert np.abs(difference).max() <= 1


def test_plan_tells_configuration_parameters_and_steps(tiny):
    plan = training.describe(tiny(batch_size=5))
    config, rest = plan.rsplit("}\n", 1)
    assert json.loads(config + "}")["batch_size"] == 5
    assert "generator_g: 8,667 parameters" in rest
    assert "discriminator_y: 3,013 parameters" in rest
    assert "steps: 6 (3 per epoch, 12 and 12 training pictures)" in rest
    plan = training.describe(tiny(max_steps=4))
    assert "steps: 4 (12 per epoch" in plan
