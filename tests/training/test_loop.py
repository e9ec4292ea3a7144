"""The loop on a model that is no CycleGAN: it asks for no more than it says."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.loop import Loop, Run
from cyclegan_tf.training.nan_checks import NanChecks, NonFiniteLossError
from cyclegan_tf.training.reporting import Reporter, read_log
from cyclegan_tf.training.run_directory import newest_checkpoint


class Line:
    """A slope that gradient descent fits to y = 3 x."""

    learning_rate = 0.3

    def __init__(self):
        self.slope = tf.Variable(0.0)
        self.steps = tf.Variable(0, dtype=tf.int64)

    @property
    def step(self) -> int:
        return int(self.steps.numpy())

    def train_step(self, x, y) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.square(self.slope * x - y)
        self.slope.assign_sub(self.learning_rate * tape.gradient(loss, self.slope))
        self.steps.assign_add(1)
        return {"loss": loss}

    def state(self):
        return {"line": {"slope": self.slope, "steps": self.steps}}


def loop_of(model, tiny, run_dir, num_steps=8, **fields):
    config = tiny(log_every_steps=2, save_every_steps=3, **fields)
    checkpoints = Checkpoints(model.state(), run_dir)
    start = checkpoints.restore()
    run_dir.mkdir(exist_ok=True)
    run = Run(
        trainer=model,
        num_steps=num_steps,
        epoch_steps=4,
        batches=batches,
        pictures=lambda: {"line": np.full((1, 8, 8, 3), model.step, np.uint8)},
        numbers=lambda: (
            {"slope": float(model.slope)},
            [f"slope {float(model.slope):.2f}"],
        ),
        curves={"Loss": ("loss",)},
        names=lambda step: [f"sample {step + 1}"],
    )
    reporter = Reporter(run_dir, start, num_steps)
    return Loop(run, config, checkpoints, reporter)


def batches(start=0, end=8):
    return [(1.0 + i / 10, 3.0 + 3 * i / 10) for i in range(start, end)]


def test_another_model_trains_goes_on_and_is_reported(tiny, tmp_path, capsys):
    whole, broken = Line(), Line()
    assert loop_of(whole, tiny, tmp_path / "whole").run(batches()) == 0
    assert abs(float(whole.slope) - 3) < 0.01
    loop_of(broken, tiny, tmp_path / "run").run(batches(end=5))
    again = Line()
    loop = loop_of(again, tiny, tmp_path / "run")
    assert again.step == 5
    loop.run(batches(start=5))
    assert again.slope.numpy() == whole.slope.numpy()
    assert newest_checkpoint(tmp_path / "run").endswith("step-8")
    assert loop.newest_grid == "epoch_0002.png"
    grids = {path.name for path in (tmp_path / "run/grids").iterdir()}
    names = {"epoch_0000.png", "epoch_0001.png", "step_0000005.png", "epoch_0002.png"}
    assert grids == names
    records = read_log(tmp_path / "run/log.jsonl")
    assert [r["step"] for r in records if "slope" in r] == [0, 4, 5, 8]
    assert [r["step"] for r in records if "loss" in r] == [2, 4, 5, 6, 8]
    assert (tmp_path / "run/losses.png").exists()
    assert "Step 8, slope 3.00" in capsys.readouterr().out


def test_loss_that_is_not_finite_names_itself_and_the_good_checkpoint(tiny, tmp_path):
    loop = loop_of(Line(), tiny, tmp_path / "run")
    bad = batches()
    bad[4] = (float("inf"), 1.0)
    told = (
        "loss is inf at step 5, of sample 5; of the step before: sample 4. "
        "The last good checkpoint is of step 4."
    )
    with pytest.raises(NonFiniteLossError, match=told):
        loop.run(bad)
    assert newest_checkpoint(tmp_path / "run").endswith("step-4")


def test_weights_that_are_not_finite_are_not_saved(tiny, tmp_path):
    """The loss of the step whose gradient is bad is finite."""
    model = Line()
    loop = loop_of(model, tiny, tmp_path / "run")
    original = model.train_step

    def bad_gradient(x, y):
        losses = original(x, y)
        if model.step == 6:
            model.slope.assign(np.nan)
        return losses

    model.train_step = bad_gradient
    told = "line/slope is not finite after step 6, of sample 6: a gradient was not."
    with pytest.raises(NonFiniteLossError, match=told):
        loop.run(batches())
    assert newest_checkpoint(tmp_path / "run").endswith("step-4")


def watch(said: list[str]) -> NanChecks:
    names = [f"{number}.jpg" for number in range(6)]
    return NanChecks(True, lambda step: names, said.append)


def test_updates_are_skipped_and_named_until_ten_in_a_row():
    said, skipped = [], 0
    finite = watch(said)
    for step in range(1, 10):
        skipped += 1
        assert not finite.accepts(step, {"loss": math.nan}, skipped, 0)
    assert finite.accepts(10, {"loss": 1.0}, skipped, 0)
    for step in range(11, 20):
        skipped += 1
        assert not finite.accepts(step, {"loss": 1.0}, skipped, 0)
    of = "of 0.jpg, 1.jpg, 2.jpg, 3.jpg and 2 more"
    assert said[0] == f"loss is nan at step 1, {of}: skipped."
    assert said[-1] == f"A gradient is not finite at step 19, {of}: skipped."
    assert len(said) == 18
    told = "step 20, .*, the last of 10 in a row. The last good .* is of step 12"
    with pytest.raises(NonFiniteLossError, match=told):
        finite.accepts(20, {"loss": math.inf}, skipped + 1, 12)


def test_skipped_steps_are_counted_and_left_out_of_the_means(tiny, tmp_path):
    """As a model that skips does: nothing changes in such a step."""
    model = Line()
    bad = {3, 4, 6}

    def skipping(x, y):
        model.steps.assign_add(1)
        skipped = tf.constant(float(len([s for s in bad if s <= model.step])))
        loss = tf.constant(np.nan if model.step in bad else model.step)
        return {"loss": loss, "skipped_updates": skipped}

    model.train_step = skipping
    loop_of(model, tiny, tmp_path / "run", on_nonfinite="skip").run(batches())
    records = [r for r in read_log(tmp_path / "run/log.jsonl") if "epoch" in r]
    assert [r.get("loss") for r in records] == [1.5, None, 5, 7.5]
    assert [r["skipped_updates"] for r in records] == [0, 2, 3, 3]
