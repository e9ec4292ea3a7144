"""A training holds its run, and clears what a killed one left there."""

import json
import threading

import pytest

from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.files import machine
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import one_writer
from cyclegan_tf.training.train import train

pytestmark = pytest.mark.usefixtures("few_shapes", "counts_only", "shows_nothing")


def test_held_run_is_not_trained(tiny, tmp_path):
    with one_writer(tmp_path / "run"):
        with pytest.raises(UserError, match="/run is held by process .* since 20"):
            train(tiny(run_dir=str(tmp_path / "run"), max_steps=1))
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]
    assert not list(tmp_path.iterdir())


def test_run_is_held_to_its_end_and_cleared_of_what_a_killed_one_left(
    tiny, tmp_path, monkeypatch
):
    dead = f".cyclegan_tf-{machine()}-99999999-1-abcd0123.tmp"
    half = "checkpoints/step-7_temp/part-00000-of-00001.index"
    for name in (dead, half):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("half")
    (tmp_path / "run.lock").write_text(json.dumps({"machine": machine()}))
    config, refusals = tiny(run_dir=str(tmp_path), max_steps=1), []
    original = Trainer.train_step

    def second():
        with pytest.raises(UserError, match=f"{tmp_path} is held by process "):
            train(config)
        refusals.append("refused")

    def train_step(self, *batch):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        return original(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    train(config)
    assert refusals == ["refused"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "checkpoint",
        "step-1.data-00000-of-00001",
        "step-1.index",
    ]
    assert not (tmp_path / dead).exists() and not (tmp_path / "run.lock").exists()


def test_stopped_run_lets_go(tiny, tmp_path, monkeypatch):
    def fail(self, *batch):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Trainer, "train_step", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(tiny(run_dir=str(tmp_path)))
    assert not (tmp_path / "run.lock").exists()
    with one_writer(tmp_path):
        pass
