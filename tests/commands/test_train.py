"""`train.py` as a user runs it: every mistake is one line, and nothing is written."""

import json
import os
import re
import subprocess
import sys

import pytest
from helpers.command_lines import ROOT, ends_of
from helpers.exporting_samples import nothing_changes, write_pictures
from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.messages import UserError
from cyclegan_tf.training import train
from cyclegan_tf.training.presets import PRESETS

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
    "--run_dir=run --preset=tiny": ["run holds", "num_filters: 6 there, 4 requested"],
    "--run_dir=run --batch_size=3": ["run holds", "batch_size: 1 there, 3 requested"],
    "--run_dir=run --dataset=maps --noflip": ["flip: True there, False requested"],
}
DAMAGED_CONFIGS = b"", b"[]", b'{"seed": -1}', b'{"sead": 1}', b"\xff\xfe"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The folder that is worked in."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    configs = {"run": Config(**values).to_json().encode()}
    configs |= {f"damaged{i}": text for i, text in enumerate(DAMAGED_CONFIGS)}
    for run, content in configs.items():
        (work / run).mkdir()
        (work / run / "config.json").write_bytes(content)
    table = {f"--run_dir={run}": [f"{run}/config"] for run in configs if run != "run"}
    table |= BAD_FLAGS
    with nothing_changes(work):
        ends = ends_of("train.py", [line.split() for line in table], work)
        ends.append(program("--preset=huge"))
    for end, told in zip(ends, (*table.values(), ["'huge'"]), strict=True):
        is_one_line(end, *told)


def test_help_needs_no_tensorflow(work):
    lines = ["--help"], ["-help"], ["-h"], ["--preset=tiny"]
    with nothing_changes(work):
        *helps, training = ends_of("train.py", list(lines), work)
        helps.append(program("--help"))
    for status, printed, error in helps:
        assert (status, error) == (0, "")
        assert printed.startswith("usage: python train.py ")
        assert set(PRESETS) <= set(printed.split())
    assert training[0] and "import of tensorflow halted" in training[2]


# --- Mistakes that only show with the data, the devices or the disk


@pytest.mark.slow
def test_mistake_that_tensorflow_finds_is_one_line(work):
    """Nothing that its C++ part prints stands beside it."""
    for split in ("trainA", "trainB"):
        write_pictures(work / "pictures" / split, 10)
    (work / "pictures/trainA/0.png").write_bytes(b"no picture")
    options = "--batch_size=2", "--strategy=cpu:2"
    with nothing_changes(work):
        end = program("--preset=tiny", "--dataset=pictures", *options)
    is_one_line(end, "1 of 10 pictures", "trainA", "0.png", "At most 5%")


def test_what_does_not_fit_data_devices_or_disk_is_refused(work, tiny):
    for split in ("small/trainA", "small/trainB", "only/trainA"):
        write_pictures(work / split, 1)
    Image.new("RGB", (28, 28)).save(work / "small/trainB/0.png")
    table = {
        "'horse2zebr'.*shapes.*horse2zebra": {"dataset": "horse2zebr"},
        "only/trainB": {"dataset": "only"},
        "0.png .*28x28 .*32.*load_size": {"dataset": "small", "load_size": 0},
        "`batch_size`.* 2 replicas.* 3": {"batch_size": 3, "strategy": "cpu:2"},
        "`strategy`.*GPU": {"strategy": "mirrored"},
        "^file can't be written to: ": {"run_dir": "file"},
        # Refused to root as well, unlike a read-only folder.
        "^file/below/it can't be written to: ": {"run_dir": "file/below/it"},
    }
    with nothing_changes(work):
        for told, fields in table.items():
            with pytest.raises(UserError, match=told) as caught:
                train.train(tiny(**{"run_dir": "run", **fields}))
            assert "\n" not in str(caught.value)


# --- The plan


@pytest.mark.stack
def test_dry_run_prints_the_plan_and_writes_nothing(work):
    write_pictures(work / "more/trainA", 10)
    write_pictures(work / "more/trainB", 13)
    with nothing_changes(work):
        status, printed, error = program(
            "--preset=tiny", "--dataset=more", "--batch_size=2", "--dry_run"
        )
    assert (status, error) == (0, "")
    values, end = json.JSONDecoder().raw_decode(printed)
    fields = {"dataset": "more", "batch_size": 2, "run_dir": "runs/more-tiny"}
    assert values.pop("model") == "cyclegan"
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
