"""Fixtures that several tests of this wing share."""

import pytest
from absl import flags
from helpers.exporting_samples import saved_run

from cyclegan_tf.commands import translate
from cyclegan_tf.commands.program import define_flags


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A CycleGAN, saved as a run."""
    return saved_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(model, monkeypatch, tmp_path):
    """Runs the program in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args, run_dir=model.config.run_dir):
        values = flags.FlagValues()
        define_flags(translate.FLAGS, values)
        values(["translate", *([f"--run_dir={run_dir}"] if run_dir else []), *args])
        translate.run(values)

    return call
