"""Runs that continue longer, or from another place."""

import dataclasses
import shutil
import sys

import pytest
from helpers.dataset_folders import fill

from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import load_config, newest_checkpoint
from cyclegan_tf.training.train import train

pytestmark = pytest.mark.usefixtures("few_shapes", "counts_only", "shows_nothing")


def test_run_continues_with_its_pictures_wherever_they_are(tiny, tmp_path, monkeypatch):
    fill(tmp_path / "pictures", {"trainA": 2, "trainB": 2}, ".png")
    fill(tmp_path / "others", {"trainA": 2, "trainB": 3}, ".png")
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    train(tiny(dataset="pictures", run_dir=str(run), max_steps=1))
    assert load_config(run).dataset == str(tmp_path / "pictures")

    monkeypatch.chdir("/")
    train(dataclasses.replace(load_config(run), max_steps=2))
    (tmp_path / "pictures").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="`dataset` .*pictures is no folder.*--dataset"):
        train(dataclasses.replace(load_config(run), max_steps=3))
    shutil.move(run, tmp_path / "moved_run")
    moved = load_config(tmp_path / "moved_run")
    moved = dataclasses.replace(moved, max_steps=3, dataset=str(tmp_path / "moved"))
    train(moved)
    assert newest_checkpoint(moved.run_dir).endswith("step-3")
    assert load_config(moved.run_dir) == moved

    others = dataclasses.replace(moved, max_steps=4, dataset=str(tmp_path / "others"))
    with pytest.raises(UserError, match=r"has changed \(.*trainB/02.png"):
        train(others)
    assert load_config(moved.run_dir) == moved


def test_finished_run_trains_longer(whole_run, tmp_path, capsys):
    run = shutil.copytree(whole_run.run_dir, tmp_path / "run")
    fields = {"run_dir": str(run), "num_epochs": 3, "num_decay_epochs": 2}
    longer = dataclasses.replace(whole_run, **fields)
    capsys.readouterr()
    train(longer)
    (line,) = [ln for ln in capsys.readouterr().out.splitlines() if "longer" in ln]
    for text in ("num_epochs: 1 there, 3 requested", "num_decay_epochs: 1 there, 2"):
        assert text in line
    # Step 24 is in the third epoch, which now has the full rate again.
    for text in ("60 steps", "for 3 epochs", "for 2; now 0.0002"):
        assert text in line
    assert newest_checkpoint(run).endswith("step-60")
    assert load_config(run) == longer


def test_training_needs_no_module_that_windows_lacks(
    tiny, tmp_path, monkeypatch, capsys
):
    for name in ("fcntl", "resource", "pwd"):
        monkeypatch.setitem(sys.modules, name, None)
    train(tiny(run_dir=str(tmp_path), max_steps=2))
    assert newest_checkpoint(tmp_path).endswith("step-2")
    assert "can't be locked" in capsys.readouterr().err
