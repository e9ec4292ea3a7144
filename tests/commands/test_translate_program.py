"""`translate` as a user runs it."""

import os
import pathlib
import re
import subprocess
import sys

from absl import flags
from helpers.translations import assert_near, damage, direct, load, picture, save

from cyclegan_tf.commands import translate
from cyclegan_tf.commands.program import define_flags

ROOT = pathlib.Path(__file__).parents[2]


def program(folder: pathlib.Path, *args, tensorflow=True):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # The program must see to it.
    if not tensorflow:
        fakes = folder.parent / f"{folder.name} without tensorflow"
        for name in ("tensorflow", "keras"):
            (fakes / name).mkdir(parents=True, exist_ok=True)
            text = f"raise SystemExit('{name} was imported')\n"
            (fakes / name / "__init__.py").write_text(text)
        environment["PYTHONPATH"] = f"{fakes}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, "-m", "cyclegan_tf", "translate", *args],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_help_names_every_flag_without_tensorflow(tmp_path):
    result = program(tmp_path, "--help", tensorflow=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: python -m cyclegan_tf translate --run_dir")
    values = flags.FlagValues()
    define_flags(translate.FLAGS, values)
    named = re.findall(r"^  --(?:\[no\])?(\w+)", result.stdout, re.MULTILINE)
    assert sorted(named) == sorted({*values} | {"help"})
    assert max(map(len, result.stdout.splitlines())) <= 88


def test_refused_flag_is_one_line_without_tensorflow(tmp_path):
    result = program(tmp_path, "--input=a", "--output=b", tensorflow=False)
    told = "error: Either --run_dir or --model must be given. See --help.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", told)


def test_missing_run_is_one_line(tmp_path):
    save(tmp_path, a__png=picture(8, 8))
    result = program(tmp_path, "--input=a.png", "--output=out", "--run_dir=no")
    told = "error: No configuration at no/config.json: No such file or directory.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", told)
    assert os.listdir(tmp_path) == ["a.png"]


def test_missing_run_is_told_before_pictures_are_looked_at(tmp_path):
    for name in ("a.heic", "b.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"no picture")
    args = "--input=in", "--output=out", "--run_dir=no"
    result = program(tmp_path, *args, tensorflow=False)
    told = "error: No configuration at no/config.json: No such file or directory.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", told)


def test_broken_link_is_counted_as_unreadable(run, tmp_path, capsys):
    save(tmp_path / "in", a__png=picture(8, 8))
    (tmp_path / "in/b.png").symlink_to("nowhere")
    run("--input=in", "--output=out")
    told = capsys.readouterr()
    assert told.err == (
        "Skipped: 1 of 2 pictures can't be read: b.png.\n"
        "  b.png: No such file or directory\n"
    )
    assert os.listdir(tmp_path / "out") == ["a.png"]


def test_program_translates_and_says_so(model, tmp_path):
    save(tmp_path / "in", a__png=picture(33, 47), b__png=picture(8, 8))
    damage(tmp_path / "in/b.png")
    (tmp_path / "in/c.heic").touch()
    run_dir = f"--run_dir={model.config.run_dir}"
    result = program(tmp_path, run_dir, "--input", "in", "--output", "out")
    assert result.stderr == (
        "Left out of in, no pictures: 1 .heic.\n"
        "Skipped: 1 of 2 pictures can't be read: b.png.\n"
        "  b.png: image file is truncated\n"
    )
    assert (result.returncode, result.stdout) == (0, "Translated 1 picture to out\n")
    made = load(tmp_path / "out/a.png")
    assert_near(made, direct(model.generator_g, picture(33, 47)))
