"""`pytorch_import` and `pytorch_export`: networks from and for the official code.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import os
import pathlib
import re

from absl import flags

from cyclegan_tf.commands.program import Command, Flag, listed, path, require
from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.messages import UserError, check_choice
from cyclegan_tf.pytorch.networks import NETWORKS, split_key
from cyclegan_tf.pytorch.weights import (
    FORMATS,
    export_networks,
    files_in,
    import_networks,
)


def _import(values: flags.FlagValues) -> None:
    files = files_of(values)
    require(values, "output")
    import_networks(files, values.output, values.image_size, values.dataset)


def files_of(values: flags.FlagValues) -> dict[str, str]:
    """Returns the file of each network in the flags."""
    files = {name: values[name].value for name in NETWORKS.values()}
    files = {name: file for name, file in files.items() if file}
    checkpoint, direction = values.checkpoint, values.direction
    if bool(files) == bool(checkpoint):
        raise UserError(
            "Either --checkpoint or files of networks must be given. See --help."
        )
    is_folder = os.path.isdir(checkpoint)
    if values["epoch"].present and not is_folder:
        raise UserError("--epoch is for a --checkpoint that is a folder.")
    if direction and (files or is_folder):
        raise UserError("--direction is for a --checkpoint of one generator.")
    if files:
        return files
    if is_folder:
        return files_in(checkpoint, values.epoch)
    if direction:
        check_choice("direction", direction, DIRECTIONS)
    else:
        file, key = split_key(checkpoint)
        if any(re.search(r"G_B$", name) for name in (pathlib.Path(file).stem, key)):
            direction = "B2A"
    return {DIRECTIONS[direction or "A2B"]: checkpoint}


PYTORCH_IMPORT = Command(
    _import,
    {
        "checkpoint": path(
            "file of a generator, or folder of a training with EPOCH_net_G_A.pth, G_B, "
            "D_A or D_B"
        ),
        "direction": Flag(
            "",
            "direction of --checkpoint FILE, A2B or B2A; empty: B2A if the name ends "
            "in G_B, else A2B",
        ),
        "generator_g": path("file of the generator from X to Y, their G_A"),
        "generator_f": path("file of the generator from Y to X, their G_B"),
        "discriminator_x": path("file of the discriminator for X, their D_B"),
        "discriminator_y": path("file of the discriminator for Y, their D_A"),
        "output": path("the new run directory; it must be empty or not exist"),
        "epoch": Flag("latest", "start of the file names in a folder"),
        "image_size": Flag(
            0,
            "side of the training pictures in px; 0: 256, or 2**halvings for a U-Net",
        ),
        "dataset": path(
            "training data: a data set of train.py, or any name; empty: from the file "
            "or folder name"
        ),
    },
    "Creates a run directory from weights of the official PyTorch code (.pth or "
    "safetensors): ResNet and U-Net generators with instance norm, PatchGAN and pixel "
    "discriminators. It detects filters, blocks and layers; both generators must be "
    "alike, and both discriminators. 'FILE#KEY' selects one network of a file. It "
    "never runs code from a file.",
    (
        "--checkpoint FILE --output RUN",
        "--checkpoint FOLDER --output RUN",
        "--generator_g FILE ... --output RUN",
    ),
)


def _export(values: flags.FlagValues) -> None:
    require(values, "run_dir", "output")
    export_networks(values.run_dir, values.output, listed(values.formats), values.epoch)


PYTORCH_EXPORT = Command(
    _export,
    {
        "run_dir": path("the run; its newest checkpoint is exported"),
        "output": path("output folder, such as checkpoints/NAME of the official code"),
        "formats": Flag(",".join(FORMATS), "file formats to write"),
        "epoch": Flag("latest", "start of the file names"),
    },
    "Writes the networks of a run as state dicts that the official PyTorch code loads "
    "strictly: EPOCH_net_G_A.pth (generator_g), G_B (generator_f), D_A "
    "(discriminator_y) and D_B (discriminator_x). Biases that a norm cancels are 0.",
    ("--run_dir RUN --output FOLDER",),
)
