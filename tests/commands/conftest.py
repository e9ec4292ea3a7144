"""Fixtures that several tests of this folder share."""

import pytest
from absl import flags

from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.commands.translate import TRANSLATE


@pytest.fixture
def run(model, monkeypatch, tmp_path):
    """Runs `translate` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*args, run_dir=model.config.run_dir):
        values = flags.FlagValues()
        define_flags(TRANSLATE.flags, values)
        values(["translate", *([f"--run_dir={run_dir}"] if run_dir else []), *args])
        TRANSLATE(values)

    return call
