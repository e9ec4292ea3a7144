"""What can be asked of an export: `Request`, and what it refuses.

Imports no TensorFlow, so that a refused value is told at once.
"""

import dataclasses
import re

from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.validation import UserError, check_choice

Size = tuple[int, int]

FORMATS = ("savedmodel", "tflite", "keras")
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
      checkpoint: `latest`, `best` (see `keep_best`) or a step.

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
    checkpoint: str = "latest"

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
                check_choice(name, value, choices)
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
