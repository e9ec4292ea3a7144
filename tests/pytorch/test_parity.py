"""The official networks make the same of an image here and in PyTorch, to 1e-4."""

import copy

import pytest
from helpers.torch_networks import (
    Patchgan,
    Pixel,
    Resnet,
    Unet,
    cancelled_biases,
    randomize,
)
from helpers.torch_transfers import SMALL, TOLERANCE, difference, transferred


def test_networks_in_pytorch_have_the_official_number_of_parameters():
    def count(network):
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(Resnet()) == 11_378_179
    assert count(Patchgan()) == 2_764_737
    assert count(Unet()) == 54_409_603
    assert count(Unet(num_downs=7)) == 41_825_667


def layers(network) -> list[str]:
    """Names of the layers with weights; each here has a bias too."""
    names = list(network.state_dict())
    found = [name.removesuffix(".weight") for name in names[::2]]
    assert names == [f"{x}.{kind}" for x in found for kind in ("weight", "bias")]
    return found


def test_networks_in_pytorch_have_the_official_names():
    blocks = [f"model.{i}.conv_block.{k}" for i in range(10, 16) for k in (1, 5)]
    first, ups = ["model.1", "model.4", "model.7"], ["model.16", "model.19"]
    assert layers(Resnet(4, 6)) == [*first, *blocks, *ups, "model.23"]
    with_dropout = layers(Resnet(4, 1, dropout=True))
    assert with_dropout[3:5] == ["model.10.conv_block.1", "model.10.conv_block.6"]
    assert layers(Patchgan(4)) == [f"model.{i}" for i in (0, 2, 5, 8, 11)]
    assert layers(Pixel(4)) == ["net.0", "net.2", "net.5"]


def test_unet_in_pytorch_has_the_official_names():
    outermost, middle, innermost = ["0", "3"], [], []
    for depth in (1, 2, 3):
        block = "1.model." + (depth - 1) * "3.model."
        middle += [f"{block}1", f"{block}5"]
    innermost = [f"1.model.{3 * '3.model.'}{i}" for i in (1, 3)]
    wanted = {f"model.model.{name}" for name in outermost + middle + innermost}
    assert set(layers(Unet(4, 5))) == wanted


# Odd ones too: a ResNet rounds sides up to a multiple of 4, here and in PyTorch.
SIZES = [(128, 192), (100, 68), (65, 97), (66, 99)]
FULL = {
    "resnet_9": (lambda: Resnet(), SIZES),
    "unet_128": (lambda: Unet(num_downs=7), [(128, 256)]),
    **{
        f"patchgan_{n}": (lambda n=n: Patchgan(num_layers=n), [(128, 192), (97, 131)])
        for n in (1, 2, 3, 4, 5)
    },
    "pixel": (lambda: Pixel(), [(128, 192), (97, 131)]),
}
MORE = {
    "resnet_6": (lambda: Resnet(num_blocks=6), [*SIZES, (256, 256)]),
    "resnet_9": (lambda: Resnet(), [(256, 256)]),
    "unet_128": (lambda: Unet(num_downs=7), [(128, 128), (256, 256), (384, 128)]),
    "unet_256": (lambda: Unet(), [(256, 256), (256, 512)]),
    **{
        f"patchgan_{n}": (lambda n=n: Patchgan(num_layers=n), [(256, 256), (255, 257)])
        for n in (1, 2, 3, 4, 5)
    },
    "pixel": (lambda: Pixel(), [(256, 256)]),
}


def check_sizes(make, sizes, folder) -> None:
    theirs = randomize(make())
    ours = transferred(theirs, folder)
    for sides in sizes:
        assert difference(ours, theirs, *sides) < TOLERANCE, sides


@pytest.mark.parametrize("name", FULL)
def test_full_network_makes_what_pytorch_makes(name, tmp_path):
    check_sizes(*FULL[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_full_network_makes_what_pytorch_makes_of_larger_images(name, tmp_path):
    check_sizes(*MORE[name], tmp_path)


@pytest.mark.parametrize("kind", SMALL)
def test_biases_make_a_difference_unless_a_norm_follows(kind, tmp_path):
    theirs = randomize(SMALL[kind]())
    ours = transferred(theirs, tmp_path)
    cancelled = cancelled_biases(theirs)
    biases = {name for name in theirs.state_dict() if name.endswith(".bias")}
    assert cancelled < biases
    for name in biases:
        other = copy.deepcopy(theirs)
        other.state_dict()[name].zero_()
        apart = difference(ours, other, 64, 64)
        assert apart < TOLERANCE if name in cancelled else apart > 10 * TOLERANCE, name
