"""Names and shapes that fit no official network: told by name, and at once."""

import pytest
from helpers.finder_cases import PATCHGAN, PIXEL, RESNET, SOME, UNET, named, without

from cyclegan_tf.pytorch.finder import (
    MismatchError,
    architecture_of,
    find,
    without_statistics,
)
from cyclegan_tf.pytorch.networks import Architecture, state_dict_shapes


def refusal(shapes):
    """What is told of a file whose one network has nothing before its names."""
    found = find(shapes)
    assert list(found) == [""]
    with pytest.raises(MismatchError) as error:
        architecture_of(found[""], shapes)
    assert "\n" not in str(error.value)
    return str(error.value)


REFUSALS = {
    "no first layer": (
        without(named("", RESNET), "model.1."),
        "missing: model.1.bias, model.1.weight",
    ),
    "no last layer": (
        without(named("", RESNET), "model.19."),
        "missing: model.19.bias, model.19.weight",
    ),
    "no middle layer": (
        without(named("", RESNET), "model.11.conv_block.1."),
        "missing: model.11.conv_block.1.bias, model.11.conv_block.1.weight",
    ),
    "no first layer of a U-Net": (
        without(named("", UNET), "model.model.0."),
        "missing: model.model.0.bias, model.model.0.weight",
    ),
    "no last layer of a U-Net": (
        without(named("", UNET), "model.model.3."),
        "missing: model.model.3.bias, model.model.3.weight",
    ),
    "no middle layer of a U-Net": (
        without(named("", UNET), "model.model.1.model.3.model.1."),
        "missing: model.model.1.model.3.model.1.bias, "
        "model.model.1.model.3.model.1.weight",
    ),
    "no last layer of a discriminator": (
        without(named("", PATCHGAN), "model.11."),
        "misshapen: model.8.bias (16,) instead of (1,), "
        "model.8.weight (16, 8, 4, 4) instead of (1, 8, 4, 4)",
    ),
    "no middle layer of a discriminator": (
        without(named("", PATCHGAN), "model.5."),
        "missing: model.5.bias, model.5.weight",
    ),
    "no bias": (
        without(named("", PIXEL), "net.2.bias"),
        "missing: net.2.bias",
    ),
    "misshapen": (
        {**named("", RESNET), "model.4.weight": (5, 2, 3, 3), "model.4.bias": ()},
        "misshapen: model.4.bias () instead of (4,), "
        "model.4.weight (5, 2, 3, 3) instead of (4, 2, 3, 3)",
    ),
    "unexpected": (
        {**named("", PATCHGAN), "epoch": ()},
        "unexpected: epoch",
    ),
    "all at once": (
        {**without(named("", PIXEL), "net.5.bias"), "net.2.bias": (9,), "a.b": (1,)},
        "missing: net.5.bias; unexpected: a.b; misshapen: net.2.bias (9,) instead "
        "of (4,)",
    ),
    "kernels of 3x3": (
        {**named("", PATCHGAN), "model.0.weight": (2, 3, 3, 3)},
        "misshapen: model.0.weight (2, 3, 3, 3) instead of (2, 3, 4, 4)",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_is_told_by_name(case):
    shapes, told = REFUSALS[case]
    assert refusal(shapes) == told


def test_missing_blocks_are_told_with_those_that_are_there():
    shapes = without(named("", Architecture("resnet", 2, 6)), "model.12.conv_block.")
    layers = [
        f"model.12.conv_block.{k}.{x}" for k in (1, 5) for x in ("bias", "weight")
    ]
    assert refusal(shapes) == "missing: " + ", ".join(layers)


def test_more_than_a_hundred_blocks_are_refused():
    shapes = named("", Architecture("resnet", 1, 101))
    message = refusal(shapes)
    assert message.startswith("missing: model.110.bias, model.110.weight, ")
    assert "unexpected: model.110.conv_block.1.bias, " in message


def test_batch_norm_is_told_by_name():
    """It has weights of its own, which take the place of the convolutions' biases."""
    shapes = named("", PATCHGAN)
    for i in (2, 5, 8):
        width = shapes.pop(f"model.{i}.bias")
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"model.{i + 1}.{name}"] = width
        shapes[f"model.{i + 1}.num_batches_tracked"] = ()
    message = refusal(without_statistics(shapes))
    assert message.startswith("missing: model.2.bias, model.5.bias, model.8.bias; ")
    assert "unexpected: model.3.bias, model.3.weight, model.6.bias" in message
    assert message.endswith(
        ". It has norms with weights, as batch norm; only instance norm fits"
    )
    assert "running" not in message
    assert "norm" not in refusal(without(named("", PATCHGAN), "model.5."))


# --- Hostile files

DEEPEST = "model.model.1.model." + 60 * "3.model."
HOSTILE = {
    "a block of a great number": {"model.99999999999.conv_block.1.weight": (1,)},
    "a block of a small number": {"model.1.conv_block.1.weight": (1,)},
    "a block of great number among others": {
        **named("", RESNET),
        f"model.{5000 * '9'}.conv_block.1.weight": (8, 8, 3, 3),
    },
    "blocks of no number": {"model..conv_block.1.weight": (1,)},
    "blocks in other digits": {"model.١٠.conv_block.1.weight": (1,)},
    "a layer of a great number": {"model.0.weight": (), "model.9999999999.weight": ()},
    "a deep U-Net": {f"{DEEPEST}1.weight": (1,), f"{DEEPEST}3.weight": (1,)},
    "numbers": {"model.1.weight": (), "model.0.weight": (), "net.0.weight": ()},
    "numbers in a ResNet": dict.fromkeys(named("", RESNET), ()),
    "numbers in a U-Net": dict.fromkeys(named("", UNET), ()),
    "numbers in a discriminator": dict.fromkeys(named("", PIXEL), ()),
    "more dimensions": dict.fromkeys(named("", PATCHGAN), (2, 3, 4, 4, 1)),
    "many filters": {**named("", RESNET), "model.1.weight": (2**62, 3, 7, 7)},
    "many channels": {**named("", UNET), "model.model.0.weight": (2, 2**62, 4, 4)},
    "no filters": {**named("", PIXEL), "net.0.weight": (0, 3, 1, 1)},
    "no channels": {**named("", RESNET), "model.1.weight": (2, 0, 7, 7)},
    "empty names": {"": (1,), ".": (1,), "model.": (1,), "model..0.weight": (1,)},
    "many layers": {f"model.{i}.weight": (1,) for i in range(20_000)},
    "many blocks": {f"model.{i}.conv_block.1.weight": (1,) for i in range(20_000)},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_names_and_shapes_end_in_a_refusal(case):
    shapes = HOSTILE[case]
    for root, kind in find(shapes).items():
        inside = {k.removeprefix(root): s for k, s in shapes.items()}
        with pytest.raises(MismatchError) as error:
            architecture_of(kind, inside)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 20_000


@pytest.mark.parametrize("architecture", SOME, ids=str)
def test_network_without_filters_is_found_as_such(architecture):
    """`Config` refuses it."""
    empty = Architecture(architecture.kind, 0, architecture.depth)
    shapes = state_dict_shapes(empty)
    assert find(shapes) == {"": empty.kind}
    assert architecture_of(empty.kind, shapes) == empty


def test_unet_of_fewer_halvings_than_the_official_has_is_refused():
    shapes = named("", Architecture("unet", 2, 4))
    assert refusal(shapes) == "it has 4 halvings; the official has at least 5"


# Each would take hours if it were compared with all others.
CROWD = 100_000


def test_networks_of_a_crowd_are_all_found():
    found = find({f"k{i}.model.0.weight": (1,) for i in range(CROWD)})
    assert found == {f"k{i}.": "patchgan" for i in range(CROWD)}


def test_few_places_of_each_name_are_looked_at():
    names = {f"{i}.{80 * 'model.'}1.a": (1,) for i in range(CROWD)}
    assert find(names) == {}
