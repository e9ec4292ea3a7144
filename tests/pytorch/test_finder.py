"""Networks among a file's names and shapes: found, told apart, or refused by name."""

import itertools

import pytest

from cyclegan_tf.pytorch.networks import (
    Architecture,
    MismatchError,
    find_architecture,
    find_networks,
    state_dict_shapes,
    without_statistics,
)

# One of each kind, as small as they come, and one of usual depth.
SOME = [
    Architecture("resnet", 2, 0),
    Architecture("resnet", 2, 9),
    Architecture("unet", 1, 5),
    Architecture("unet", 1, 8),
    Architecture("patchgan", 2, 1),
    Architecture("patchgan", 2, 3),
    Architecture("pixel", 2, 0),
]
RESNET = Architecture("resnet", 2, 2)
UNET = Architecture("unet", 2, 5)
PATCHGAN = Architecture("patchgan", 2, 3)
PIXEL = Architecture("pixel", 2, 0)


def named(prefix, architecture):
    shapes = state_dict_shapes(architecture)
    return {prefix + name: shape for name, shape in shapes.items()}


def without(shapes, *starts):
    return {name: s for name, s in shapes.items() if not name.startswith(starts)}


# --- What a network is

DEPTHS = {
    "resnet": (0, 1, 2, 6, 9, 12, 100),
    "unet": (5, 6, 7, 8, 10),
    "patchgan": (1, 2, 3, 4, 5, 6),
    "pixel": (0,),
}


def test_kind_filters_depth_channels_and_dropout_are_found():
    for kind, depths in DEPTHS.items():
        for depth, num_filters in itertools.product(depths, (1, 3, 64)):
            check_found(Architecture(kind, num_filters, depth))
        for channels in (1, 4):
            check_found(Architecture(kind, 2, depths[-1], channels))
    check_found(Architecture("resnet", 2, 6, dropout=True))
    # `Config` refuses networks without filters.
    for architecture in SOME:
        check_found(Architecture(architecture.kind, 0, architecture.depth))


def check_found(architecture) -> None:
    """In any order of the names."""
    shapes = state_dict_shapes(architecture)
    for told in (shapes, dict(reversed(shapes.items()))):
        assert find_networks(told) == {"": architecture.kind}
        assert find_architecture(architecture.kind, told) == architecture


# --- Where its names begin

PREFIXES = """module.;_orig_mod.;netG.module.;state_dict.netG_A.;model.;model.model.
net.;net.net.;model.net.module.;0.;a model.1."""


def test_network_is_found_behind_a_prefix():
    for prefix in PREFIXES.replace("\n", ";").split(";"):
        for architecture in SOME:
            assert find_networks(named(prefix, architecture)) == {
                prefix: architecture.kind
            }


def test_network_is_found_among_other_tensors():
    others = {
        "optimizer.state.0.exp_avg": (2, 3, 7, 7),
        "epoch": (),
        "model": (1,),
        "model.": (1,),
        "loss.model.1.weight": (5,),
    }
    assert find_networks({**others, **named("model.", RESNET)}) == {"model.": "resnet"}


def test_all_networks_of_a_file_are_found():
    networks = {
        "netD_A.module.": PATCHGAN,
        "netG_A.module.": RESNET,
        "netG_B.module.": UNET,
        "netD_B.": PIXEL,
        "ema.netG_A.": Architecture("resnet", 3, 1),
        # A name that another begins with.
        "net.": PATCHGAN,
        "net2.": UNET,
    }
    shapes = {}
    for prefix, architecture in networks.items():
        shapes |= named(prefix, architecture)
    assert find_networks(shapes) == {prefix: a.kind for prefix, a in networks.items()}


def test_network_inside_of_another_is_a_part_of_it():
    inside = named("netG.ema.", PATCHGAN)
    assert find_networks({**inside, **named("netG.", RESNET)}) == {"netG.": "resnet"}
    assert find_networks({**inside, **named("", UNET)}) == {"": "unet"}


@pytest.mark.parametrize("prefix", ["", "model.", "model.model.", "net.", "netG.net."])
def test_kinds_are_told_apart_though_a_layer_is_missing(prefix):
    for depth in range(2, 11):
        shapes = named(prefix, Architecture("unet", 1, depth))
        assert find_networks(shapes) == {prefix: "unet"}
        for layer in ("model.model.0.", "model.model.3.", "model.model.1.model.1."):
            if depth > 2:
                assert find_networks(without(shapes, prefix + layer)) == {
                    prefix: "unet"
                }
    for depth in range(1, 7):
        shapes = named(prefix, Architecture("patchgan", 1, depth))
        assert find_networks(shapes) == {prefix: "patchgan"}
        last = f"{prefix}model.{3 * depth + 2}."
        assert find_networks(without(shapes, last)) == {prefix: "patchgan"}


