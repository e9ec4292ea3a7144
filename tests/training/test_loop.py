"""The loop on a model that is no CycleGAN: it asks for no more than it says."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.run_directory import newest_checkpoint
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.loop import Loop, NonFiniteLossError, Views
from cyclegan_tf.training.reporting import Reporter, read_log


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


def loop_of(model, tiny, run_dir, num_steps=8):
    config = tiny(log_every_steps=2, save_every_steps=3)
    checkpoints = Checkpoints(model.state(), run_dir)
    start = checkpoints.restore()
    run_dir.mkdir(exist_ok=True)
    views = Views(
        pictures=lambda: {"line": np.full((1, 8, 8, 3), model.step, np.uint8)},
        numbers=lambda: (
            {"slope": float(model.slope)},
            [f"slope {float(model.slope):.2f}"],
        ),
        curves={"Loss": ("loss",)},
    )
    reporter = Reporter(run_dir, start, num_steps)
    return Loop(model, config, checkpoints, reporter, views, epoch_steps=4)


def batches(start=0, end=8):
    return [(1.0 + i / 10, 3.0 + 3 * i / 10) for i in range(start, end)]


def test_another_model_trains_goes_on_and_is_reported(tiny, tmp_path, capsys):
    whole, broken = Line(), Line()
    assert loop_of(whole, tiny, tmp_path / "whole").run(batches()) is False
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
    told = "loss is (inf|nan) at step 5. The last good checkpoint is of step 4."
    with pytest.raises(NonFiniteLossError, match=told):
        loop.run(bad)
    assert newest_checkpoint(tmp_path / "run").endswith("step-4")
