"""Flags, the configuration they ask for, and `--help`."""

import dataclasses
import pathlib
import re
import sys

import pytest
from absl import flags
from absl.testing import flagsaver
from helpers.config_values import FIELDS, OTHER_VALUES, refused

from cyclegan_tf.base_options import GROUPS
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.commands.train import TRAIN, config_from_flags
from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import OPTIONS, Points
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import PRESETS
from cyclegan_tf.training.run_directory import load_config, load_options, save_config


@pytest.fixture
def config_of(tmp_path, monkeypatch):
    """From command line arguments to a `Config`, in an empty working directory."""
    if "preset" not in flags.FLAGS:
        define_flags(TRAIN.flags)
    monkeypatch.chdir(tmp_path)

    def parse(*args: str) -> Config:
        with flagsaver.flagsaver():
            flags.FLAGS(["train.py", *args])
            return config_from_flags(flags.FLAGS)

    return parse


@pytest.fixture
def stored_run(tmp_path):
    """Makes the run directory of the preset `tiny` with some fields replaced."""

    def make(name="stored", **fields) -> str:
        run_dir = tmp_path / name
        run_dir.mkdir(parents=True)
        values = {**PRESETS["tiny"].values, **fields, "run_dir": str(run_dir)}
        save_config(Config(**values))
        return str(run_dir)

    return make


def test_every_field_has_a_flag_of_its_type(config_of, stored_run):
    stored_run(OTHER_VALUES["initialize_from"])
    args = (f"--{name}={value}" for name, value in OTHER_VALUES.items())
    assert config_of(*args) == Config(**OTHER_VALUES)
    assert config_of("--noflip").flip is False
    assert config_of() == Config(run_dir="runs/horse2zebra")


def test_given_flags_override_the_preset(config_of, tmp_path):
    values = {**PRESETS["tiny"].values, "run_dir": "runs/tiny"}
    assert config_of("--preset=tiny") == Config(**values)
    config = config_of("--preset", "tiny", "--num_blocks", "3", "--load_size", "0")
    assert config == Config(**values | {"num_blocks": 3, "load_size": 0})
    # Also one that repeats a default.
    assert config_of("--preset=tiny", "--pool_size=50").pool_size == 50
    assert config_of("--preset=tiny", "--run_dir=mine").run_dir == "mine"
    config = config_of("--preset=tiny", "--dataset=/data/photos")
    assert config.run_dir == "runs/photos-tiny"
    assert list(tmp_path.iterdir()) == []


def test_unknown_preset_is_refused(config_of):
    for preset in ("huge", "TINY", "tiny,demo"):
        with refused(f"must be one of {', '.join(PRESETS)}. Received: {preset!r}."):
            config_of(f"--preset={preset}")


# --- Runs that are there


def test_stored_run_is_used_where_no_preset_is_named(config_of, stored_run):
    run_dir = stored_run(num_filters=6, seed=9, log_every_steps=7)
    assert config_of("--run_dir", run_dir) == load_config(run_dir)
    given = "--max_steps=5", "--strategy=cpu:2", "--cache=none"
    changed = {"max_steps": 5, "strategy": "cpu:2", "cache": "none"}
    expected = dataclasses.replace(load_config(run_dir), **changed)
    assert config_of(f"--run_dir={run_dir}", *given) == expected
    stored_run("runs/shapes", seed=9)
    config = config_of("--dataset=shapes")
    assert (config.seed, config.run_dir) == (9, "runs/shapes")


def test_stored_values_can_be_repeated(config_of, stored_run):
    run_dir = stored_run()
    for flag in ("--load_size=36", "--discriminator_layers=2", "--preset=tiny"):
        assert config_of(f"--run_dir={run_dir}", flag) == load_config(run_dir), flag


def test_differing_flags_are_refused_with_their_fields(config_of, stored_run):
    run_dir = stored_run(seed=9, num_blocks=2)
    for given, told in {
        "--seed=1 --num_filters=8": "seed: 9 there, 1 requested; num_filters: 4 there",
        "--load_size=40": "load_size: 36 there, 40 requested",
        "--preset=tiny": "seed: 9 there, 0 requested; num_blocks: 2 there, 1",
    }.items():
        with refused(f"{run_dir} holds a run of another configuration ({told}"):
            config_of(f"--run_dir={run_dir}", *given.split())
    (pathlib.Path(run_dir) / "config.json").write_text("{")
    with refused(f"{run_dir}/config.json is not a configuration of ours"):
        config_of(f"--run_dir={run_dir}")


# --- Beginning with the networks of another run

OF_NETWORKS = {
    "generator": "unet",
    "num_filters": 6,
    "num_blocks": 3,
    "num_downs": 5,
    "input_skip": True,
    "output_activation": "linear",
    "upsampling": "transposed",
    "discriminator": "pixel",
    "discriminator_filters": 7,
    "discriminator_layers": 1,
    "feature_network": "mobilenet_v2",
}


