"""The `pytorch_export` command; imports TensorFlow late, so that `--help` is quick."""

import os

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch.weights import FORMATS, export_networks

SUMMARY = (
    "Writes the networks of a run as state dicts that the official PyTorch code loads "
    "strictly: EPOCH_net_G_A.pth (generator_g), G_B (generator_f), D_A "
    "(discriminator_y) and D_B (discriminator_x). Biases that a norm cancels are zeros."
)

FLAGS = {
    "run_dir": ("", "the run; its newest checkpoint is exported"),
    "output": ("", "output folder, such as checkpoints/NAME of the official code"),
    "formats": (",".join(FORMATS), "file formats to write"),
    "epoch": ("latest", "start of the file names"),
}


def help_text(called: str) -> str:
    """Returns the text of `--help`."""
    usage = f"{called} --run_dir RUN --output FOLDER"
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Runs the command."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Checks the flags, and exports; a `UserError` if nothing was written."""
    for name in ("run_dir", "output"):
        if not values[name].value:
            raise UserError(f"--{name} must be given. See --help.")
    formats = [part.strip() for part in values["formats"].value.split(",")]
    export_networks(
        os.path.expanduser(values["run_dir"].value),
        values["output"].value,
        tuple(dict.fromkeys(formats)),
        values["epoch"].value,
    )
