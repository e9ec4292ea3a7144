"""`train.py` as a user runs it: every mistake is one line, and nothing is written."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers.command_lines import ROOT, ends_of
from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.training import train
from cyclegan_tf.validation import UserError

# Command lines with what the one line of error must hold.
BAD_FLAGS = {
    "--no_such_flag=1": ["no_such_flag", "--help"],
    "--batch_sise=2": ["batch_sise", "batch_size", "--help"],
    "--batch_size=two": ["batch_size", "two"],
    "--batch_size=1.5": ["batch_size", "1.5"],
    "--batch_size": ["batch_size"],
    "--flip=maybe": ["flip", "maybe"],
    "--flagfile=missing.txt": ["missing.txt"],
    "horse2zebra": ["'horse2zebra'", "--help"],
    "--preset=tiny two": ["'two'", "--help"],
    "--preset tiny --flip false": ["'false'", "--help"],
    "--preset=huge": ["`preset`", "'huge'", *PRESETS],
    "--adversarial_loss=huber": ["`adversarial_loss`", "'huber'", "least_squares, "],
    "--generator=resnet6": ["`generator`", "'resnet6'", "resnet, unet"],
    "--batch_size=-1": ["`batch_size`", "at least 1", "-1"],
    "--dry_run --batch_size=0": ["`batch_size`", "at least 1", "0"],
    "--lambda_cycle=-1": ["`lambda_cycle`", "at least 0", "-1"],
    "--learning_rate=nan": ["`learning_rate`", "finite", "nan"],
    "--image_size=250": ["`image_size`", "multiple of 4", "250"],
    "--preset=unet --image_size=128": ["multiple of 256", "`unet`", "128"],
    "--strategy=cpu:0": ["`strategy`", "'cpu:0'"],
    "--preset=tiny --seed=4294967296": ["`seed`", "4294967296"],
    "--run_dir=run --preset=tiny": ["run holds", "num_filters: 6 there, 4 asked for"],
    "--run_dir=run --batch_size=3": ["run holds", "batch_size: 1 there, 3 asked for"],
    "--run_dir=run --dataset=maps --noflip": ["flip: True there, False asked for"],
}
DAMAGED_CONFIGS = (
    b"",
    b'{"seed": 1',
    b"[]",
    b'{"seed": -1}',
    b'{"sead": 1}',
    b"\xff\xfe",
)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The folder that is worked in, which has a data set of ten pictures a domain."""
    for split in ("trainA", "trainB"):
        write_pictures(tmp_path / "pictures" / split, 10)
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_pictures(folder: pathlib.Path, number: int, side: int = 32) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for i in range(number):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def contents(folder: pathlib.Path) -> dict:
    """Every path below a folder, with the bytes of the files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def program(*args: str) -> tuple[int, str, str]:
    """What `train.py` ends with, without any GPU."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # train.py must see to it.
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *args],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def is_one_line(end: tuple[int, str, str], *told: str) -> None:
    status, printed, error = end
    assert status > 0 and "Traceback" not in printed
    assert error.startswith("error: ") and error.strip().count("\n") == 0, error
    for text in told:
        assert text in error


# --- Mistakes that are told before TensorFlow is imported


def test_bad_flags_and_runs_are_refused_without_tensorflow(work):
    values = {**PRESETS["tiny"].values, "num_filters": 6}
    configs = [Config(**values).to_json().encode(), *DAMAGED_CONFIGS]
    runs = ["run", *(f"damaged{i}" for i in range(len(DAMAGED_CONFIGS)))]
    for run, content in zip(runs, configs, strict=True):
        (work / run).mkdir()
        (work / run / "config.json").write_bytes(content)
    before = contents(work)
    table = BAD_FLAGS | {f"--run_dir={run}": [f"{run}/config"] for run in runs[1:]}
    ends = ends_of("train.py", [line.split() for line in table], work)
    for end, told in zip(ends, table.values(), strict=True):
        is_one_line(end, *told)
    is_one_line(program("--preset=huge"), *BAD_FLAGS["--preset=huge"])
    assert contents(work) == before