def test_network_fields_come_from_the_run_to_begin_with(config_of, stored_run):
    before = stored_run("before", **OF_NETWORKS, seed=9, lambda_cycle=3.0)
    config = config_of("--preset=demo", f"--initialize_from={before}")
    values = {**PRESETS["demo"].values, **OF_NETWORKS, "initialize_from": before}
    assert config == Config(**values, run_dir="runs/demo")
    config = config_of("--num_filters=8", f"--initialize_from={before}")
    assert (config.num_filters, config.num_downs) == (8, 5)


def test_run_that_began_does_not_need_where_it_began(config_of, stored_run):
    gone = "--initialize_from=gone"
    run_dir = stored_run(**OF_NETWORKS, initialize_from="gone")
    for given in ([], [gone], [gone, "--preset=tiny"]):
        assert config_of(f"--run_dir={run_dir}", *given) == load_config(run_dir), given


def test_another_run_to_begin_with_is_refused(config_of, stored_run):
    run_dir, before = stored_run(), stored_run("before")
    with refused(f"initialize_from:  there, {before} requested"):
        config_of(f"--run_dir={run_dir}", f"--initialize_from={before}")
    with refused("No configuration at nowhere/config.json"):
        config_of("--initialize_from=nowhere")


# --- Models beside CycleGAN


def test_preset_or_flag_names_the_model(config_of):
    options = config_of("--preset=points_grid", "--num_units=9", "--seed=3")
    fields = {"points": "grid", "num_layers": 3, "num_units": 9, "seed": 3}
    assert options == Points(**fields, run_dir="runs/points_grid")
    options = config_of("--model=points", "--points=grid")
    assert options == Points(points="grid", run_dir="runs/points")
    assert config_of("--model=cyclegan") == Config(run_dir="runs/horse2zebra")


def test_run_knows_its_model(config_of, tmp_path):
    stored = Points(num_units=5, run_dir=str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    save_config(stored)
    assert load_options(stored.run_dir) == stored
    options = config_of("--run_dir", stored.run_dir, "--max_steps=7")
    assert options == dataclasses.replace(stored, max_steps=7)
    with pytest.raises(UserError, match="num_units: 5 there, 6 requested"):
        config_of("--run_dir", stored.run_dir, "--num_units=6")
    with pytest.raises(UserError, match="model: points there, cyclegan requested"):
        config_of("--run_dir", stored.run_dir, "--preset=tiny")


def test_option_of_another_model_is_refused(config_of):
    for given, told in {
        "--preset=points --num_blocks=3": "`points` .*`num_blocks`",
        "--preset=tiny --num_units=3": "`cyclegan` .*`num_units`",
        "--model=stargan": "`model` .*cyclegan, points.*'stargan'",
        "--preset=points --model=cyclegan": "`preset` points .*`model` 'cyclegan'",
    }.items():
        with pytest.raises(UserError, match=told):
            config_of(*given.split())


def test_shared_flags_have_one_type():
    kinds = {}
    for options in OPTIONS.values():
        for field in dataclasses.fields(options):
            assert kinds.setdefault(field.name, field.type) is field.type, field.name


# --- Help


def test_help_of_a_preset_shows_what_its_model_has(monkeypatch):
    for asked in ("--preset=points_grid", "--model=points"):
        monkeypatch.setattr(sys, "argv", ["train.py", asked, "--help"])
        told = TRAIN.help("python train.py")
        for field in dataclasses.fields(Points):
            assert re.search(rf"\n  --(\[no\])?{field.name}\s", told), field.name
        assert "--lambda_cycle" not in told and "\n  quick" not in told
        assert "\n  points_wgan_gp" in told


def test_help_lists_every_flag_with_its_choices_and_every_preset_once():
    lines = TRAIN.help("python train.py").splitlines()
    text = " ".join(" ".join(lines).split())
    for name, field in FIELDS.items():
        flag = re.compile(rf"  --(\[no\])?{name}(\s|$)")
        assert len([line for line in lines if flag.match(line)]) == 1
        choices = ", ".join(field.metadata["choices"])
        told = field.metadata["text"] + f": {choices}" * bool(choices)
        shown = str(field.default).lower()
        assert told + f" (default: {shown})" * bool(shown) in text, name
    for name in PRESETS:
        if PRESETS[name].config.model == Config.model:
            assert f" {name} {PRESETS[name].record}" in text
    for flag in ("preset TEXT", "model TEXT", "[no]dry_run", "help"):
        assert any(line.startswith(f"  --{flag} ") for line in lines)
    for group in ("General", *GROUPS, "Presets"):
        assert lines.count(group) == 1
    assert max(map(len, lines)) <= 88
