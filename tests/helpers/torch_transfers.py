"""Small PyTorch networks, their way into ours, and how far both are from each other."""

import pathlib

import numpy as np
import torch

from cyclegan_tf.pytorch.weights import import_networks
from cyclegan_tf.training.checkpoints import load_network
from helpers.torch_networks import Patchgan, Pixel, Resnet, Unet, apply, randomize

TOLERANCE = 1e-4

SMALL = {
    "resnet": lambda **options: Resnet(num_filters=4, num_blocks=2, **options),
    "unet": lambda: Unet(num_filters=4, num_downs=5),
    "patchgan": lambda: Patchgan(num_filters=4),
    "pixel": lambda: Pixel(num_filters=4),
}

# The official D_A judges what G_A makes: pictures of B, which is our Y.
OURS = {
    "G_A": "generator_g",
    "G_B": "generator_f",
    "D_A": "discriminator_y",
    "D_B": "discriminator_x",
}


def training_networks(
    generator: str = "resnet", discriminator: str = "patchgan", seed: int = 0
) -> dict[str, torch.nn.Module]:
    """Four networks by their official names, each with weights of its own."""
    kinds = {"G": generator, "D": discriminator}
    return {
        name: randomize(SMALL[kinds[name[0]]](), seed + i)
        for i, name in enumerate(OURS)
    }


def save_training(networks, folder: pathlib.Path, epoch: str = "latest") -> None:
    """Writes files as a training with the official code leaves them."""
    folder.mkdir(exist_ok=True)
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"{epoch}_net_{name}.pth")


def role_of(network: torch.nn.Module) -> str:
    """One of our networks that a network of PyTorch can be."""
    is_generator = isinstance(network, (Resnet, Unet))
    return "generator_f" if is_generator else "discriminator_x"


def transferred(network: torch.nn.Module, folder: pathlib.Path):
    """The Keras network with the weights of one in PyTorch, by a file and a run."""
    path, name = folder / "network.pth", role_of(network)
    torch.save(network.state_dict(), path)
    import_networks({name: str(path)}, str(folder / "run"))
    return load_network(folder / "run", name)


def difference(ours, theirs: torch.nn.Module, *sides: int, seed: int = 0) -> float:
    """How far two networks are from each other on a random image, at most."""
    random = np.random.default_rng(seed)
    images = random.uniform(-1, 1, (1, *sides, 3)).astype(np.float32)
    expected, found = apply(theirs, images), ours(images).numpy()
    assert found.shape == expected.shape
    assert expected.size == 1 or expected.std() > 0.02
    return np.abs(found - expected).max()
