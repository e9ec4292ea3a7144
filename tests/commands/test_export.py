"""`export.py` as a user runs it: what it prints, and mistakes told in one line."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import pytest
from helpers.exporting_samples import files, saved_run

SCRIPT = pathlib.Path(__file__).parents[2] / "export.py"

# Command lines with their one line of error.
MISTAKES = {
    "no run": (
        ["--run_dir=missing"],
        "No configuration at missing/config.json: No such file or directory.",
    ),
    "no checkpoint": (["--run_dir=untrained"], "untrained has no checkpoint yet."),
    "wrong direction": (
        ["--run_dir=run", "--direction=B2C"],
        "`direction` must be one of A2B, B2A. Received: 'B2C'.",
    ),
    "unknown format": (
        ["--run_dir=run", "--formats=keras,onnx"],
        "`formats` must be one of savedmodel, tflite, keras. Received: 'onnx'.",
    ),
    "existing version": (
        ["--run_dir=run", "--output=out", "--version=3"],
        "Version 3 of shapes exists in out/saved_model. Versions are never written "
        "over.",
    ),
    "size that does not fit": (
        ["--run_dir=run", "--tflite_size=32,30x40"],
        "`tflite_size` must be multiples of 4, at least 8, for this generator. "
        "Received: 30x40.",
    ),
}
SUCCESS = [
    "--run_dir=run",
    "--output=exports",
    "--formats=savedmodel,tflite",
    "--direction=B2A",
    "--tflite_types=float16,int8",
    "--calibration_pictures=2",
]


def work_in(folder) -> None:
    """Makes a trained run, one without a checkpoint, and an export of version 3."""
    saved_run(folder / "run")
    (folder / "untrained").mkdir()
    config = (folder / "run/config.json").read_text()
    (folder / "untrained/config.json").write_text(config)
    version = folder / "out/saved_model/shapes_B2A/3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("mine")


def export(folder, args) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # export.py must see to it.
    return subprocess.run(
        [sys.executable, str(SCRIPT), *args],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    """The folder of all mistakes, what was in it, and how each ended."""
    folder = tmp_path_factory.mktemp("mistakes")
    work_in(folder)
    before = files(folder)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        lines = [args for args, _ in MISTAKES.values()]
        results = list(pool.map(lambda args: export(folder, args), lines))
    return folder, before, dict(zip(MISTAKES, results, strict=True))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_in_one_line(mistaken, mistake):
    result = mistaken[2][mistake]
    assert result.stderr == f"error: {MISTAKES[mistake][1]}\n"
    assert (result.returncode, result.stdout) == (1, "")


def test_mistakes_leave_all_files_as_they_were(mistaken):
    folder, before, _ = mistaken
    assert files(folder) == before


def test_success_prints_the_table_and_the_file_for_a_phone(tmp_path):
    work_in(tmp_path)
    result = export(tmp_path, SUCCESS)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    version = "saved_model/shapes_B2A/1"
    paths = [f"{version}:{s}" for s in ("translate_float", "translate")]
    paths += [f"{version}:serving_default", "tflite/shapes_B2A_float16.tflite"]
    paths += ["tflite/shapes_B2A_int8.tflite"]
    (head,) = (i for i, line in enumerate(lines) if line.split()[:2] == ["file", "MB"])
    table = lines[head + 1 : head + 1 + len(paths)]
    assert [line.split()[0] for line in table] == paths
    assert lines[head + 1 + len(paths) :] == [
        "For a phone, B2A: exports/tflite/shapes_B2A_int8.tflite",
        "Exported version 1 to exports",
    ]
    assert (tmp_path / "exports" / version / "saved_model.pb").is_file()
    assert (tmp_path / "exports/tflite/shapes_B2A_int8.tflite").is_file()
