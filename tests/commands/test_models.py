"""What `models` lists and measures, and the flags of models beside CycleGAN."""

import dataclasses
import re
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from cyclegan_tf.commands import models
from cyclegan_tf.commands import train as command_line
from cyclegan_tf.config import Config
from cyclegan_tf.options import OPTIONS, Points
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.run_directory import load_options, save_config
from cyclegan_tf.validation import UserError


@pytest.fixture
def options_of(tmp_path, monkeypatch):
    """From command line arguments to a configuration, in an empty working directory."""
    if "preset" not in flags.FLAGS:
        command_line.define_flags()
    monkeypatch.chdir(tmp_path)

    def parse(*args: str):
        with flagsaver.flagsaver():
            flags.FLAGS(["train.py", *args])
            return command_line.config_from_flags(flags.FLAGS)

    return parse


def test_preset_knows_its_model_and_its_run_dir(options_of):
    options = options_of("--preset=points_grid", "--num_units=9", "--seed=3")
    assert options == Points(
        points="grid", num_layers=3, num_units=9, seed=3, run_dir="runs/points_grid"
    )


def test_model_is_for_those_without_a_preset(options_of):
    options = options_of("--model=points", "--points=grid")
    assert options == Points(points="grid", run_dir="runs/points")
    assert options_of("--model=cyclegan") == Config(run_dir="runs/horse2zebra")


def test_run_knows_its_model(options_of, tmp_path):
    stored = Points(num_units=5, run_dir=str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    save_config(stored)
    assert load_options(stored.run_dir) == stored
    options = options_of("--run_dir", stored.run_dir, "--max_steps=7")
    assert options == dataclasses.replace(stored, max_steps=7)
    with pytest.raises(UserError, match="num_units: 5 there, 6 asked for"):
        options_of("--run_dir", stored.run_dir, "--num_units=6")
    with pytest.raises(UserError, match="model: points there, cyclegan asked for"):
        options_of("--run_dir", stored.run_dir, "--preset=tiny")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--preset=points", "--num_blocks=3"], "`points` has no `num_blocks`; it has"),
        (["--preset=tiny", "--num_units=3"], "`cyclegan` has no `num_units`; it has"),
        (["--model=stargan"], "`model` must be one of cyclegan, points"),
        (
            ["--preset=points", "--model=cyclegan"],
            "`preset` points is of the model `points`. Received also `model` 'cycle",
        ),
    ],
)
def test_option_of_another_model_is_refused(options_of, args, told):
    with pytest.raises(UserError, match=told):
        options_of(*args)


def test_shared_flags_have_one_type():
    kinds = {}
    for options in (Config, *OPTIONS.values()):
        for field in dataclasses.fields(options):
            assert kinds.setdefault(field.name, field.type) is field.type, field.name


@pytest.mark.parametrize("asked", ["--preset=points_grid", "--model=points"])
def test_help_of_a_preset_shows_what_its_model_has(asked, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", asked, "--help"])
    told = command_line.help_text("python train.py")
    for field in dataclasses.fields(Points):
        boolean = "[no]" if field.type is bool else ""
        assert re.search(rf"\n  --{re.escape(boolean)}{field.name}\s", told)
    assert "--lambda_cycle" not in told and "\n  quick" not in told
    assert "\n  points_wgan_gp" in told


def test_list_names_every_model_and_preset():
    lines = models.listing().splitlines()
    for options in (Config, *OPTIONS.values()):
        assert f"{options.model}: {options.summary}" in lines
    for name in PRESETS:
        assert sum(line.split(None, 1)[:1] == [name] for line in lines) == 1
    assert max(map(len, lines)) <= 88


def test_preset_is_measured_with_three_seeds(monkeypatch, capsys):
    small = {"num_units": 4, "batch_size": 4, "num_steps": 2}
    beside = {"batch_size": 5, "critic_steps": 2}
    preset = dataclasses.replace(PRESETS["points"], values=small, baseline=beside)
    monkeypatch.setitem(PRESETS, "points", preset)
    lines = models.measured("points").splitlines()
    assert lines[0] == "| points | seed 0, 1, 2 | median |"
    told = "| points with batch_size 5, critic_steps 2 | seed 0, 1, 2 | median |"
    assert lines[8] == told
    for ours, theirs in zip(lines[1:6], lines[9:14], strict=True):
        assert ours.split(" | ")[0] == theirs.split(" | ")[0]
    assert lines[2:6] != lines[10:14]
    rows = {line.split(" | ")[0].strip("| "): line for line in lines[2:7]}
    assert [*rows] == [
        "modes",
        "within",
        "kl_generated_real",
        "kl_real_generated",
        "minutes",
    ]
    cells = rows["kl_real_generated"].strip("| ").split(" | ")
    values = sorted(float(value) for value in cells[1].split(", "))
    assert len(set(values)) == 3 and float(cells[2]) == values[1]
    assert "Python 3." in lines[-1] and "tensorflow 2." in lines[-1]


def test_preset_that_needs_another_gets_a_run_of_it(monkeypatch):
    trained = []

    def train(name, run_dir, **fields):
        trained.append((name, fields))
        return {"changed": float(fields["seed"]), "minutes": 1.0}

    monkeypatch.setattr(models, "_train", train)
    lines = models.measured("digits_controllable").splitlines()
    assert lines[2] == "| changed | 0, 1, 2 | 1 |"
    names = ["digits_dcgan", "digits_controllable", "digits_controllable"]
    assert [name for name, _ in trained] == 3 * names
    assert [fields["seed"] for _, fields in trained] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    ours, theirs = (fields for _, fields in trained[1:3])
    assert ours["generator_run"] == theirs["generator_run"]
    assert "lambda_features" not in ours and theirs["lambda_features"] == 0.0


@pytest.mark.slow
@pytest.mark.usefixtures("few_shapes")
def test_cyclegan_on_drawn_pictures_is_measured_beside_another_data_set(monkeypatch):
    small = {"max_steps": 1, **PRESETS["tiny"].values, "dataset": "shapes_colour"}
    beside = {"dataset": "shapes_upside_down"}
    preset = dataclasses.replace(PRESETS["limits"], values=small, baseline=beside)
    monkeypatch.setitem(PRESETS, "limits", preset)
    lines = models.measured("limits").splitlines()
    names = [line.split(" | ")[0].strip("| ") for line in lines[2:7]]
    assert names[:2] == ["error_x_to_y", "error_doing_nothing_x_to_y"]
    assert lines[8].startswith("| limits with dataset shapes_upside_down | seed 0, ")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("quick", "`measure` quick is on real pictures: train it, and ask `evaluate`"),
        ("x", "`measure` must be one of"),
    ],
)
def test_what_cannot_be_measured_is_refused(name, told):
    with pytest.raises(UserError, match=told):
        models.measured(name)
