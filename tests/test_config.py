"""`Config`: values, refusals, presets, the JSON file and the flags."""

import dataclasses

import pytest
from helpers.config_values import CHOICES, FIELDS, refused

from cyclegan_tf import validation
from cyclegan_tf.config import Config
from cyclegan_tf.validation import UserError

# arXiv 1703.10593, section 7 and the official code's defaults; then what is ours.
OFFICIAL_RECIPE = {
    "dataset": "horse2zebra",
    "image_size": 256,
    "load_size": 286,
    "test_size": 0,
    "flip": True,
    "generator": "resnet",
    "num_filters": 64,
    "num_blocks": 9,
    "num_downs": 8,
    "output_skip": False,
    "upsampling": "transposed",
    "discriminator": "patchgan",
    "discriminator_filters": 64,
    "discriminator_layers": 3,
    "discriminator_norm": "instance",
    "adversarial_loss": "least_squares",
    "lambda_gradient": 10.0,
    "critic_steps": 1,
    "lambda_cycle": 10.0,
    "lambda_identity": 0.5,
    "lambda_r1": 0.0,
    "pool_size": 50,
    "batch_size": 1,
    "discriminator_pictures": 1,
    "learning_rate": 2e-4,
    "discriminator_learning_rate": 0.0,
    "beta_1": 0.5,
    "average_decay": 0.0,
    "num_epochs": 100,
    "num_decay_epochs": 100,
}
OTHER_DEFAULTS = {
    "data_dir": "",
    "cache": "auto",
    "identity_every_steps": 1,
    "precision": "float32",
    "jit_compile": False,
    "recompute": False,
    "on_nonfinite": "stop",
    "allow_changed_data": False,
    "deterministic": False,
    "max_steps": 0,
    "initialize_from": "",
    "seed": 0,
    "strategy": "auto",
    "run_dir": "",
    "log_every_steps": 100,
    "save_every_steps": 1000,
    "evaluate_every_epochs": 0,
    "keep_best": "",
    "num_grid_images": 4,
}

MINIMA = {
    "identity_every_steps": 1,
    "image_size": 8,
    "load_size": 0,
    "test_size": 0,
    "num_filters": 1,
    "num_blocks": 0,
    "num_downs": 2,
    "discriminator_filters": 1,
    "discriminator_layers": 1,
    "lambda_gradient": 0,
    "critic_steps": 1,
    "lambda_cycle": 0,
    "lambda_identity": 0,
    "lambda_r1": 0,
    "pool_size": 0,
    "batch_size": 1,
    "discriminator_pictures": 1,
    "learning_rate": 0,
    "discriminator_learning_rate": 0,
    "beta_1": 0,
    "average_decay": 0,
    "num_epochs": 0,
    "num_decay_epochs": 0,
    "max_steps": 0,
    "seed": 0,
    "log_every_steps": 1,
    "save_every_steps": 1,
    "evaluate_every_epochs": 0,
    "num_grid_images": 1,
}
FLOATS = (
    "lambda_gradient",
    "lambda_cycle",
    "lambda_identity",
    "lambda_r1",
    "learning_rate",
    "discriminator_learning_rate",
    "beta_1",
    "average_decay",
)


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
    assert validation.patchgan_size(image_size, num_layers) == side


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


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"average_decay": 1.0}, "`average_decay` must be below 1. Received: 1.0."),
        (
            {"identity_every_steps": 4, "lambda_identity": 0.0},
            "`identity_every_steps` is for a `lambda_identity` above 0. Received: 4.",
        ),
        (
            {"adversarial_loss": "wgan_gp"},
            "`adversarial_loss` wgan_gp needs `pool_size` 0: a critic measures how far "
            "the present fakes are. Received: 50.",
        ),
        ({"test_size": 128}, "at least `image_size` (256). Received: 128."),
        ({"test_size": 258}, "`test_size` must be 0, or a multiple of 4 and at least"),
        ({"test_size": 384, "generator": "unet"}, "a multiple of 256 and at least"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(fields, text):
    with refused(text):
        Config(**fields)


@pytest.mark.parametrize("name", FIELDS)
def test_value_of_another_type_is_refused(name):
    kind = FIELDS[name].type
    for value in WRONG_TYPES[kind]:
        with refused(f"`{name}` must be {kind.__name__}. Received: {value!r}."):
            Config(**{name: value})


@pytest.mark.parametrize("name", FLOATS)
def test_integer_is_accepted_for_a_float(name):
    value = 0 if name in ("beta_1", "average_decay") else 1
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
        "`strategy` must be auto, single, mirrored, multi_worker, tpu, or cpu:N with "
        f"N at least 1. Received: {strategy!r}."
    ):
        Config(strategy=strategy)


@pytest.mark.parametrize(
    "strategy", ["auto", "single", "mirrored", "multi_worker", "cpu:1", "cpu:16"]
)
def test_good_strategy_is_accepted(strategy):
    assert Config(strategy=strategy).strategy == strategy
