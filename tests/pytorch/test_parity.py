"""The official networks make the same of an image here and in PyTorch, to 1e-4."""

import pytest
from helpers.torch_networks import Patchgan, Pixel, Resnet, Unet, randomize
from helpers.torch_transfers import SMALL, TOLERANCE, difference, transferred

from cyclegan_tf.pytorch.networks import Architecture, state_dict_shapes

ORACLES = {
    Architecture("resnet", 4, 6): lambda: Resnet(4, 6),
    Architecture("resnet", 4, 1, dropout=True): lambda: Resnet(4, 1, dropout=True),
    Architecture("unet", 4, 5): lambda: Unet(4, 5),
    Architecture("unet", 2, 8): lambda: Unet(2),
    Architecture("patchgan", 4, 3): lambda: Patchgan(4),
    Architecture("patchgan", 4, 5): lambda: Patchgan(4, 5),
    Architecture("pixel", 4, 0): lambda: Pixel(4),
}


def test_networks_in_pytorch_have_the_official_names_and_shapes():
    for architecture, make in ORACLES.items():
        found = {name: tuple(x.shape) for name, x in make().state_dict().items()}
        assert list(found.items()) == list(state_dict_shapes(architecture).items())


# Odd ones too: a ResNet rounds sides up to a multiple of 4, here and in PyTorch.
SIZES = [(128, 192), (100, 68), (65, 97), (66, 99)]
ODD = [(128, 192), (97, 131)]
NETWORKS = {
    "resnet": (SMALL["resnet"], SIZES),
    "unet": (SMALL["unet"], [(64, 96)]),
    "patchgan 1": (lambda: Patchgan(4, 1), ODD),
    "patchgan 3": (SMALL["patchgan"], ODD),
    "patchgan 5": (lambda: Patchgan(4, 5), ODD),
    "pixel": (SMALL["pixel"], ODD),
}
FULL = {
    "resnet 6": (lambda: Resnet(num_blocks=6), [(65, 97)]),
    "resnet 9": (Resnet, [(100, 68), (256, 256)]),
    "unet 128": (lambda: Unet(num_downs=7), [(128, 256), (384, 128)]),
    "unet 256": (Unet, [(256, 256), (256, 512)]),
    **{
        f"patchgan {n}": (lambda n=n: Patchgan(num_layers=n), [(97, 131), (255, 257)])
        for n in (1, 2, 3, 4, 5)
    },
    "pixel": (Pixel, [(97, 131), (256, 256)]),
}


def check_sizes(make, sizes, folder) -> None:
    theirs = randomize(make())
    ours = transferred(theirs, folder)
    for sides in sizes:
        assert difference(ours, theirs, *sides) < TOLERANCE, sides


@pytest.mark.stack
@pytest.mark.parametrize("name", NETWORKS)
def test_network_makes_what_pytorch_makes(name, tmp_path):
    check_sizes(*NETWORKS[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_network_makes_what_pytorch_makes(name, tmp_path):
    check_sizes(*FULL[name], tmp_path)


def test_dropout_moves_names_and_changes_no_translation(tmp_path):
    theirs = randomize(SMALL["resnet"](dropout=True)).eval()
    assert difference(transferred(theirs, tmp_path), theirs, 64, 64) < TOLERANCE
