"""The options of every model: values and refusals."""

import dataclasses

import pytest
from helpers.config_values import refused

from cyclegan_tf.base_options import patchgan_size
from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.messages import UserError

KINDS = tuple(OPTIONS.values())
OPTION_FIELDS = [(kind, f) for kind in KINDS for f in dataclasses.fields(kind)]
NUMBERS = [(kind, f) for kind, f in OPTION_FIELDS if f.type in (int, float)]
FLOATS = [(kind, f) for kind, f in NUMBERS if f.type is float]


def refuses(kind: type, name: str, value, rule: str) -> None:
    """A model's options name the field, the rule and the value that they refuse."""
    told = "Nothing is refused."
    try:
        kind(**{name: value})
    except UserError as error:
        told = str(error)
    parts = f"`{name}`", rule, f"Received: {value!r}."
    assert [part in told for part in parts] == [True] * 3, (kind.model, parts, told)


def accepts(**fields) -> None:
    config = Config(**fields)
    assert {name: getattr(config, name) for name in fields} == fields


def test_defaults_are_what_the_paper_says():
    """arXiv 1703.10593, sections 4 and 7."""
    config = Config()
    assert (config.load_size, config.image_size, config.flip) == (286, 256, True)
    assert (config.generator, config.num_blocks, config.num_filters) == (
        "resnet",
        9,
        64,
    )
    assert (config.discriminator, config.discriminator_layers) == ("patchgan", 3)
    assert (config.adversarial_loss, config.pool_size) == ("least_squares", 50)
    assert (config.lambda_cycle, config.lambda_identity) == (10.0, 0.5)
    assert (config.learning_rate, config.beta_1, config.batch_size) == (2e-4, 0.5, 1)
    assert (config.num_epochs, config.num_decay_epochs) == (100, 100)


def test_sizes_and_epochs_follow_from_other_values():
    assert Config().size_multiple == Config(num_downs=5).size_multiple == 4
    assert Config(generator="unet").size_multiple == 256
    assert Config(generator="unet", num_downs=5).size_multiple == 32
    assert Config(num_epochs=3, num_decay_epochs=4).total_epochs == 7
    sizes = {(256, 3): 30, (70, 3): 6, (64, 2): 14, (32, 3): 2, (24, 3): 1, (16, 3): 0}
    for (image_size, num_layers), side in sizes.items():
        assert patchgan_size(image_size, num_layers) == side


# --- One value


def test_every_number_below_its_minimum_is_refused():
    for kind, field in NUMBERS:
        minimum = field.metadata["minimum"]
        steps = (1, 1000) if field.type is int else (1e-9, 1.0)
        for step in steps:
            refuses(kind, field.name, minimum - step, f"at least {minimum}.")


def test_numbers_at_their_minimum_and_integers_for_floats_are_accepted():
    # These fit the rest; the others have cases below.
    for kind, field in NUMBERS:
        name, minimum = field.name, field.metadata["minimum"]
        if kind is Config and name not in ("learning_rate", "image_size"):
            accepts(**{name: field.type(minimum)})
            accepts(**{name: minimum})
    accepts(image_size=8, discriminator="pixel")
    accepts(learning_rate=1)


def test_numbers_that_are_not_finite_are_refused():
    for kind, field in FLOATS:
        for value in (float("nan"), float("inf"), float("-inf")):
            refuses(kind, field.name, value, "finite")
    with refused("`lambda_cycle` must be "):
        Config(lambda_cycle=10**400)


def test_values_of_another_type_are_refused():
    wrong = {
        int: ("256", 256.0, True, None, [256]),
        float: ("0.5", True, None, [0.5]),
        str: (1, 1.5, True, None, ["auto"]),
        bool: (1, 0, "true", None),
    }
    for kind, field in OPTION_FIELDS:
        for value in wrong[field.type]:
            refuses(kind, field.name, value, f"must be {field.type.__name__}.")


def test_values_that_are_no_choice_are_refused():
    found = [(kind, f) for kind, f in OPTION_FIELDS if f.metadata["choices"]]
    for kind, field in found:
        assert field.default in field.metadata["choices"]
        for value in ("", "wasserstein", "AUTO"):
            refuses(kind, field.name, value, ", ".join(field.metadata["choices"]))


def test_what_adam_and_numpy_cannot_take_is_refused():
    for kind in KINDS:
        for value in (2**31, 2**32, 10**12):
            refuses(kind, "seed", value, "must be below")
        refuses(kind, "learning_rate", 0, "above 0.")
        refuses(kind, "beta_2", 1.0, "below 1.")
        if kind is not Config:
            refuses(kind, "beta_1", 1.5, "below 1.")


STRATEGIES = "auto", "single", "mirrored", "multi_worker", "cpu:1", "cpu:16"
NO_STRATEGIES = (
    *("", "gpu", "cpu", "cpu:", "cpu:0", "cpu:-1", "cpu:1.5", "cpu:two", "cpu: 2"),
    *("cpu:2:2", "CPU:2", "gpu:2", "single:1", "mirrored ", "cpu:\N{SUPERSCRIPT TWO}"),
)


def test_strategies_are_those_that_can_be_made():
    for strategy in STRATEGIES:
        accepts(strategy=strategy)
    for kind in KINDS:
        for strategy in NO_STRATEGIES:
            refuses(kind, "strategy", strategy, "cpu:N")


# --- Values together

UNET = {"generator": "unet"}
NO_FIT = [
    ({"image_size": 250}, "`image_size` .* 4 .*`resnet`.* 250"),
    ({"image_size": 128, **UNET}, "`image_size` .* 256 .*`unet` .* 8 .* 128"),
    ({"image_size": 240, **UNET, "num_downs": 5}, "`image_size` .* 32 .* 5 .* 240"),
    ({"load_size": 255}, r"`load_size` .*`image_size` \(256\).* 255"),
    ({"image_size": 512}, r"`load_size` .*`image_size` \(512\).* 286"),
    ({"test_size": 128}, r"`test_size` .*`image_size` \(256\).* 128"),
    ({"test_size": 258}, "`test_size` .* multiple of 4 .* 258"),
    ({"test_size": 384, **UNET}, "`test_size` .* multiple of 256 .* 384"),
    ({"image_size": 16}, "`image_size` .* 3 discriminator_layers.* 16"),
    ({"image_size": 8, "discriminator_layers": 2}, "`image_size` .* 2 disc.* 8"),
    ({"discriminator_layers": 7}, "`image_size` .* 7 discriminator_layers.* 256"),
    ({"discriminator_layers": 1000}, "`image_size` .* 1000 disc.* 256"),
    ({"average_decay": 1.0}, "`average_decay` .* below 1.* 1.0"),
    ({"num_epochs": 0, "num_decay_epochs": 0}, "`num_epochs` .*`num_decay_epochs`"),
    ({"identity_every_steps": 4, "lambda_identity": 0.0}, "`identity_every.*`lam.* 4"),
    ({"adversarial_loss": "wgan_gp"}, "`pool_size` .*`adversarial_loss` wgan_gp.* 50"),
]


@pytest.mark.parametrize(("fields", "told"), NO_FIT)
def test_values_that_do_not_fit_together_are_refused(fields, told):
    with pytest.raises(UserError, match=told):
        Config(**fields)


def test_values_at_the_edge_are_accepted():
    accepts(load_size=0, num_epochs=0, beta_2=0.9999)
    accepts(load_size=256, num_decay_epochs=0, learning_rate=1e-12)
    accepts(image_size=24)
    accepts(image_size=16, discriminator="pixel")
    accepts(discriminator_layers=6)
    accepts(image_size=64, generator="unet", num_downs=6)
