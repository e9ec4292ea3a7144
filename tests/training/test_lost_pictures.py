"""Whole trainings whose pictures disappear, and pictures of one level."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.dataset_folders import fill

from cyclegan_tf.core.cyclegan import NETWORKS, CycleGAN
from cyclegan_tf.data import datasets
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.training.train import train


@pytest.fixture
def loses(monkeypatch):
    """Has files disappear once a data set is loaded."""

    def after_load(*paths):
        load = datasets.load

        def load_and_lose(config):
            data = load(config)
            for path in paths:
                path.unlink()
            return data

        monkeypatch.setattr(datasets, "load", load_and_lose)

    return after_load


@pytest.fixture
def config(tiny, tmp_path):
    """Two epochs of eight steps on a folder."""
    sizes = {"trainA": 8, "trainB": 8, "testA": 8, "testB": 8}
    fill(tmp_path / "data", sizes)
    folders = {"dataset": str(tmp_path / "data"), "run_dir": str(tmp_path / "run")}
    return tiny(**folders, cache="none")


@pytest.mark.slow
def test_training_goes_on_without_lost_pictures(config, tmp_path, loses, capfd):
    lost = ("trainA/01.jpg", "trainB/00.jpg", "testA/00.jpg", "testB/02.jpg")
    loses(*(tmp_path / "data" / name for name in lost))
    train(dataclasses.replace(config, evaluate_every_epochs=1))
    steps = {record["step"] for record in read_log(tmp_path / "run" / "log.jsonl")}
    assert max(steps) == 16
    assert (tmp_path / "run" / "grids" / "epoch_0002.png").exists()
    assert (tmp_path / "run" / "evaluation.json").exists()
    told = capfd.readouterr().err
    for name in lost:
        split, _, file = name.partition("/")
        named = f"Warning: {file} in {tmp_path}/data {split} can't be read: No such"
        assert told.count(named) == 1, name


def test_training_ends_with_a_clear_error_when_all_pictures_are_lost(
    config, tmp_path, loses
):
    loses(*(tmp_path / "data" / "trainB" / f"{i:02}.jpg" for i in range(8)))
    told = r"^None of the 8 pictures in \S+ trainB can be read any more\. \d+.jpg in "
    with pytest.raises(UserError, match=told) as error:
        train(config)
    assert "\n" not in str(error.value)


# --- Pictures of one level, whose norms divide by nothing


@pytest.mark.parametrize(
    "precision", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)]
)
def test_even_pictures_give_finite_losses_and_gradients(tiny, precision):
    model = CycleGAN(tiny(precision=precision), 10)
    for level_x, level_y in ((-1.0, -1.0), (-1.0, 1.0), (0.0, 0.5)):
        x, y = (tf.fill([1, 32, 32, 3], level) for level in (level_x, level_y))
        losses, gradients = model.compute_gradients(x, y)
        for name, loss in losses.items():
            assert np.isfinite(float(loss)), name
        assert float(losses["total_cycle_loss"]) > 0
        for name in NETWORKS:
            for gradient in gradients[name]:
                assert np.isfinite(gradient.numpy()).all(), name
            assert any(np.any(gradient != 0) for gradient in gradients[name]), name
