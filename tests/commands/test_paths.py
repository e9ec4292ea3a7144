"""Every flag that is a path: `--run_dir=~/run` is the same place in every command."""

import dataclasses
import os

import pytest
from absl import flags

from cyclegan_tf.commands import COMMANDS
from cyclegan_tf.commands.program import define_flags, load_command
from cyclegan_tf.family.shared.options import OPTIONS

# A new flag with a text belongs here, or is a path.
NO_PATHS = {
    *("preset", "model_of_train", "strategy", "keep_best", "points", "norm"),
    *("checkpoint", "formats", "direction", "name", "tflite_types", "tflite_size"),
    *("tflite_io", "licence", "features", "reference", "server", "epoch", "measure"),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def texts(command: str) -> dict:
    found = load_command(command).flags
    return {n: f for n, f in found.items() if isinstance(f.default, str)}


@pytest.mark.parametrize("command", COMMANDS)
def test_home_is_expanded_in_every_path_of_a_command(command, home):
    values = flags.FlagValues()
    define_flags(load_command(command).flags, values)
    names = texts(command)
    values([command, *(f"--{name}=~/a/b" for name in names)])
    for name, flag in names.items():
        expanded = values[name].value == os.path.join(home, "a/b")
        assert expanded == flag.is_path, name
        named = f"{name}_of_{command}" if name == "model" else name
        known = named in NO_PATHS or name == "model" and command == "serving_client"
        assert flag.is_path or flag.choices or known, name


@pytest.mark.parametrize("kind", OPTIONS.values())
def test_home_is_expanded_in_every_path_of_a_configuration(kind, home):
    for field in dataclasses.fields(kind):
        if field.metadata["is_path"]:
            options = kind(**{field.name: "~/a/b"})
            assert getattr(options, field.name) == str(home / "a/b")
