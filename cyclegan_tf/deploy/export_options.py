"""The options of an export, and the checks on them.

Imports no TensorFlow, so that a wrong value is refused at once.
"""

import dataclasses
import os
import re

from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.messages import UserError, check_choice
from cyclegan_tf.training.run_directory import check_run, load_options

Size = tuple[int, int]

FORMATS = ("savedmodel", "tflite", "keras")
TFLITE_TYPES = ("float32", "float16", "dynamic_int8", "int8")
TFLITE_IO = ("uint8", "float32")
DEFAULT_MAX_PIXELS = 4096 * 4096

TRANSLATORS = ("cyclegan", "pix2pix")
DIGIT_MAKERS = ("dcgan", "conditional", "vae")
_FOR_DIGITS = {"formats": ("savedmodel", "tflite"), "tflite_types": ("float32", "int8")}
_FOR_PICTURES = ("directions", "tflite_io", "tflite_sizes", "pictures", "max_pixels")
_FOR_PICTURES += ("num_calibration_pictures",)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to export, and how.

    The fields are the flags of `commands/export.py`, which describes them. Three have
    other names: `directions`, `num_calibration_pictures`, and `tflite_sizes` with
    (height, width) or None for any size.

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
        """Expands paths and checks every field."""
        for name in ("run_dir", "output", "pictures"):
            path = os.path.expanduser(getattr(self, name))
            object.__setattr__(self, name, path)
        if not self.run_dir:
            raise UserError("`run_dir` must name a run. See --help.")
        _check_choices("formats", self.formats or ("",), FORMATS)
        _check_choices("direction", self.directions, DIRECTIONS)
        _check_choices("tflite_types", self.tflite_types or ("",), TFLITE_TYPES)
        check_choice("tflite_io", self.tflite_io, TFLITE_IO)
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

    def for_run(self) -> "ExportOptions":
        """Checks that the run has a checkpoint and that its model has these options.

        Returns:
          The same options; of all formats and types those that the model has.
        """
        model = load_options(self.run_dir).model
        check_run(self.run_dir, self.checkpoint)
        if model in TRANSLATORS:
            return self
        if model not in DIGIT_MAKERS:
            raise UserError(
                f"`run_dir` {self.run_dir} is a run of the model `{model}`, which "
                f"can't be exported; {', '.join(TRANSLATORS + DIGIT_MAKERS)} can."
            )
        fitting = {}
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _FOR_PICTURES and value != field.default:
                raise UserError(f"The export of a `{model}` has no `{name}`.")
            if name in _FOR_DIGITS:
                everything = set(value) == set(field.default)
                fitting[name] = _FOR_DIGITS[name] if everything else value
                _check_choices(name, fitting[name], _FOR_DIGITS[name])
        return dataclasses.replace(self, **fitting)


def _check_choices(name: str, values, choices) -> None:
    for value in values:
        check_choice(name, value, choices)
