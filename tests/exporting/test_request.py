"""Flags of `export.py`, the request they make, and `--help`."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags

from cyclegan_tf.commands import export, program
from cyclegan_tf.config import Config
from cyclegan_tf.exporting.request import Request
from cyclegan_tf.run_directory import save_config
from cyclegan_tf.validation import UserError

ROOT = pathlib.Path(__file__).parents[2]

# Every field with its default.
DEFAULTS = {
    "run_dir": "",
    "output": "",
    "formats": ("savedmodel", "tflite", "keras"),
    "directions": (),
    "version": 0,
    "name": "",
    "tflite_types": ("float32", "float16", "dynamic_int8", "int8", "int16x8"),
    "tflite_io": "uint8",
    "tflite_sizes": (),
    "num_calibration_pictures": 100,
    "pictures": "",
    "max_pixels": 4096 * 4096,
    "licence": "not stated",
    "checkpoint": "latest",
}

# Every flag with a value that is not its default, its field, and the value there.
OTHER_VALUES = {
    "run_dir": ("runs/other", "run_dir", "runs/other"),
    "output": ("exports", "output", "exports"),
    "formats": ("keras,tflite", "formats", ("keras", "tflite")),
    "direction": ("B2A", "directions", ("B2A",)),
    "version": ("7", "version", 7),
    "name": ("my-Model_2", "name", "my-Model_2"),
    "tflite_types": ("int8,float16", "tflite_types", ("int8", "float16")),
    "tflite_io": ("float32", "tflite_io", "float32"),
    "tflite_size": ("64,any", "tflite_sizes", ((64, 64), None)),
    "calibration_pictures": ("5", "num_calibration_pictures", 5),
    "pictures": ("photos", "pictures", "photos"),
    "max_pixels": ("1000", "max_pixels", 1000),
    "licence": ("CC BY 4.0", "licence", "CC BY 4.0"),
    "checkpoint": ("best", "checkpoint", "best"),
}

_FORMATS = "savedmodel, tflite, keras"
_TYPES = "float32, float16, dynamic_int8, int8, int16x8"

# Command lines with the sentence that refuses them.
REFUSALS = {
    "--run_dir=": "`run_dir` must name a run. See --help.",
    "--formats=onnx": f"`formats` must be one of {_FORMATS}. Received: 'onnx'.",
    "--formats=keras,h5": f"`formats` must be one of {_FORMATS}. Received: 'h5'.",
    "--formats=": f"`formats` must be one of {_FORMATS}. Received: ''.",
    "--formats= , ": f"`formats` must be one of {_FORMATS}. Received: ''.",
    "--formats=Keras": f"`formats` must be one of {_FORMATS}. Received: 'Keras'.",
    "--direction=a2b": "`direction` must be one of A2B, B2A. Received: 'a2b'.",
    "--tflite_types=int4": f"`tflite_types` must be one of {_TYPES}. Received: 'int4'.",
    "--tflite_types=": f"`tflite_types` must be one of {_TYPES}. Received: ''.",
    "--tflite_io=int8": "`tflite_io` must be one of uint8, float32. Received: 'int8'.",
    "--tflite_io=": "`tflite_io` must be one of uint8, float32. Received: ''.",
    "--version=-1": "`version` must be at least 0. Received: -1.",
    "--calibration_pictures=0": "`calibration_pictures` must be at least 1. "
    "Received: 0.",
    "--max_pixels=0": "`max_pixels` must be at least 1. Received: 0.",
    "--name=a/b": "`name` may have letters, digits, - and _ only. Received: 'a/b'.",
    "--name=a:b": "`name` may have letters, digits, - and _ only. Received: 'a:b'.",
    "--name=..": "`name` may have letters, digits, - and _ only. Received: '..'.",
    "--name=pferd zebra": "`name` may have letters, digits, - and _ only. "
    "Received: 'pferd zebra'.",
    "--name=bär": "`name` may have letters, digits, - and _ only. Received: 'bär'.",
    "--name=a\n": "`name` may have letters, digits, - and _ only. Received: 'a\\n'.",
}

BAD_SIZES = [
    "-4",
    "12x",
    "x12",
    "x",
    "1x2x3",
    "abc",
    "Any",
    "256X128",
    "256 x 128",
    "25.6",
    "100000",
    "256;128",
]


@pytest.fixture
def parsed(monkeypatch):
    """The flags of `export.py` alone: those of other programs share their names."""
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    program.define_flags(export.FLAGS, values)
    return values


@pytest.fixture
def request_of(parsed):
    """From command line arguments to a `Request`, of the run `r` if none is named."""

    def parse(*args: str) -> Request:
        parsed(["export.py", "--run_dir=r", *args])
        return export.from_flags(parsed)

    return parse


def refused(message: str):
    return pytest.raises(UserError, match=f"^{re.escape(message)}$")


# --- Flags and fields


def test_without_flags_everything_is_exported(request_of):
    assert dataclasses.asdict(request_of()) == {**DEFAULTS, "run_dir": "r"}


def test_defaults_of_the_fields_are_those_of_the_flags(request_of):
    assert request_of() == Request("r")


def test_every_flag_and_every_field_has_a_row(parsed):
    assert set(OTHER_VALUES) == set(parsed)
    fields = {field.name for field in dataclasses.fields(Request)}
    assert {field for _, field, _ in OTHER_VALUES.values()} == fields == set(DEFAULTS)


@pytest.mark.parametrize("flag", OTHER_VALUES)
def test_flag_sets_its_field_and_no_other(request_of, flag):
    text, field, value = OTHER_VALUES[flag]
    assert value != DEFAULTS[field]
    expected = dataclasses.replace(Request("r"), **{field: value})
    assert request_of(f"--{flag}={text}") == expected


@pytest.mark.parametrize("text", ["two", "1.5", ""])
@pytest.mark.parametrize("flag", ["version", "calibration_pictures", "max_pixels"])
def test_count_must_be_a_whole_number(request_of, flag, text):
    with pytest.raises(flags.IllegalFlagValueError, match=flag):
        request_of(f"--{flag}={text}")


# --- Lists


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("keras", ("keras",)),
        (" keras , tflite ", ("keras", "tflite")),
        ("tflite,keras,tflite", ("tflite", "keras")),
        ("keras, keras", ("keras",)),
        (",keras,,tflite,", ("keras", "tflite")),
    ],
)
def test_list_is_parted_at_commas_in_its_order_each_once(request_of, text, formats):
    assert request_of(f"--formats={text}").formats == formats


def test_all_lists_take_spaces_and_doubles(request_of):
    request = request_of(
        "--direction=B2A, A2B,B2A",
        "--tflite_types=int8 ,float32, int8",
        "--tflite_size= any, 64 ,any",
    )
    assert request.directions == ("B2A", "A2B")
    assert request.tflite_types == ("int8", "float32")
    assert request.tflite_sizes == (None, (64, 64))


# --- Sizes


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("", ()),
        ("256", ((256, 256),)),
        ("48x96", ((48, 96),)),
        ("any", (None,)),
        ("256,48x96,any", ((256, 256), (48, 96), None)),
        ("99999", ((99999, 99999),)),
    ],
)
def test_tflite_size_is_a_side_or_height_and_width_or_any(request_of, text, sizes):
    assert request_of(f"--tflite_size={text}").tflite_sizes == sizes


@pytest.mark.parametrize("text", BAD_SIZES)
def test_bad_tflite_size_is_refused(request_of, text):
    with refused(
        f"`tflite_size` must be a number, HEIGHTxWIDTH or any. Received: {text!r}."
    ):
        request_of(f"--tflite_size=256,{text}")


# --- Refusals


@pytest.mark.parametrize("argument", REFUSALS)
def test_value_that_is_no_choice_or_out_of_range_is_refused(request_of, argument):
    with refused(REFUSALS[argument]):
        request_of(argument)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("formats", (), "`formats` must be .* Received: ''"),
        ("directions", ("A2B", "B2C"), "`direction` must be .* Received: 'B2C'"),
        ("tflite_types", (), "`tflite_types` must be .* Received: ''"),
        ("tflite_io", "", "`tflite_io` must be .* Received: ''"),
        ("version", -1, "`version` must be at least 0"),
        ("num_calibration_pictures", 0, "`calibration_pictures` must be at least 1"),
        ("max_pixels", 0, "`max_pixels` must be at least 1"),
        ("name", "a.b", "`name` may have .* Received: 'a.b'"),
    ],
)
def test_request_made_in_code_is_checked_too(field, value, told):
    with pytest.raises(UserError, match=told):
        Request("r", **{field: value})


def test_run_must_be_named_in_code_too():
    with refused("`run_dir` must name a run. See --help."):
        Request("")


@pytest.mark.parametrize("field", ["version", "num_calibration_pictures", "max_pixels"])
def test_smallest_count_is_accepted(field):
    smallest = 0 if field == "version" else 1
    assert getattr(Request("r", **{field: smallest}), field) == smallest


# --- Help


@pytest.fixture
def help_lines(parsed):
    return export.help_text("python export.py").splitlines()


@pytest.mark.parametrize("flag", OTHER_VALUES)
def test_help_lists_the_flag_once_with_text_and_default(parsed, help_lines, flag):
    found = re.compile(rf"  --{flag}(\s|$)")
    assert len([line for line in help_lines if found.match(line)]) == 1
    _, field, _ = OTHER_VALUES[flag]
    default = DEFAULTS[field]
    if isinstance(default, tuple):
        default = ",".join(default)
    _, text = export.FLAGS[flag]
    told = text if default in ("", ()) else f"{text} (default: {default})"
    assert f" {told} " in " ".join([*" ".join(help_lines).split(), ""])


def test_help_of_a_zero_tells_it(help_lines):
    assert "the next one (default: 0)" in " ".join(" ".join(help_lines).split())


def test_help_begins_with_the_usage_and_fits_88_columns(help_lines):
    assert help_lines[0] == "usage: python export.py --run_dir RUN [--FLAG VALUE ...]"
    assert [line for line in help_lines if len(line) > 88] == []


# --- Without TensorFlow


@pytest.fixture
def without_tensorflow(tmp_path):
    """Runs Python where importing tensorflow or keras fails."""
    for name in ("tensorflow", "keras"):
        (tmp_path / "stub" / name).mkdir(parents=True)
        text = f"raise SystemExit('{name} was imported')\n"
        (tmp_path / "stub" / name / "__init__.py").write_text(text)

    def run(*args) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *args],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "stub")},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_fake_tensorflow_would_be_noticed(without_tensorflow, tmp_path):
    save_config(Config(run_dir=str(tmp_path)))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/step-1.index").touch()
    result = without_tensorflow("export.py", f"--run_dir={tmp_path}")
    assert result.returncode != 0
    assert "was imported" in result.stderr


@pytest.mark.parametrize("flag", ["--help", "-help", "-h"])
def test_help_needs_no_tensorflow(without_tensorflow, help_lines, flag):
    result = without_tensorflow("export.py", flag)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == help_lines


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--run_dir=r", "--formats=onnx"], "'onnx'"),
        (["--run_dir=r", "--tflite_size=abc"], "'abc'"),
        (["--run_dir=r", "--version=two"], "two"),
        (["--run_dri=r"], "run_dri"),
        (["runs/r"], "Not a flag: 'runs/r'"),
        ([], "`run_dir` must name a run"),
    ],
)
def test_mistake_in_the_flags_is_one_line_without_tensorflow(
    without_tensorflow, args, told
):
    result = without_tensorflow("export.py", *args)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert told in result.stderr


def test_request_records_and_verification_import_no_tensorflow(without_tensorflow):
    names = "request, records, verification"
    code = f"from cyclegan_tf.exporting import {names}"
    result = without_tensorflow("-c", code)
    assert (result.returncode, result.stderr) == (0, "")
