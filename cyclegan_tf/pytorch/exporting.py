"""Writes the networks of a run as state dicts for the official PyTorch code.

TensorFlow is imported where it is used, so that what is refused is refused at once.
"""

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from cyclegan_tf.config import Config
from cyclegan_tf.files import put_in_place, staging
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.pytorch import networks as pytorch_networks
from cyclegan_tf.pytorch.finder import MIN_HALVINGS
from cyclegan_tf.pytorch.networks import NETWORKS
from cyclegan_tf.run_directory import load_config, read_checkpoint
from cyclegan_tf.validation import UserError, check_choice

FORMATS = {
    "pth": pytorch_files.write_pth,
    "safetensors": pytorch_files.write_safetensors,
}


def export_networks(
    run_dir: str,
    output: str,
    formats: tuple[str, ...] = tuple(FORMATS),
    epoch: str = "latest",
) -> list[pathlib.Path]:
    """Writes the networks of a run as the official code's state dicts.

    Args:
      run_dir: The run directory.
      output: A folder; made if it is not there.
      formats: Of `FORMATS`.
      epoch: What the files' names begin with.

    Returns:
      The files.

    Raises:
      UserError: the run can't be used, its networks are none that the official code
        can build, a file exists, or can't be written. No file is written then.
    """
    if not epoch or os.path.basename(epoch) != epoch:
        raise UserError(f"`epoch` must be part of a file's name. Received: {epoch!r}.")
    for name in formats or ("",):
        check_choice("formats", name, FORMATS)
    config = load_config(run_dir)
    if config.generator == "unet" and config.num_downs < MIN_HALVINGS:
        raise UserError(
            f"The official U-Net has at least {MIN_HALVINGS} halvings; this run's has "
            f"{config.num_downs}."
        )
    for name, here in (
        ("input_skip", config.input_skip),
        ("output_activation linear", config.output_activation == "linear"),
        ("upsampling resize", config.upsampling == "resize"),
    ):
        if here:
            raise UserError(f"The official code has no generator with {name}.")
    found = _state_dicts(config, run_dir)
    state_dicts = {f"{epoch}_net_{theirs}": found[theirs] for theirs in found}
    folder = pathlib.Path(os.path.expanduser(output))
    files = [folder / f"{name}.{ending}" for name in state_dicts for ending in formats]
    for path in files:
        if os.path.lexists(path):
            raise UserError(f"{path} exists already. Name another --output or --epoch.")
    _write(state_dicts, formats, folder)
    print(f"Wrote {', '.join(path.name for path in files)} to {folder}")
    print(f"They fit the official code's options {options(config, found)}")
    if config.discriminator == "projected":
        print("Its discriminators are projected: the official code has no such.")
    return files


def options(config: Config, networks: Iterable[str]) -> str:
    """The official code's options for some networks of a run, by official name."""
    names = {name[0] for name in networks}
    told = [_of_generators(config)] if "G" in names else []
    if "D" in names:
        kind = "pixel"
        if config.discriminator == "patchgan":
            kind = f"n_layers --n_layers_D {config.discriminator_layers}"
        told.append(f"--netD {kind} --ndf {config.discriminator_filters}")
    return " ".join([*told, "--norm instance --no_dropout"])


def _is_projected(config: Config, name: str) -> bool:
    """Whether a network is a discriminator of a kind that the official code lacks."""
    return config.discriminator == "projected" and name.startswith("discriminator")


def _of_generators(config: Config) -> str:
    official = {
        ("resnet", 6): "--netG resnet_6blocks",
        ("resnet", 9): "--netG resnet_9blocks",
        ("unet", 7): "--netG unet_128",
        ("unet", 8): "--netG unet_256",
    }
    depth = pytorch_networks.of_config(config, "generator_g").depth
    argument = {"resnet": "n_blocks", "unet": "num_downs"}[config.generator]
    other = f"(no --netG; its class with {argument}={depth})"
    net_g = official.get((config.generator, depth), other)
    return f"{net_g} --ngf {config.num_filters}"


def _state_dicts(config: Config, run_dir: str) -> dict[str, dict[str, np.ndarray]]:
    """The official state dicts of the networks that a run has, by official name."""
    with without_native_messages():
        from cyclegan_tf.learning.state import named_weights
        from cyclegan_tf.training import checkpoints

    def read(checkpoint: str) -> dict[str, dict[str, np.ndarray]]:
        held = checkpoints.networks_in(checkpoint)
        if not held:
            raise UserError(f"{checkpoint} holds no network.")
        state_dicts = {}
        for theirs, name in NETWORKS.items():
            if name in held and not _is_projected(config, name):
                network = checkpoints.load_network(run_dir, name, checkpoint)
                weights = {k: v.numpy() for k, v in named_weights(network).items()}
                architecture = pytorch_networks.of_config(config, name)
                state_dicts[theirs] = pytorch_networks.to_theirs(architecture, weights)
        return state_dicts

    return read_checkpoint(run_dir, read)


def _write(state_dicts: dict, formats: tuple[str, ...], folder: pathlib.Path) -> None:
    """Writes all files beside their places, reads them back, then puts them there."""
    with staging(folder) as beside:
        for name, state_dict in state_dicts.items():
            for ending in formats:
                path = beside / f"{name}.{ending}"
                FORMATS[ending](state_dict, path)
                _check_same(pytorch_files.read(path), state_dict)
        put_in_place(beside, folder)


def _check_same(written: dict, state_dict: dict[str, np.ndarray]) -> None:
    same = written.keys() == state_dict.keys() and all(
        np.array_equal(written[name].numpy(), array, equal_nan=True)
        for name, array in state_dict.items()
    )
    if not same:
        raise UserError("What was written can't be read back; is the disk damaged?")