def test_help_needs_no_tensorflow(work):
    before = contents(work)
    lines = ["--help"], ["-help"], ["-h"], ["--preset=tiny"]
    *helps, training = ends_of("train.py", list(lines), work)
    for status, printed, error in (*helps, program("--help")):
        assert (status, error) == (0, "")
        assert printed.startswith("usage: python train.py ")
        assert set(PRESETS) <= set(printed.split())
    assert training[0] and "import of tensorflow halted" in training[2]
    assert contents(work) == before


# --- Mistakes that only show with the data, the devices or the disk


@pytest.mark.slow
def test_mistakes_that_tensorflow_finds_are_one_line(work):
    """Nothing that its C++ part prints stands beside it."""
    (work / "pictures/trainA/0.png").write_bytes(b"no picture")
    before = contents(work)
    end = program("--preset=tiny", "--dataset=pictures")
    is_one_line(end, "1 of 10 pictures", "trainA", "0.png", "At most 5%")
    end = program("--preset=tiny", "--batch_size=3", "--strategy=cpu:2")
    is_one_line(end, "`batch_size`", "2 replicas", "3")
    assert contents(work) == before


def test_what_does_not_fit_data_devices_or_disk_is_refused(work, tiny):
    write_pictures(work / "small/trainA", 1)
    write_pictures(work / "small/trainB", 1, side=28)
    write_pictures(work / "only/trainA", 1)
    before, small = contents(work), {"dataset": "small", "load_size": 0}
    for told, fields in {
        "'horse2zebr'.*shapes.*horse2zebra": {"dataset": "horse2zebr"},
        "only/trainB": {"dataset": "only"},
        "0.png .*28x28 .*`image_size` 32.*load_size": small,
        "`batch_size`.* 2 replicas.* 3": {"batch_size": 3, "strategy": "cpu:2"},
        "`strategy`.*GPU": {"strategy": "mirrored"},
        "`run_dir` file ": {"run_dir": "file"},
        # Refused to root as well, unlike a read-only folder.
        "`run_dir` file/below/it ": {"run_dir": "file/below/it"},
    }.items():
        with pytest.raises(UserError, match=told) as caught:
            train.train(tiny(**{"run_dir": "run", **fields}))
        assert "\n" not in str(caught.value)
    assert contents(work) == before


# --- The plan


@pytest.mark.stack
def test_dry_run_prints_the_plan_and_writes_nothing(work):
    write_pictures(work / "pictures/trainB", 13)
    before = contents(work)
    status, printed, error = program(
        "--preset=tiny", "--dataset=pictures", "--batch_size=2", "--dry_run"
    )
    assert (status, error) == (0, "")
    values, end = json.JSONDecoder().raw_decode(printed)
    fields = {"dataset": "pictures", "batch_size": 2, "run_dir": "runs/pictures-tiny"}
    assert Config(**values) == Config(**{**PRESETS["tiny"].values, **fields})
    # (side, from, to) of each kernel; none before an instance norm has a bias.
    resnet = [(7, 3, 4), (3, 4, 8), (3, 8, 16), (3, 16, 16), (3, 16, 16)]
    resnet += [(3, 16, 8), (3, 8, 4), (7, 4, 3)]
    patchgan = [(4, 3, 4), (4, 4, 8), (4, 8, 16), (4, 16, 1)]
    generator = sum(k * k * a * b for k, a, b in resnet) + 3
    discriminator = sum(k * k * a * b for k, a, b in patchgan) + 4 + 1
    for names, number in (("gf", generator), ("xy", discriminator)):
        for name in names:
            assert f"_{name}: {number:,} parameters\n" in printed[end:]
    assert re.search(r"batch: 2 .* 0\.0002\n", printed)
    assert re.search(r"steps: 14 .*7 .* 10 and 13 ", printed)
    assert contents(work) == before
