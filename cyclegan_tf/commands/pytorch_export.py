"""`pytorch_export`: its flags.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import os

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.pytorch.weights import FORMATS, export_networks
from cyclegan_tf.validation import UserError

SUMMARY = (
    "Writes the networks of a run as state dicts that the official PyTorch code loads "
    "strictly: EPOCH_net_G_A.pth (generator_g), G_B (generator_f), D_A "
    "(discriminator_y) and D_B (discriminator_x). Biases that a norm cancels, which "
    "ours do without, are zeros."
)

FLAGS = {
    "run_dir": ("", "the run; its newest networks are taken"),
    "output": ("", "a folder to write to, such as checkpoints/NAME of the other code"),
    "formats": (",".join(FORMATS), "which of these to write"),
    "epoch": ("latest", "what the files' names begin with"),
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes the flags."""
    program.define_flags(FLAGS, values)


def help_text(called: str) -> str:
    """What `--help` prints."""
    usage = f"{called} --run_dir RUN --output FOLDER"
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Exports what the flags name."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Checks the flags, and exports.

    Raises:
      UserError: a flag or the run can't be used. Nothing is written then.
    """
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
