"""A training that tests share, and a step that only counts."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.messages import print_messages
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.train import train

LOSSES = ("gen_g_loss", "gen_f_loss", "total_cycle_loss", "identity_g_loss")
LOSSES += ("identity_f_loss", "disc_x_loss", "disc_y_loss")

print_messages()


@pytest.fixture
def counts_only(monkeypatch):
    """A CycleGAN's step counts and trains nothing: its losses are 1."""

    def train_step(self, *batch):
        for adam in self.optimizers.values():
            adam.iterations.assign_add(1)
        return {name: tf.constant(1.0) for name in LOSSES}

    monkeypatch.setattr(Trainer, "train_step", train_step)


@pytest.fixture
def shows_nothing(monkeypatch, no_figures):
    """Grids have one grey picture, and nothing is measured of them."""
    grey = {"nothing": np.full((1, 8, 8, 3), 128, np.uint8)}
    run = "cyclegan_tf.training.cyclegan_run"
    monkeypatch.setattr(f"{run}.translations.grid_pictures", lambda *_: grey)
    monkeypatch.setattr(f"{run}._numbers", lambda *_: ({}, []))


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory):
    """The configuration of a run of `tiny`: two epochs of 12 steps, with a log."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    fields = {"log_every_steps": 6, "save_every_steps": 7}
    config = preset("tiny", run_dir=str(folder), **fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 12)
        patch.setattr("cyclegan_tf.data.shapes.NUM_TEST", 4)
        train(config)
    return config
