"""`export`: its flags, and the options of an export from them.

TensorFlow is imported where it is used, so that `--help` and a wrong flag answer at
once.
"""

import os
import re

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.deploy.export_options import (
    DEFAULT_MAX_PIXELS,
    FORMATS,
    TFLITE_TYPES,
    ExportOptions,
    Size,
)
from cyclegan_tf.messages import UserError, without_native_messages

# Default and text of each flag, by name.
FLAGS = {
    "run_dir": ("", "the run to export"),
    "checkpoint": ("latest", "of the run: latest, best (see --keep_best) or a step"),
    "formats": (",".join(FORMATS), "which of these to write"),
    "direction": (
        "",
        "A2B translates X to Y, B2A Y to X; empty: all that the run has",
    ),
    "output": ("", "folder of the exports; empty: RUN_DIR/export"),
    "version": (0, "version number of the SavedModels; 0: the next one"),
    "name": ("", "name of the model; empty: after the data set or the model"),
    "tflite_types": (",".join(TFLITE_TYPES), "which TFLite files to write"),
    "tflite_size": (
        "",
        "sides of the TFLite files' picture: 256, HEIGHTxWIDTH, any, or several with "
        "commas; empty: the training size",
    ),
    "tflite_io": (
        "uint8",
        "type of the image in dynamic_int8 and int8 files, uint8 or float32; the "
        "others have float32",
    ),
    "calibration_pictures": (100, "training pictures that calibrate int8 files"),
    "pictures": (
        "",
        "folder of pictures for calibration and verification; empty: the run's data "
        "set",
    ),
    "max_pixels": (
        DEFAULT_MAX_PIXELS,
        "the server refuses larger pictures before it decodes them",
    ),
    "licence": ("not stated", "of the model, for its card"),
}

SUMMARY = (
    "Writes the generators of a run (CycleGAN, pix2pix, dcgan, conditional, vae) as "
    "SavedModels for TF Serving, TFLite files for phones and Keras files, and verifies "
    "each file before it is put in place."
)


def help_text(called: str) -> str:
    """The text of `--help`."""
    usage = f"{called} --run_dir RUN [--FLAG VALUE ...]"
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Exports what the flags name."""
    program.no_arguments(arguments)
    export = from_flags(flags.FLAGS).for_run()
    # A CPU's arithmetic is the reference; a GPU that trains stays free.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with without_native_messages():
        from cyclegan_tf.deploy.export import export_run
    export_run(export)


def from_flags(values: flags.FlagValues) -> ExportOptions:
    """The options of an export from parsed flags.

    Raises:
      UserError: a value is not one of its choices, or out of range.
    """
    fields = {name: values[name].value for name in FLAGS}
    for name in ("formats", "direction", "tflite_types", "tflite_size"):
        fields[name] = program.listed(fields[name])
    fields["directions"] = fields.pop("direction")
    fields["tflite_sizes"] = tuple(_size(text) for text in fields.pop("tflite_size"))
    fields["num_calibration_pictures"] = fields.pop("calibration_pictures")
    return ExportOptions(**fields)


def _size(text: str) -> Size | None:
    if text == "any":
        return None
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not found:
        raise UserError(
            f"`tflite_size` must be a number, HEIGHTxWIDTH or any. Received: {text!r}."
        )
    height, width = found.groups()
    return int(height), int(width or height)
