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

# Flags, with values that are refused.
REFUSED = {
    "formats": ("onnx", "keras,h5", "", " , ", "Keras"),
    "direction": ("a2b", "A2B,B2C"),
    "tflite_types": ("int4", ""),
    "tflite_io": ("int8", ""),
    "version": ("-1",),
    "calibration_pictures": ("0",),
    "max_pixels": ("0",),
    "name": ("a/b", "a:b", "..", "pferd zebra", "bär", "a\n", "a.b"),
    "tflite_size": ("-4", "12x", "x12", "x", "1x2x3", "abc", "Any", "256X128")
    + ("256 x 128", "25.6", "100000", "256,256;128"),
}


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
        for name in parsed:
            parsed[name].unparse()
        parsed(["export.py", "--run_dir=r", *args])
        return export.from_flags(parsed)

    return parse


# --- Flags and fields


def test_flag_sets_its_field_and_no_other(request_of, parsed):
    default = Request("r")
    assert request_of() == default
    fields = {field.name for field in dataclasses.fields(Request)}
    assert {field for _, field, _ in OTHER_VALUES.values()} == fields
    assert set(OTHER_VALUES) == set(parsed)
    for flag, (text, field, value) in OTHER_VALUES.items():
        assert value != getattr(default, field)
        expected = dataclasses.replace(default, **{field: value})
        assert request_of(f"--{flag}={text}") == expected, flag


def test_list_is_parted_at_commas_in_its_order_each_once(request_of):
    for text, formats in {
        " keras , tflite ": ("keras", "tflite"),
        "tflite,keras,tflite": ("tflite", "keras"),
        "keras, keras": ("keras",),
        ",keras,,tflite,": ("keras", "tflite"),
    }.items():
        assert request_of(f"--formats={text}").formats == formats
    request = request_of(
        "--direction=B2A, A2B,B2A",
        "--tflite_types=int8 ,float32, int8",
        "--tflite_size= any, 64 ,any",
    )
    assert request.directions == ("B2A", "A2B")
    assert request.tflite_types == ("int8", "float32")
    assert request.tflite_sizes == (None, (64, 64))


def test_tflite_size_is_a_side_or_height_and_width_or_any(request_of):
    for text, sizes in {
        "": (),
        "256": ((256, 256),),
        "48x96": ((48, 96),),
        "256,48x96,any": ((256, 256), (48, 96), None),
        "99999": ((99999, 99999),),
    }.items():
        assert request_of(f"--tflite_size={text}").tflite_sizes == sizes


# --- Refusals


@pytest.mark.parametrize("flag", REFUSED)
def test_value_that_is_no_choice_or_out_of_range_is_refused(request_of, flag):
    for text in REFUSED[flag]:
        with pytest.raises(UserError, match=f"^`{flag}` ") as error:
            request_of(f"--{flag}={text}")
        last = text.split(",")[-1].strip() if flag != "name" else text
        assert last in str(error.value) or repr(last) in str(error.value)
        assert "\n" not in str(error.value)


def test_count_must_be_a_whole_number(request_of):
    for flag in ("version", "calibration_pictures", "max_pixels"):
        for text in ("two", "1.5", ""):
            with pytest.raises(flags.IllegalFlagValueError, match=flag):
                request_of(f"--{flag}={text}")


def test_request_made_in_code_is_checked_too():
    with pytest.raises(UserError, match="`run_dir`"):
        Request("")
    for field in ("formats", "tflite_types"):
        with pytest.raises(UserError, match=f"`{field}`.*''"):
            Request("r", **{field: ()})
    with pytest.raises(UserError, match="`direction`.*'B2C'"):
        Request("r", directions=("A2B", "B2C"))
    smallest = {"version": 0, "num_calibration_pictures": 1, "max_pixels": 1}
    for field, value in smallest.items():
        assert getattr(Request("r", **{field: value}), field) == value
        told = f"`{field.removeprefix('num_')}`.*{value - 1}"
        with pytest.raises(UserError, match=told):
            Request("r", **{field: value - 1})


# --- Help, and mistakes, without TensorFlow


def test_help_names_every_flag_and_fits_88_columns(parsed):
    text = export.help_text("python export.py")
    assert text.startswith("usage: python export.py --run_dir RUN ")
    named = re.findall(r"^  --(\w+)", text, re.MULTILINE)
    assert sorted(named) == sorted([*OTHER_VALUES, "help"])
    assert "(default: 0)" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 88


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


def test_help_needs_no_tensorflow(without_tensorflow):
    result = without_tensorflow("export.py", "-h")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: python export.py ")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--run_dir=r", "--formats=onnx"], "'onnx'"),
        (["--run_dri=r"], "run_dri"),
        (["runs/r"], "'runs/r'"),
        ([], "`run_dir`"),
    ],
)
def test_mistake_in_the_flags_is_one_line_without_tensorflow(
    without_tensorflow, args, told
):
    result = without_tensorflow("export.py", *args)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_request_records_and_verification_import_no_tensorflow(without_tensorflow):
    names = "request, records, verification"
    result = without_tensorflow("-c", f"from cyclegan_tf.exporting import {names}")
    assert (result.returncode, result.stderr) == (0, "")
