"""The `pytorch_import` command; imports TensorFlow late, so that `--help` is quick."""

import os

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.messages import UserError, check_choice
from cyclegan_tf.pytorch.networks import NETWORKS
from cyclegan_tf.pytorch.weights import direction_of, files_in, import_networks

SUMMARY = (
    "Creates a run directory from weights of the official PyTorch code (.pth or "
    "safetensors): ResNet and U-Net generators with instance norm, PatchGAN and pixel "
    "discriminators. It detects filters, blocks and layers; both generators must be "
    "alike, and both discriminators. 'FILE#KEY' selects one network of a file. It "
    "never runs code from a file."
)

FLAGS = {
    "checkpoint": (
        "",
        "file of a generator, or folder of a training with EPOCH_net_G_A.pth, G_B, D_A "
        "or D_B",
    ),
    "direction": (
        "",
        "direction of --checkpoint FILE, A2B or B2A; empty: from its name, such as "
        "netG_B2A or zebra2horse, else A2B",
    ),
    "generator_g": ("", "file of the generator from X to Y, their G_A"),
    "generator_f": ("", "file of the generator from Y to X, their G_B"),
    "discriminator_x": ("", "file of the discriminator that judges X, their D_B"),
    "discriminator_y": ("", "file of the discriminator that judges Y, their D_A"),
    "output": ("", "the new run directory; it must be empty or not exist"),
    "epoch": ("latest", "start of the file names in a folder"),
    "image_size": (
        0,
        "side of the training pictures in px; 0: 256, or 2**halvings for a U-Net",
    ),
    "dataset": (
        "",
        "training data: a data set of train.py, or any name; empty: from the file or "
        "folder name",
    ),
}


def help_text(called: str) -> str:
    """Returns the text of `--help`."""
    usage = f"""{called} --checkpoint FILE --output RUN
       {called} --checkpoint FOLDER --output RUN
       {called} --generator_g FILE ... --output RUN"""
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Runs the command."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Checks the flags, and imports; a `UserError` if nothing was written."""
    files = files_of(values)
    output, size, dataset = (
        values[n].value for n in ("output", "image_size", "dataset")
    )
    if not output:
        raise UserError("--output must be given. See --help.")
    import_networks(files, output, size, dataset)


def files_of(values: flags.FlagValues) -> dict[str, str]:
    """Returns the file of each network in the flags."""
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
    return {DIRECTIONS[direction or direction_of(checkpoint)]: checkpoint}
