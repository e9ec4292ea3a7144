"""`export.py` in this process: mistakes that are found once the run is read."""

import pytest
from absl import flags
from helpers.exporting_samples import nothing_changes

from cyclegan_tf.commands.export import EXPORT
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.messages import UserError

# Command lines, with what their one line of error must name.
MISTAKES = {
    "no run": (["--run_dir=missing"], "missing/config.json"),
    "no checkpoint": (["--run_dir=untrained"], "untrained "),
    "wrong direction": (["--run_dir=run", "--direction=B2C"], "`direction`.*'B2C'"),
    "unknown format": (["--run_dir=run", "--formats=keras,onnx"], "`formats`.*'onnx'"),
    "existing version": (
        ["--run_dir=run", "--output=out", "--version=3"],
        "3 of shapes.*out/saved_model",
    ),
    "size that does not fit": (
        ["--run_dir=run", "--tflite_size=32,30x40"],
        "`tflite_size`.* 4.*30x40",
    ),
    "argument": (["--run_dir=run", "more"], "'more'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_and_changes_nothing(model, tmp_path, monkeypatch, mistake):
    (tmp_path / "run").symlink_to(model.config.run_dir)
    (tmp_path / "untrained").mkdir()
    config = (tmp_path / "run/config.json").read_text()
    (tmp_path / "untrained/config.json").write_text(config)
    version = tmp_path / "out/saved_model/shapes_B2A/3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("mine")
    args, told = MISTAKES[mistake]
    values = flags.FlagValues()
    define_flags(EXPORT.flags, values)
    monkeypatch.chdir(tmp_path)
    rest = values(["export.py", *args])[1:]
    with nothing_changes(tmp_path), pytest.raises(UserError, match=told) as error:
        EXPORT(values, *rest)
    assert "\n" not in str(error.value)
