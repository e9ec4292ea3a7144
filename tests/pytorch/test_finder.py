"""Networks among a file's names and shapes: found, and told apart."""

import pytest
from helpers.finder_cases import PATCHGAN, PIXEL, RESNET, SOME, UNET, named, without

from cyclegan_tf.pytorch.finder import architecture_of, find, without_statistics
from cyclegan_tf.pytorch.networks import Architecture, state_dict_shapes

DEPTHS = {
    "resnet": (0, 1, 2, 6, 9, 12, 100),
    "unet": (5, 6, 7, 8, 10),
    "patchgan": (1, 2, 3, 4, 5, 6),
    "pixel": (0,),
}
GRID = [
    Architecture(kind, num_filters, depth)
    for kind, depths in DEPTHS.items()
    for depth in depths
    for num_filters in (1, 3, 64)
]


# --- What a network is


@pytest.mark.parametrize("architecture", GRID, ids=str)
def test_kind_filters_and_depth_are_found(architecture):
    shapes = state_dict_shapes(architecture)
    assert find(shapes) == {"": architecture.kind}
    assert architecture_of(architecture.kind, shapes) == architecture


@pytest.mark.parametrize("kind", DEPTHS)
@pytest.mark.parametrize("channels", [1, 4])
def test_channels_are_found(kind, channels):
    architecture = Architecture(kind, 2, DEPTHS[kind][-1], channels)
    shapes = state_dict_shapes(architecture)
    assert find(shapes) == {"": kind}
    assert architecture_of(kind, shapes) == architecture


def test_dropout_is_found():
    architecture = Architecture("resnet", 2, 6, dropout=True)
    shapes = state_dict_shapes(architecture)
    assert find(shapes) == {"": "resnet"}
    assert architecture_of("resnet", shapes) == architecture


@pytest.mark.parametrize("architecture", SOME, ids=str)
def test_order_of_names_does_not_matter(architecture):
    shapes = dict(reversed(state_dict_shapes(architecture).items()))
    assert find(shapes) == {"": architecture.kind}
    assert architecture_of(architecture.kind, shapes) == architecture


# --- Where its names begin

PREFIXES = [
    "module.",
    "_orig_mod.",
    "netG.module.",
    "state_dict.netG_A.",
    "model.",
    "model.model.",
    "net.",
    "net.net.",
    "model.net.module.",
    "0.",
    "a model.1.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("architecture", SOME, ids=str)
def test_network_is_found_behind_a_prefix(prefix, architecture):
    assert find(named(prefix, architecture)) == {prefix: architecture.kind}


def test_network_is_found_among_other_tensors():
    others = {
        "optimizer.state.0.exp_avg": (2, 3, 7, 7),
        "epoch": (),
        "model": (1,),
        "model.": (1,),
        "loss.model.1.weight": (5,),
    }
    assert find({**others, **named("model.", RESNET)}) == {"model.": "resnet"}


def test_all_networks_of_a_file_are_found():
    shapes = {
        **named("netD_A.module.", PATCHGAN),
        **named("netG_A.module.", RESNET),
        **named("netG_B.module.", UNET),
        **named("netD_B.", PIXEL),
        **named("ema.netG_A.", Architecture("resnet", 3, 1)),
    }
    assert find(shapes) == {
        "netD_A.module.": "patchgan",
        "netG_A.module.": "resnet",
        "netG_B.module.": "unet",
        "netD_B.": "pixel",
        "ema.netG_A.": "resnet",
    }


def test_name_that_another_begins_with_is_another_network():
    shapes = {**named("net.", PATCHGAN), **named("net2.", UNET)}
    assert find(shapes) == {"net.": "patchgan", "net2.": "unet"}


def test_network_inside_of_another_is_a_part_of_it():
    inside = named("netG.ema.", PATCHGAN)
    assert find({**inside, **named("netG.", RESNET)}) == {"netG.": "resnet"}
    assert find({**inside, **named("", UNET)}) == {"": "unet"}


@pytest.mark.parametrize("prefix", ["", "model.", "model.model.", "netG.module."])
@pytest.mark.parametrize("depth", range(2, 11))
def test_unet_is_not_taken_for_discriminators(prefix, depth):
    shapes = named(prefix, Architecture("unet", 1, depth))
    assert find(shapes) == {prefix: "unet"}
    for layer in ("model.model.0.", "model.model.3.", "model.model.1.model.1."):
        if depth > 2:
            assert find(without(shapes, prefix + layer)) == {prefix: "unet"}


@pytest.mark.parametrize("prefix", ["", "model.", "model.model.", "net."])
@pytest.mark.parametrize("depth", range(1, 7))
def test_patchgan_is_not_taken_for_a_generator(prefix, depth):
    shapes = named(prefix, Architecture("patchgan", 1, depth))
    assert find(shapes) == {prefix: "patchgan"}
    last = f"{prefix}model.{3 * depth + 2}."
    assert find(without(shapes, last)) == {prefix: "patchgan"}


def test_other_networks_are_not_found():
    assert find({}) == {}
    assert find({"layer1.0.conv1.weight": (64, 64, 3, 3), "fc.weight": (10, 512)}) == {}
    assert find({"model.1.weight": (64, 3, 3, 3), "model.1.bias": (64,)}) == {}
    assert find({"features.0.weight": (64, 3, 3, 3), "net": (1,)}) == {}
    assert find(named("my", PATCHGAN) | named("my", PIXEL)) == {}
    nested = {"model.model.0.weight": (2, 3, 4, 4), "model.model.2.model.1.weight": ()}
    assert find(nested) == {}


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
