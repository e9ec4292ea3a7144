"""`export`: its flags, and the request that they make.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import os
import re

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import Config
from cyclegan_tf.exporting.request import (
    DEFAULT_MAX_PIXELS,
    FORMATS,
    TFLITE_TYPES,
    Request,
    Size,
)
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.options import Pix2Pix
from cyclegan_tf.run_directory import check_run, load_options
from cyclegan_tf.validation import UserError

# Default and text of each flag, by name.
FLAGS = {
    "run_dir": ("", "the run to export"),
    "checkpoint": ("latest", "of the run: latest, best (see --keep_best) or a step"),
    "formats": (",".join(FORMATS), "which of these to write"),
    "direction": (
        "",
        "A2B translates X to Y, B2A Y to X; empty: both, or what an imported run has",
    ),
    "output": ("", "folder of the exports; empty: RUN_DIR/export"),
    "version": (0, "number of the SavedModels' version; 0: the next one"),
    "name": ("", "name of the model; empty: the data set's"),
    "tflite_types": (",".join(TFLITE_TYPES), "which TFLite files to write"),
    "tflite_size": (
        "",
        "sides of the TFLite files' picture: 256, HEIGHTxWIDTH, any, or several with "
        "commas; empty: the training size",
    ),
    "tflite_io": (
        "uint8",
        "what dynamic_int8 and int8 files take and give, uint8 or float32; the others "
        "have float32",
    ),
    "calibration_pictures": (
        100,
        "training pictures that set the scales of int8 and int16x8 files",
    ),
    "pictures": (
        "",
        "folder of pictures to calibrate and verify on; empty: the run's data set",
    ),
    "max_pixels": (
        DEFAULT_MAX_PIXELS,
        "larger pictures are refused by the server before they are decoded",
    ),
    "licence": ("not stated", "of the model, told in its card and files"),
}

# Flags that mean something to what makes digits.
_OF_DIGITS = ("run_dir", "formats", "output", "version", "name", "tflite_types")

SUMMARY = (
    "Writes the generators of a run as SavedModels for TF Serving, TFLite files for "
    "phones and Keras files, and tries out each file before it is put in place."
)


def help_text(called: str) -> str:
    """What `--help` prints."""
    usage = f"{called} --run_dir RUN [--FLAG VALUE ...]"
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Makes a request of the flags, and exports it."""
    program.no_arguments(arguments)
    request = from_flags(flags.FLAGS)
    options = load_options(request.run_dir)
    if options.model == Config.model:
        check_run(request.run_dir, request.checkpoint)
    else:
        _check_flags(flags.FLAGS, options.model)
    # Exports are compared in a CPU's arithmetic; a GPU that trains stays free.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with without_native_messages():
        from cyclegan_tf.exporting import export, generating, pairs
    if options.model == Config.model:
        export.carry_out(request)
    elif options.model == Pix2Pix.model:
        pairs.export_run(request, options)
    else:
        generating.export(request, options)


def _check_flags(values: flags.FlagValues, model: str) -> None:
    """Refuses a flag that means nothing to a model beside CycleGAN."""
    own = _OF_DIGITS
    if model == Pix2Pix.model:
        own = [name for name in FLAGS if name not in ("checkpoint", "direction")]
    foreign = [name for name in FLAGS if values[name].present and name not in own]
    if foreign:
        raise UserError(
            f"The export of a `{model}` has no `{foreign[0]}`; it has {', '.join(own)}."
        )


def from_flags(values: flags.FlagValues) -> Request:
    """The request that parsed flags make.

    Raises:
      UserError: a value is not one of its choices, or out of range.
    """
    return Request(
        run_dir=values.run_dir,
        checkpoint=values.checkpoint,
        output=values.output,
        formats=program.listed(values.formats),
        directions=program.listed(values.direction),
        version=values.version,
        name=values.name,
        tflite_types=program.listed(values.tflite_types),
        tflite_io=values.tflite_io,
        tflite_sizes=tuple(_size(text) for text in program.listed(values.tflite_size)),
        num_calibration_pictures=values.calibration_pictures,
        pictures=values.pictures,
        max_pixels=values.max_pixels,
        licence=values.licence,
    )


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
