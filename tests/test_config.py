"""`Config`: values, refusals, presets, the JSON file and the flags."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from cyclegan_tf import config as configuration
from cyclegan_tf.config import PRESETS, Config, UserError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}

# arXiv 1703.10593, section 7 and the official code's defaults; then what is ours.
OFFICIAL_RECIPE = {
    "dataset": "horse2zebra",
    "image_size": 256,
    "load_size": 286,
    "flip": True,
    "generator": "resnet",
    "num_filters": 64,
    "num_blocks": 9,
    "num_downs": 8,
    "discriminator": "patchgan",
    "discriminator_filters": 64,
    "discriminator_layers": 3,
    "adversarial_loss": "least_squares",
    "lambda_cycle": 10.0,
    "lambda_identity": 0.5,
    "pool_size": 50,
    "batch_size": 1,
    "learning_rate": 2e-4,
    "beta_1": 0.5,
    "num_epochs": 100,
    "num_decay_epochs": 100,
}
OTHER_DEFAULTS = {
    "data_dir": "",
    "cache": "auto",
    "max_steps": 0,
    "seed": 0,
    "strategy": "auto",
    "run_dir": "",
    "log_every_steps": 100,
    "save_every_steps": 1000,
    "num_grid_images": 4,
}

# What each preset must keep: dataset, image_size, load_size, generator, num_filters,
# num_blocks, side of the discriminators' logits, total_epochs.
PRESET_ROWS = {
    "horse2zebra": ("horse2zebra", 256, 286, "resnet", 64, 9, 30, 200),
    "unet": ("horse2zebra", 256, 286, "unet", 64, 9, 30, 200),
    "horse2zebra64": ("horse2zebra", 64, 72, "resnet", 32, 6, 14, 200),
    "tiny": ("shapes", 32, 36, "resnet", 4, 1, 6, 2),
    "demo": ("shapes", 64, 72, "resnet", 24, 4, 6, 8),
}

MINIMA = {
    "image_size": 8,
    "load_size": 0,
    "num_filters": 1,
    "num_blocks": 0,
    "num_downs": 2,
    "discriminator_filters": 1,
    "discriminator_layers": 1,
    "lambda_cycle": 0,
    "lambda_identity": 0,
    "pool_size": 0,
    "batch_size": 1,
    "learning_rate": 0,
    "beta_1": 0,
    "num_epochs": 0,
    "num_decay_epochs": 0,
    "max_steps": 0,
    "seed": 0,
    "log_every_steps": 1,
    "save_every_steps": 1,
    "num_grid_images": 1,
}
CHOICES = {
    "cache": "auto, memory, none",
    "generator": "resnet, unet",
    "discriminator": "patchgan, pixel",
    "adversarial_loss": "least_squares, binary_cross_entropy",
}
FLOATS = ("lambda_cycle", "lambda_identity", "learning_rate", "beta_1")

# Another good value for each field, all of them good together.
OTHER_VALUES = {
    "dataset": "maps",
    "data_dir": "/elsewhere",
    "image_size": 128,
    "load_size": 144,
    "flip": False,
    "cache": "none",
    "generator": "unet",
    "num_filters": 16,
    "num_blocks": 6,
    "num_downs": 7,
    "discriminator": "pixel",
    "discriminator_filters": 8,
    "discriminator_layers": 2,
    "adversarial_loss": "binary_cross_entropy",
    "lambda_cycle": 2.5,
    "lambda_identity": 0.0,
    "pool_size": 0,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "beta_1": 0.9,
    "num_epochs": 7,
    "num_decay_epochs": 0,
    "max_steps": 12,
    "seed": 3,
    "strategy": "cpu:2",
    "run_dir": "/elsewhere/run",
    "log_every_steps": 9,
    "save_every_steps": 11,
    "num_grid_images": 2,
}
CHANGEABLE = {
    "data_dir",
    "cache",
    "max_steps",
    "strategy",
    "run_dir",
    "log_every_steps",
    "save_every_steps",
    "num_grid_images",
}


def refused(text: str):
    """Expects a UserError that holds a text."""
    return pytest.raises(UserError, match=re.escape(text))


# --- Values and presets


def test_user_error_is_a_value_error():
    assert issubclass(UserError, ValueError)


@pytest.mark.parametrize("name", OFFICIAL_RECIPE | OTHER_DEFAULTS)
def test_default_is_the_official_recipe(name):
    value = getattr(Config(), name)
    expected = (OFFICIAL_RECIPE | OTHER_DEFAULTS)[name]
    assert value == expected
    assert type(value) is type(expected)


def test_every_default_is_pinned():
    assert set(OFFICIAL_RECIPE | OTHER_DEFAULTS) == set(FIELDS)


@pytest.mark.parametrize("name", PRESET_ROWS)
def test_preset_builds_what_its_row_says(name):
    config = PRESETS[name].config
    assert (
        config.dataset,
        config.image_size,
        config.load_size,
        config.generator,
        config.num_filters,
        config.num_blocks,
        configuration.patchgan_size(config.image_size, config.discriminator_layers),
        config.total_epochs,
    ) == PRESET_ROWS[name]


def test_every_preset_has_a_row():
    assert set(PRESETS) == set(PRESET_ROWS)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_changes_only_fields_and_says_what_is_known(name):
    assert set(PRESETS[name].values) <= set(FIELDS)
    assert PRESETS[name].record.endswith(".")


def test_presets_leave_the_run_dir_to_the_default():
    assert all("run_dir" not in preset.values for preset in PRESETS.values())


def test_preset_horse2zebra_is_the_default():
    assert PRESETS["horse2zebra"].config == Config()


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1


@pytest.mark.parametrize(
    ("fields", "multiple"),
    [
        ({}, 4),
        ({"generator": "unet"}, 256),
        ({"generator": "unet", "num_downs": 5}, 32),
        ({"num_downs": 5}, 4),
    ],
)
def test_size_multiple_follows_the_generator(fields, multiple):
    assert Config(**fields).size_multiple == multiple


def test_total_epochs_counts_both_parts():
    assert Config(num_epochs=3, num_decay_epochs=4).total_epochs == 7


@pytest.mark.parametrize(
    ("image_size", "num_layers", "side"),
    [(256, 3, 30), (70, 3, 6), (64, 2, 14), (32, 3, 2), (24, 3, 1), (16, 3, 0)],
)
def test_patchgan_size(image_size, num_layers, side):
    assert configuration.patchgan_size(image_size, num_layers) == side


# --- Refusals


def test_minima_are_the_listed_ones():
    minima = {name: f.metadata["minimum"] for name, f in FIELDS.items()}
    assert {name: m for name, m in minima.items() if m is not None} == MINIMA


def test_every_number_has_a_minimum():
    numbers = {name for name, f in FIELDS.items() if f.type in (int, float)}
    assert numbers == set(MINIMA)


@pytest.mark.parametrize("name", MINIMA)
def test_value_below_the_minimum_is_refused(name):
    for value in (MINIMA[name] - 1, -1, -1000):
        with refused(f"`{name}` must be at least {MINIMA[name]}. Received: {value}."):
            Config(**{name: FIELDS[name].type(value)})


@pytest.mark.parametrize("name", FLOATS)
def test_slightly_negative_float_is_refused(name):
    with refused(f"`{name}` must be at least 0. Received: -1e-09."):
        Config(**{name: -1e-9})


# These are at their minimum and fit the rest; the others have rows of their own below.
@pytest.mark.parametrize("name", sorted(set(MINIMA) - {"learning_rate", "image_size"}))
def test_value_at_the_minimum_is_accepted(name):
    value = FIELDS[name].type(MINIMA[name])
    assert getattr(Config(**{name: value}), name) == value


def test_smallest_image_size_is_accepted():
    assert Config(image_size=8, discriminator="pixel").image_size == 8


@pytest.mark.parametrize("value", [2**32, 10**12])
def test_seed_that_numpy_cannot_take_is_refused(value):
    with refused("`seed` must be "):
        Config(seed=value)


def test_every_float_is_tested_for_being_finite():
    assert set(FLOATS) == {name for name, f in FIELDS.items() if f.type is float}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_number_that_is_not_finite_is_refused(name, value):
    with refused(f"`{name}` must be a finite number. Received: {value}."):
        Config(**{name: value})


def test_integer_beyond_all_floats_is_refused():
    with refused("`lambda_cycle` must be "):
        Config(lambda_cycle=10**400)


WRONG_TYPES = {
    int: ("256", 256.0, True, None, [256]),
    float: ("0.5", True, None, [0.5]),
    str: (1, 1.5, True, None, ["auto"]),
    bool: (1, 0, "true", None),
}


@pytest.mark.parametrize("name", FIELDS)
def test_value_of_another_type_is_refused(name):
    kind = FIELDS[name].type
    for value in WRONG_TYPES[kind]:
        with refused(f"`{name}` must be {kind.__name__}. Received: {value!r}."):
            Config(**{name: value})


@pytest.mark.parametrize("name", FLOATS)
def test_integer_is_accepted_for_a_float(name):
    value = 0 if name == "beta_1" else 1
    assert getattr(Config(**{name: value}), name) == value


def test_fields_with_choices_are_the_listed_ones():
    choices = {n: ", ".join(f.metadata["choices"]) for n, f in FIELDS.items()}
    assert {name: c for name, c in choices.items() if c} == CHOICES


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["", "wasserstein", "AUTO"])
def test_unknown_choice_is_refused(name, value):
    with refused(f"`{name}` must be one of {CHOICES[name]}. Received: {value!r}."):
        Config(**{name: value})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"image_size": 250},
            "`image_size` must be a multiple of 4 for a `resnet` generator. "
            "Received: 250.",
        ),
        (
            {"image_size": 128, "generator": "unet"},
            "`image_size` must be a multiple of 256 for a `unet` generator of 8 "
            "halvings. Received: 128.",
        ),
        (
            {"image_size": 240, "generator": "unet", "num_downs": 5},
            "`image_size` must be a multiple of 32 for a `unet` generator of 5 "
            "halvings. Received: 240.",
        ),
        (
            {"load_size": 255},
            "`load_size` must be 0 or at least `image_size` (256). Received: 255.",
        ),
        (
            {"image_size": 512},
            "`load_size` must be 0 or at least `image_size` (512). Received: 286.",
        ),
        (
            {"image_size": 16},
            "`image_size` is too small for 3 discriminator_layers. Received: 16.",
        ),
        (
            {"image_size": 8, "discriminator_layers": 2},
            "`image_size` is too small for 2 discriminator_layers. Received: 8.",
        ),
        (
            {"discriminator_layers": 7},
            "`image_size` is too small for 7 discriminator_layers. Received: 256.",
        ),
        (
            {"discriminator_layers": 1000},
            "`image_size` is too small for 1000 discriminator_layers. Received: 256.",
        ),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0. Received: 0."),
        ({"learning_rate": 0}, "`learning_rate` must be above 0. Received: 0."),
        ({"beta_1": 1.0}, "`beta_1` must be below 1. Received: 1.0."),
        ({"beta_1": 1.5}, "`beta_1` must be below 1. Received: 1.5."),
        (
            {"num_epochs": 0, "num_decay_epochs": 0},
            "`num_epochs` + `num_decay_epochs` must be at least 1.",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused(fields, text):
    with refused(text):
        Config(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"load_size": 0},
        {"load_size": 256},
        {"image_size": 24},
        {"discriminator_layers": 6},
        {"image_size": 16, "discriminator": "pixel"},
        {"image_size": 64, "generator": "unet", "num_downs": 6},
        {"num_epochs": 0},
        {"num_decay_epochs": 0},
        {"beta_1": 0.999},
        {"learning_rate": 1e-12},
    ],
)
def test_values_at_the_edge_are_accepted(fields):
    config = Config(**fields)
    assert {name: getattr(config, name) for name in fields} == fields


@pytest.mark.parametrize(
    "strategy",
    [
        "",
        "gpu",
        "cpu",
        "cpu:",
        "cpu:0",
        "cpu:-1",
        "cpu:1.5",
        "cpu:two",
        "cpu: 2",
        "cpu:2:2",
        "CPU:2",
        "gpu:2",
        "single:1",
        "mirrored ",
        "cpu:\N{SUPERSCRIPT TWO}",
    ],
)
def test_bad_strategy_is_refused(strategy):
    with refused(
        "`strategy` must be auto, single, mirrored or cpu:N with N at least 1. "
        f"Received: {strategy!r}."
    ):
        Config(strategy=strategy)


@pytest.mark.parametrize("strategy", ["auto", "single", "mirrored", "cpu:1", "cpu:16"])
def test_good_strategy_is_accepted(strategy):
    assert Config(strategy=strategy).strategy == strategy


# --- The JSON file


def test_other_values_cover_every_field_and_differ_from_the_defaults():
    assert set(OTHER_VALUES) == set(FIELDS)
    assert all(getattr(Config(), n) != value for n, value in OTHER_VALUES.items())


def test_saved_config_loads_as_the_same(tmp_path):
    config = Config(**{**OTHER_VALUES, "run_dir": str(tmp_path)})
    configuration.save_config(config)
    assert configuration.load_config(tmp_path) == config


def test_saving_replaces_and_leaves_one_file(tmp_path):
    for seed in (1, 2):
        configuration.save_config(Config(run_dir=str(tmp_path), seed=seed))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert configuration.load_config(tmp_path).seed == 2


def test_json_has_one_line_a_field_in_their_order():
    text = Config().to_json()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == list(FIELDS)
    assert len(text.splitlines()) == len(FIELDS) + 2


def test_moved_run_loads_with_its_new_run_dir(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    configuration.save_config(Config(run_dir=str(before)))
    before.rename(after)
    assert configuration.load_config(after).run_dir == str(after)


@pytest.mark.parametrize("run_dir", ["missing", "empty", "file", "folder"])
def test_missing_config_file_is_told(tmp_path, run_dir):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    (tmp_path / "folder" / "config.json").mkdir(parents=True)
    path = tmp_path / run_dir
    with refused(f"No configuration at {path / 'config.json'}: "):
        configuration.load_config(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"seed": 1',
        b'{"seed": }',
        b"seed: 1",
        b'{"no_such_field": 1}',
        b"\xff\xfe\x00{}",
        b"\x00" * 64,
    ],
)
def test_damaged_config_file_is_told(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with refused(f"{path} is not a configuration of ours: "):
        configuration.load_config(tmp_path)


def test_unknown_field_of_a_config_file_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"num_blokcs": 6}')
    with refused("num_blokcs"):
        configuration.load_config(tmp_path)


@pytest.mark.parametrize("content", ["[]", "1", '"seed"', "null"])
def test_config_file_that_holds_no_object_is_told(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with refused(f"{path} is not a configuration of ours"):
        configuration.load_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"seed": -1}', "`seed` must be at least 0. Received: -1."),
        ('{"seed": "1"}', "`seed` must be int. Received: '1'."),
        ('{"beta_1": NaN}', "`beta_1` must be a finite number. Received: nan."),
    ],
)
def test_bad_value_of_a_config_file_is_told(tmp_path, content, text):
    (tmp_path / "config.json").write_text(content)
    with refused(text):
        configuration.load_config(tmp_path)


# --- Differences


def test_changeable_fields_are_the_listed_ones():
    assert {n for n, f in FIELDS.items() if f.metadata["changeable"]} == CHANGEABLE


def test_differences_name_every_field_that_decides_what_is_learned():
    told = configuration.differences(Config(**OTHER_VALUES), Config())
    names = [line.partition(":")[0] for line in told]
    assert names == [name for name in FIELDS if name not in CHANGEABLE]


def test_differences_ignore_what_may_change():
    changed = {name: OTHER_VALUES[name] for name in CHANGEABLE}
    assert configuration.differences(Config(**changed), Config()) == []


def test_differences_tell_both_values():
    told = configuration.differences(Config(seed=5, flip=False), Config(seed=3))
    assert told == [
        "flip: True there, False asked for",
        "seed: 3 there, 5 asked for",
    ]


def test_an_integer_and_its_float_do_not_differ():
    assert configuration.differences(Config(lambda_cycle=10), Config()) == []


# --- The run directory


@pytest.mark.parametrize(
    ("preset", "dataset", "run_dir"),
    [
        ("", "horse2zebra", "runs/horse2zebra"),
        ("", "maps", "runs/maps"),
        ("", "cycle_gan/maps", "runs/maps"),
        ("", "/data/photos", "runs/photos"),
        ("", "/data/photos/", "runs/photos"),
        ("", "../photos", "runs/photos"),
        ("tiny", "shapes", "runs/tiny"),
        ("unet", "horse2zebra", "runs/unet"),
        ("horse2zebra", "horse2zebra", "runs/horse2zebra"),
        ("tiny", "maps", "runs/maps-tiny"),
        ("tiny", "/data/photos", "runs/photos-tiny"),
    ],
)
def test_default_run_dir(preset, dataset, run_dir):
    assert configuration.default_run_dir(preset, dataset) == run_dir


@pytest.mark.parametrize(("dataset", "name"), [(".", "photos"), ("..", "pictures")])
def test_default_run_dir_of_a_folder_given_by_dots_is_its_name(
    tmp_path, monkeypatch, dataset, name
):
    folder = tmp_path / "pictures" / "photos"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert configuration.default_run_dir("", dataset) == f"runs/{name}"


# --- Flags


@pytest.fixture
def config_of(tmp_path, monkeypatch):
    """From command line arguments to a `Config`, in an empty working directory."""
    if "preset" not in flags.FLAGS:
        configuration.define_flags()
    monkeypatch.chdir(tmp_path)

    def parse(*args: str) -> Config:
        with flagsaver.flagsaver():
            flags.FLAGS(["train.py", *args])
            return configuration.config_from_flags(flags.FLAGS)

    return parse


@pytest.fixture
def stored_run(tmp_path):
    """Makes the run directory of the preset `tiny` with some fields replaced."""

    def make(name="stored", **fields) -> str:
        run_dir = tmp_path / name
        run_dir.mkdir(parents=True)
        values = {**PRESETS["tiny"].values, **fields, "run_dir": str(run_dir)}
        configuration.save_config(Config(**values))
        return str(run_dir)

    return make


def test_without_flags_it_is_the_official_recipe(config_of):
    assert config_of() == Config(run_dir="runs/horse2zebra")


def test_every_field_has_a_flag_of_its_type(config_of):
    args = (f"--{name}={value}" for name, value in OTHER_VALUES.items())
    assert config_of(*args) == Config(**OTHER_VALUES)


def test_preset_gives_values_and_its_run_dir(config_of):
    values = PRESETS["tiny"].values
    assert config_of("--preset=tiny") == Config(**values, run_dir="runs/tiny")


def test_given_flags_override_the_preset(config_of):
    config = config_of("--preset", "tiny", "--num_blocks", "3", "--load_size", "0")
    values = {**PRESETS["tiny"].values, "num_blocks": 3, "load_size": 0}
    assert config == Config(**values, run_dir="runs/tiny")


def test_flag_of_a_boolean_has_a_negation(config_of):
    assert config_of("--noflip").flip is False


def test_flag_that_repeats_a_default_overrides_the_preset(config_of):
    assert config_of("--preset=tiny", "--pool_size=50").pool_size == 50


def test_preset_on_other_data_gets_a_run_dir_of_both(config_of):
    config = config_of("--preset=tiny", "--dataset=/data/photos")
    assert config.run_dir == "runs/photos-tiny"


def test_given_run_dir_is_kept(config_of):
    assert config_of("--preset=tiny", "--run_dir=mine").run_dir == "mine"


@pytest.mark.parametrize("preset", ["huge", "TINY", "tiny,demo"])
def test_unknown_preset_is_refused(config_of, preset):
    names = ", ".join(PRESETS)
    with refused(f"`preset` must be one of {names}. Received: {preset!r}."):
        config_of(f"--preset={preset}")


def test_bad_flag_value_is_refused_by_the_config(config_of):
    with refused("`batch_size` must be at least 1. Received: 0."):
        config_of("--batch_size=0")
    with refused("`learning_rate` must be a finite number. Received: nan."):
        config_of("--learning_rate=nan")


def test_stored_run_is_used_where_no_preset_is_named(config_of, stored_run):
    run_dir = stored_run(num_filters=6, seed=9, log_every_steps=7)
    config = config_of("--run_dir", run_dir)
    assert config == configuration.load_config(run_dir)
    assert (config.num_filters, config.seed, config.log_every_steps) == (6, 9, 7)


def test_stored_run_is_found_in_the_default_run_dir(config_of, stored_run):
    stored_run("runs/shapes", seed=9)
    config = config_of("--dataset=shapes")
    assert (config.seed, config.run_dir) == (9, "runs/shapes")


def test_changeable_flags_override_the_stored_run(config_of, stored_run):
    run_dir = stored_run(seed=9)
    config = config_of(
        f"--run_dir={run_dir}", "--max_steps=5", "--strategy=cpu:2", "--cache=none"
    )
    stored = configuration.load_config(run_dir)
    assert config == dataclasses.replace(
        stored, max_steps=5, strategy="cpu:2", cache="none"
    )


@pytest.mark.parametrize("flag", ["--load_size=36", "--discriminator_layers=2"])
def test_stored_value_can_be_repeated(config_of, stored_run, flag):
    run_dir = stored_run()
    stored = configuration.load_config(run_dir)
    assert config_of(f"--run_dir={run_dir}", flag) == stored


def test_flag_is_judged_together_with_the_stored_run(config_of, stored_run):
    run_dir = stored_run()
    with refused("load_size: 36 there, 40 asked for"):
        config_of(f"--run_dir={run_dir}", "--load_size=40")


def test_same_preset_goes_on_with_its_run(config_of, stored_run):
    run_dir = stored_run()
    config = config_of("--preset=tiny", f"--run_dir={run_dir}")
    assert config == configuration.load_config(run_dir)


def test_differing_flag_is_refused_with_its_field(config_of, stored_run):
    run_dir = stored_run(seed=9)
    with refused(
        f"{run_dir} holds a run of another configuration (num_filters: 4 there, 8 "
        "asked for; seed: 9 there, 1 asked for). Name another --run_dir, or ask for "
        "the same."
    ):
        config_of(f"--run_dir={run_dir}", "--seed=1", "--num_filters=8")


def test_differing_preset_is_refused_with_its_fields(config_of, stored_run):
    run_dir = stored_run(num_blocks=2)
    with refused("(num_blocks: 2 there, 1 asked for)"):
        config_of("--preset=tiny", f"--run_dir={run_dir}")


def test_damaged_stored_run_is_refused(config_of, stored_run):
    run_dir = stored_run()
    with open(f"{run_dir}/config.json", "w") as file:
        file.write("{")
    with refused(f"{run_dir}/config.json is not a configuration of ours"):
        config_of(f"--run_dir={run_dir}")


def test_making_a_configuration_writes_nothing(config_of, tmp_path):
    config_of("--preset=tiny")
    assert list(tmp_path.iterdir()) == []


# --- Help


@pytest.fixture(scope="module")
def help_lines():
    return configuration.help_text("train.py", "Trains CycleGAN.").splitlines()


@pytest.mark.parametrize("name", FIELDS)
def test_help_lists_the_flag_once(help_lines, name):
    flag = re.compile(rf"  --(\[no\])?{name}(\s|$)")
    assert len([line for line in help_lines if flag.match(line)]) == 1


@pytest.mark.parametrize("name", FIELDS)
def test_help_tells_text_and_default_of_the_flag(help_lines, name):
    field = FIELDS[name]
    shown = str(field.default).lower() or "none"
    text = " ".join(" ".join(help_lines).split())
    assert f"{field.metadata['text']} (default: {shown})" in text


@pytest.mark.parametrize("name", CHOICES)
def test_help_lists_the_choices(help_lines, name):
    usage = f"  --{name} {CHOICES[name].replace(', ', '|')}"
    assert any(line.startswith(usage) for line in help_lines)


@pytest.mark.parametrize("name", PRESETS)
def test_help_lists_the_preset_with_its_record(help_lines, name):
    text = " ".join(" ".join(help_lines).split())
    assert f" {name} {PRESETS[name].record}" in text


@pytest.mark.parametrize("flag", ["--preset NAME", "--dry_run", "--help"])
def test_help_lists_the_general_flag(help_lines, flag):
    assert any(line.startswith(f"  {flag} ") for line in help_lines)


def test_help_lists_each_group_once(help_lines):
    for group in ("General", *configuration.GROUPS, "Presets"):
        assert help_lines.count(group) == 1


def test_help_fits_88_columns(help_lines):
    assert [line for line in help_lines if len(line) > 88] == []


def test_config_imports_no_tensorflow():
    code = "import cyclegan_tf.config, sys; assert 'tensorflow' not in sys.modules"
    root = configuration.__file__.rpartition("/cyclegan_tf/")[0]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
