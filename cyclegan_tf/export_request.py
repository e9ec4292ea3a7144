"""What can be asked of `export.py`: `Request`, what it refuses, and its flags.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import dataclasses
import re

from absl import flags

from cyclegan_tf import program
from cyclegan_tf.config import UserError

Size = tuple[int, int]

FORMATS = ("savedmodel", "tflite", "keras")
# With the generator of each.
DIRECTIONS = {"A2B": "generator_g", "B2A": "generator_f"}
TFLITE_TYPES = ("float32", "float16", "dynamic_int8", "int8", "int16x8")
TFLITE_IO = ("uint8", "float32")
DEFAULT_MAX_PIXELS = 4096 * 4096


@dataclasses.dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
      run_dir: The run directory.
      output: Folder of the exports; empty: `export` in the run directory.
      formats: Of `FORMATS`.
      directions: Of `DIRECTIONS`; empty: those that the run has.
      version: Number of the SavedModels' version; 0: the next one.
      name: Name of the model; empty: that of the data set.
      tflite_types: Of `TFLITE_TYPES`.
      tflite_io: Of `TFLITE_IO`: what `dynamic_int8` and `int8` files take and give.
      tflite_sizes: (height, width) each, or None for any size; empty: the training
        size.
      num_calibration_pictures: Training pictures that set the scales of `int8` and
        `int16x8` files.
      pictures: Folder of pictures to calibrate and verify on; empty: the data set's.
      max_pixels: Largest picture that the serving signature decodes.
      licence: Told in the model card and in the files.

    Raises:
      UserError: a value is not one of its choices, or out of range.
    """

    run_dir: str
    output: str = ""
    formats: tuple[str, ...] = FORMATS
    directions: tuple[str, ...] = ()
    version: int = 0
    name: str = ""
    tflite_types: tuple[str, ...] = TFLITE_TYPES
    tflite_io: str = "uint8"
    tflite_sizes: tuple[Size | None, ...] = ()
    num_calibration_pictures: int = 100
    pictures: str = ""
    max_pixels: int = DEFAULT_MAX_PIXELS
    licence: str = "not stated"

    def __post_init__(self):
        """Checks every field."""
        if not self.run_dir:
            raise UserError("`run_dir` must name a run. See --help.")
        for name, values, choices in (
            ("formats", self.formats or ("",), FORMATS),
            ("direction", self.directions, DIRECTIONS),
            ("tflite_types", self.tflite_types or ("",), TFLITE_TYPES),
            ("tflite_io", (self.tflite_io,), TFLITE_IO),
        ):
            for value in values:
                program.check_choice(name, value, choices)
        for name, value, minimum in (
            ("version", self.version, 0),
            ("calibration_pictures", self.num_calibration_pictures, 1),
            ("max_pixels", self.max_pixels, 1),
        ):
            if value < minimum:
                raise UserError(
                    f"`{name}` must be at least {minimum}. Received: {value}."
                )
        if not re.fullmatch(r"[\w-]*", self.name, re.ASCII):
            raise UserError(
                "`name` may have letters, digits, - and _ only. "
                f"Received: {self.name!r}."
            )


# Default and text of each flag, by name.
FLAGS = {
    "run_dir": ("", "the run to export"),
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

SUMMARY = (
    "Writes the generators of a run as SavedModels for TF Serving, TFLite files for "
    "phones and Keras files, and tries out each file before it is put in place."
)


def help_text() -> str:
    """What `--help` prints."""
    usage = "python export.py --run_dir RUN [--FLAG VALUE ...]"
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def from_flags(values: flags.FlagValues) -> Request:
    """The request that parsed flags make.

    Raises:
      UserError: a value is not one of its choices, or out of range.
    """
    return Request(
        run_dir=values.run_dir,
        output=values.output,
        formats=_listed(values.formats),
        directions=_listed(values.direction),
        version=values.version,
        name=values.name,
        tflite_types=_listed(values.tflite_types),
        tflite_io=values.tflite_io,
        tflite_sizes=tuple(_size(text) for text in _listed(values.tflite_size)),
        num_calibration_pictures=values.calibration_pictures,
        pictures=values.pictures,
        max_pixels=values.max_pixels,
        licence=values.licence,
    )


def _listed(text: str) -> tuple[str, ...]:
    """The parts between commas, each once."""
    return tuple(
        dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
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
