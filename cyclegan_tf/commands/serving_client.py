"""`serving_client`: its flags. Needs no TensorFlow."""

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.exporting.serving_client import translate_file
from cyclegan_tf.validation import UserError

FLAGS = ("server", "model", "version", "timeout_seconds")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags."""
    text = "HOST:PORT (gRPC, usually 8500) or http://HOST:PORT (REST, usually 8501)"
    flags.DEFINE_string("server", "", text, flag_values=values)
    flags.DEFINE_string(
        "model", "horse2zebra_A2B", "name of the served model", flag_values=values
    )
    flags.DEFINE_integer(
        "version", None, "empty: the newest", 0, 2**63 - 1, flag_values=values
    )
    flags.DEFINE_integer(
        "timeout_seconds", 60, "how long to wait", 1, 86400, flag_values=values
    )


def help_text(called: str) -> str:
    """The text of `--help`."""
    usage = f"{called} --server HOST:PORT INPUT OUTPUT.png"
    summary = "Translates a picture by TF Serving, and writes the result as a PNG."
    return program.help_of_flags(usage, summary, FLAGS)


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
