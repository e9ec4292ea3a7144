"""`pytorch_import`: its flags, and the files that they name.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import os
import pathlib
import re

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.pytorch.networks import NETWORKS, split_key
from cyclegan_tf.pytorch.weights import files_in, import_networks
from cyclegan_tf.validation import UserError, check_choice

SUMMARY = (
    "Makes a run directory of the weights of the official PyTorch code (.pth, or "
    "safetensors): ResNet and U-Net generators with instance norm, PatchGAN and pixel "
    "discriminators. Filters, blocks and layers are found by themselves; networks of a "
    "kind must be alike. 'FILE#KEY' names one network in a file of several. No code in "
    "a file is ever run."
)

FLAGS = {
    "checkpoint": (
        "",
        "a generator's file, or the folder of a training: EPOCH_net_G_A.pth, G_B, D_A "
        "and D_B, those that are there",
    ),
    "direction": (
        "",
        "what the generator of --checkpoint FILE does, A2B or B2A; empty: B2A if the "
        "name ends in G_B, else A2B",
    ),
    "generator_g": ("", "file of the generator from X to Y, their G_A"),
    "generator_f": ("", "file of the generator from Y to X, their G_B"),
    "discriminator_x": ("", "file of the discriminator that judges X, their D_B"),
    "discriminator_y": ("", "file of the discriminator that judges Y, their D_A"),
    "output": ("", "the run directory to make; if it exists, it must be empty"),
    "epoch": ("latest", "which files of a folder: what their names begin with"),
    "image_size": (
        0,
        "side of the pictures trained on, in pixels; 0: 256, or 2**halvings for a "
        "U-Net",
    ),
    "dataset": (
        "",
        "what the networks were trained on: a data set of train.py, or any name; "
        "empty: from the name of the file or folder",
    ),
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes the flags."""
    program.define_flags(FLAGS, values)


def help_text(called: str) -> str:
    """What `--help` prints."""
    usage = f"""{called} --checkpoint FILE --output RUN
       {called} --checkpoint FOLDER --output RUN
       {called} --generator_g FILE ... --output RUN"""
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Imports what the flags name."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Finds the files that flags name, and imports them.

    Raises:
      UserError: a flag or a file can't be used. Nothing is written then.
    """
    files = files_of(values)
    output = values["output"].value
    if not output:
        raise UserError("--output must be given. See --help.")
    import_networks(files, output, values["image_size"].value, values["dataset"].value)


def files_of(values: flags.FlagValues) -> dict[str, str]:
    """The file of each network that flags name."""
    named = {name: values[name].value for name in NETWORKS.values()}
    files = {name: file for name, file in named.items() if file}
    checkpoint, direction = values["checkpoint"].value, values["direction"].value
    if bool(files) == bool(checkpoint):
        raise UserError(
            "Either --checkpoint or files of networks must be given. See --help."
        )
    is_folder = os.path.isdir(os.path.expanduser(checkpoint))
    if values["epoch"].present and not is_folder:
        raise UserError("--epoch is for a --checkpoint that is a folder.")
    if direction and (files or is_folder):
        raise UserError("--direction is for a --checkpoint of one generator.")
    if files:
        return files
    if is_folder:
        return files_in(checkpoint, values["epoch"].value)
    if direction:
        check_choice("direction", direction, DIRECTIONS)
    else:
        path, key = split_key(os.path.expanduser(checkpoint))
        if any(re.search(r"G_B$", name) for name in (pathlib.Path(path).stem, key)):
            direction = "B2A"
    return {DIRECTIONS[direction or "A2B"]: checkpoint}