def test_other_networks_are_not_found():
    for shapes in (
        {},
        {"layer1.0.conv1.weight": (64, 64, 3, 3), "fc.weight": (10, 512)},
        {"model.1.weight": (64, 3, 3, 3), "model.1.bias": (64,)},
        {"features.0.weight": (64, 3, 3, 3), "net": (1,)},
        named("my", PATCHGAN) | named("my", PIXEL),
        {"model.model.0.weight": (2, 3, 4, 4), "model.model.2.model.1.weight": ()},
    ):
        assert find_networks(shapes) == {}


def test_statistics_of_old_files_are_dropped():
    shapes = named("netG.", RESNET)
    old = {
        **shapes,
        "netG.model.2.running_mean": (2,),
        "netG.model.2.running_var": (2,),
        "netG.model.2.num_batches_tracked": (),
        "running_var": (2,),
    }
    assert without_statistics(old) == shapes
    kept = {"running_mean.a": 1, "my_running_mean": 2, "a.running_means": 3}
    assert without_statistics(kept) == kept


# --- What does not fit


def refusal(shapes) -> str:
    """What is told of a file whose one network has nothing before its names."""
    found = find_networks(shapes)
    assert list(found) == [""]
    with pytest.raises(MismatchError) as error:
        find_architecture(found[""], shapes)
    assert "\n" not in str(error.value)
    return str(error.value)


# A layer that is missing, and another that its numbers then do not fit.
MISSING = {
    "model.1": RESNET,
    "model.19": RESNET,
    "model.11.conv_block.1": RESNET,
    "model.model.0": UNET,
    "model.model.3": UNET,
    "model.model.1.model.3.model.1": UNET,
    "model.5": PATCHGAN,
    "net.2": PIXEL,
}


def test_missing_layer_is_told_by_name():
    for layer, architecture in MISSING.items():
        shapes = without(named("", architecture), f"{layer}.")
        assert refusal(shapes) == f"missing: {layer}.bias, {layer}.weight"
    shapes = without(named("", Architecture("resnet", 2, 6)), "model.12.conv_block.")
    layers = [
        f"model.12.conv_block.{k}.{x}" for k in (1, 5) for x in ("bias", "weight")
    ]
    assert refusal(shapes) == "missing: " + ", ".join(layers)


def test_misshapen_and_unexpected_tensors_are_told_by_name():
    told = refusal(without(named("", PATCHGAN), "model.11."))
    assert told == (
        "misshapen: model.8.bias (16,) instead of (1,), "
        "model.8.weight (16, 8, 4, 4) instead of (1, 8, 4, 4)"
    )
    shapes = {**named("", RESNET), "model.4.weight": (5, 2, 3, 3), "model.4.bias": ()}
    assert refusal(shapes) == (
        "misshapen: model.4.bias () instead of (4,), "
        "model.4.weight (5, 2, 3, 3) instead of (4, 2, 3, 3)"
    )
    shapes = {**named("", PATCHGAN), "model.0.weight": (2, 3, 3, 3)}
    told = "misshapen: model.0.weight (2, 3, 3, 3) instead of (2, 3, 4, 4)"
    assert refusal(shapes) == told
    shapes = {**without(named("", PIXEL), "net.5.bias"), "net.2.bias": (9,), "a.b": ()}
    told = "missing: net.5.bias; unexpected: a.b; misshapen: net.2.bias (9,) instead "
    assert refusal(shapes) == f"{told}of (4,)"


def test_more_than_a_hundred_blocks_and_less_than_five_halvings_are_refused():
    told = refusal(named("", Architecture("resnet", 1, 101)))
    assert told.startswith("missing: model.110.bias, model.110.weight, ")
    assert "unexpected: model.110.conv_block.1.bias, " in told
    told = refusal(named("", Architecture("unet", 2, 4)))
    assert told == "it has 4 halvings; the official has at least 5"


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
    assert "batch norm" in message
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


def test_hostile_names_and_shapes_end_in_a_refusal():
    for case, shapes in HOSTILE.items():
        for root, kind in find_networks(shapes).items():
            inside = {k.removeprefix(root): s for k, s in shapes.items()}
            with pytest.raises(MismatchError) as error:
                find_architecture(kind, inside)
            assert "\n" not in str(error.value), case
            assert len(str(error.value)) < 20_000, case


# Each would take hours if it were compared with all others.
CROWD = 100_000


@pytest.mark.hostile
def test_networks_of_a_crowd_are_all_found():
    found = find_networks({f"k{i}.model.0.weight": (1,) for i in range(CROWD)})
    assert found == {f"k{i}.": "patchgan" for i in range(CROWD)}


@pytest.mark.hostile
def test_few_places_of_each_name_are_looked_at():
    names = {f"{i}.{80 * 'model.'}1.a": (1,) for i in range(CROWD)}
    assert find_networks(names) == {}
