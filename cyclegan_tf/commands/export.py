"""`export`: the options of an export, from flags.

TensorFlow is imported where it is used, so that `--help` and a wrong flag answer at
once.
"""

import os
import re

from absl import flags

from cyclegan_tf.commands.program import CHECKPOINT, Command, Flag, listed, path
from cyclegan_tf.deploy.export_options import (
    DEFAULT_MAX_PIXELS,
    FORMATS,
    TFLITE_TYPES,
    ExportOptions,
    Size,
)
from cyclegan_tf.messages import UserError, without_native_messages


def _export(values: flags.FlagValues) -> None:
    export = from_flags(values).for_run()
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
    fields = {name: values[name].value for name in EXPORT.flags}
    for name in ("formats", "direction", "tflite_types", "tflite_size"):
        fields[name] = listed(fields[name])
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


EXPORT = Command(
    _export,
    {
        "run_dir": path("the run to export"),
        "checkpoint": CHECKPOINT,
        "formats": Flag(",".join(FORMATS), "formats to write"),
        "direction": Flag(
            "", "A2B translates X to Y, B2A Y to X; empty: all that the run has"
        ),
        "output": path("folder of the exports; empty: RUN_DIR/export"),
        "version": Flag(0, "version number of the SavedModels; 0: the next one"),
        "name": Flag("", "name of the model; empty: after the data set or the model"),
        "tflite_types": Flag(",".join(TFLITE_TYPES), "TFLite files to write"),
        "tflite_size": Flag(
            "",
            "sides of the picture in TFLite files: 256, HEIGHTxWIDTH, any, or several "
            "with commas; empty: the training size",
        ),
        "tflite_io": Flag(
            "uint8",
            "type of the image in dynamic_int8 and int8 files, uint8 or float32; the "
            "others have float32",
        ),
        "calibration_pictures": Flag(
            100, "training pictures that calibrate int8 files"
        ),
        "pictures": path(
            "folder of pictures for calibration and verification; empty: the run's "
            "data set"
        ),
        "max_pixels": Flag(
            DEFAULT_MAX_PIXELS,
            "the server refuses larger pictures before it decodes them",
        ),
        "licence": Flag("not stated", "licence of the model, for its card"),
    },
    "Writes the generators of a run (CycleGAN, pix2pix, dcgan, conditional, vae) as "
    "SavedModels for TF Serving, TFLite files for phones and Keras files, and verifies "
    "each file before it is put in place.",
    ("--run_dir RUN [--FLAG VALUE ...]",),
)
