"""Flags of `export.py`, the options from them, and wrong values."""

import dataclasses

import pytest
from absl import flags
from helpers.exporting_samples import ROOT, assert_refused, program

from cyclegan_tf.commands import export
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.config import Config
from cyclegan_tf.deploy.export_options import ExportOptions
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import save_config

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


def request_of(*args: str) -> ExportOptions:
    """From command line arguments to a request, of the run `r` if none is named."""
    values = flags.FlagValues()
    define_flags(export.EXPORT.flags, values)
    values(["export.py", "--run_dir=r", *args])
    return export.from_flags(values)


# --- Flags and fields


def test_flag_sets_its_field_and_no_other():
    default = ExportOptions("r")
    assert request_of() == default
    fields = {field.name for field in dataclasses.fields(ExportOptions)}
    assert {field for _, field, _ in OTHER_VALUES.values()} == fields
    assert set(OTHER_VALUES) == set(export.EXPORT.flags)
    for flag, (text, field, value) in OTHER_VALUES.items():
        assert value != getattr(default, field)
        expected = dataclasses.replace(default, **{field: value})
        assert request_of(f"--{flag}={text}") == expected, flag


def test_list_is_parted_at_commas_in_its_order_each_once():
    for text, formats in {
        " keras , tflite ": ("keras", "tflite"),
        "tflite,keras,tflite": ("tflite", "keras"),
        "keras, keras": ("keras",),
        ",keras,,tflite,": ("keras", "tflite"),
    }.items():
        assert request_of(f"--formats={text}").formats == formats
    for text, sizes in {
        "": (),
        "256": ((256, 256),),
        "256,48x96,any": ((256, 256), (48, 96), None),
        "99999": ((99999, 99999),),
    }.items():
        assert request_of(f"--tflite_size={text}").tflite_sizes == sizes
    request = request_of(
        "--direction=B2A, A2B,B2A",
        "--tflite_types=int8 ,float32, int8",
        "--tflite_size= any, 64 ,any",
    )
    assert request.directions == ("B2A", "A2B")
    assert request.tflite_types == ("int8", "float32")
    assert request.tflite_sizes == (None, (64, 64))


# --- Refusals


@pytest.mark.parametrize("flag", REFUSED)
def test_value_that_is_no_choice_or_out_of_range_is_refused(flag):
    for text in REFUSED[flag]:
        with pytest.raises(UserError, match=f"^`{flag}` ") as error:
            request_of(f"--{flag}={text}")
        last = text.split(",")[-1].strip() if flag != "name" else text
        assert last in str(error.value) or repr(last) in str(error.value)
        assert "\n" not in str(error.value)


def test_count_must_be_a_whole_number():
    for flag in ("version", "calibration_pictures", "max_pixels"):
        for text in ("two", "1.5", ""):
            with pytest.raises(flags.IllegalFlagValueError, match=flag):
                request_of(f"--{flag}={text}")


def test_request_made_in_code_is_checked_too():
    with pytest.raises(UserError, match="`run_dir`"):
        ExportOptions("")
    for field in ("formats", "tflite_types"):
        with pytest.raises(UserError, match=f"`{field}`.*''"):
            ExportOptions("r", **{field: ()})
    for field in ("num_calibration_pictures", "max_pixels"):
        assert getattr(ExportOptions("r", **{field: 1}), field) == 1


# --- Without TensorFlow

WITHOUT = ("tensorflow", "keras")


def test_paths_given_in_code_are_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    options = ExportOptions("~/run", output="~/out", pictures="~/pictures")
    found = options.run_dir, options.output, options.pictures
    assert found == ("/home/me/run", "/home/me/out", "/home/me/pictures")


def test_mistakes_and_help_need_no_tensorflow(tmp_path):
    script = str(ROOT / "export.py")
    for args, told in {
        ("--run_dir=r", "--formats=onnx"): "'onnx'",
        ("--run_dri=r",): "run_dri",
        ("runs/r",): "'runs/r'",
    }.items():
        assert_refused(program(tmp_path, script, *args, without=WITHOUT), told)
    result = program(tmp_path, script, "-h", without=WITHOUT)
    assert (result.returncode, result.stderr) == (0, "")
    for flag in OTHER_VALUES:
        assert f"  --{flag} " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 88
    code = "from cyclegan_tf.deploy import export_options, model_card, serving_client"
    result = program(tmp_path, "-c", code, without=WITHOUT)
    assert (result.returncode, result.stderr) == (0, "")


def test_fake_tensorflow_would_be_noticed(tmp_path):
    save_config(Config(run_dir=str(tmp_path)))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/step-1.index").touch()
    script = str(ROOT / "export.py")
    result = program(tmp_path, script, "--run_dir=.", without=WITHOUT)
    assert result.returncode != 0 and "was imported" in result.stderr
