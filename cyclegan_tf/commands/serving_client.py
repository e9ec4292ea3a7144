"""`serving_client`: its flags. Needs no TensorFlow."""

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.deploy.serving_client import translate_file
from cyclegan_tf.messages import UserError

SUMMARY = "Translates a picture by TF Serving, and writes the result as a PNG."

FLAGS = {
    "server": (
        "",
        "HOST:PORT (gRPC, usually 8500) or http://HOST:PORT (REST, usually 8501)",
    ),
    "model": ("horse2zebra_A2B", "name of the served model"),
    "version": (None, "the newest if left out", 0, 2**63 - 1),
    "timeout_seconds": (60, "how long to wait", 1, 86400),
}


def help_text(called: str) -> str:
    """The text of `--help`."""
    usage = f"{called} --server HOST:PORT INPUT OUTPUT.png"
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Translates the picture that the command line names."""
    values = flags.FLAGS
    if len(arguments) != 2 or not values.server:
        raise UserError("Name --server, a picture and the PNG to write. See --help.")
    if not values.model.isprintable():
        raise UserError(f"`model` must be a name. Received: {values.model!r}.")
    translate_file(
        values.server, values.model, *arguments, values.version, values.timeout_seconds
    )
