"""`train.py` as a user runs it: every mistake is one line, and nothing is written."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.presets import PRESETS

SCRIPT = pathlib.Path(__file__).parents[2] / "train.py"

# Command lines with what the one line of error must hold.
BAD_FLAGS = [
    (["--no_such_flag=1"], ["no_such_flag", "--help"]),
    (["--batch_sise=2"], ["batch_sise", "batch_size", "--help"]),
    (["--batch_size=two"], ["batch_size", "two"]),
    (["--batch_size=1.5"], ["batch_size", "1.5"]),
    (["--batch_size"], ["batch_size"]),
    (["--flip=maybe"], ["flip", "maybe"]),
    (["--flagfile=missing.txt"], ["missing.txt"]),
    (["horse2zebra"], ["'horse2zebra'", "--help"]),
    (["--preset=tiny", "two words"], ["'two words'", "--help"]),
    (["--preset", "tiny", "--flip", "false"], ["'false'", "--help"]),
    (["--preset=huge"], ["`preset`", "'huge'", *PRESETS]),
    (
        ["--adversarial_loss=huber"],
        ["`adversarial_loss`", "'huber'", "least_squares, binary_cross_entropy"],
    ),
    (["--generator=resnet6"], ["`generator`", "'resnet6'", "resnet, unet"]),
    (["--discriminator=stylegan"], ["`discriminator`", "patchgan, pixel"]),
    (["--cache=disk"], ["`cache`", "auto, memory, encoded, none"]),
    (["--batch_size=-1"], ["`batch_size` must be at least 1. Received: -1."]),
    (["--lambda_cycle=-1"], ["`lambda_cycle` must be at least 0. Received: -1"]),
    (["--learning_rate=nan"], ["`learning_rate` must be a finite number."]),
    (["--learning_rate=0"], ["`learning_rate` must be above 0."]),
    (["--beta_1=1"], ["`beta_1` must be below 1."]),
    (["--image_size=250"], ["`image_size` must be a multiple of 4", "250"]),
    (["--preset=unet", "--image_size=128"], ["multiple of 256 for a `unet`"]),
    (["--image_size=300"], ["`load_size` must be 0 or at least `image_size`"]),
    (["--image_size=16"], ["`image_size` is too small for 3"]),
    (["--strategy=cpu:0"], ["`strategy` must be", "'cpu:0'"]),
    (["--preset=tiny", "--seed=4294967296"], ["`seed` must be", "4294967296"]),
]


@pytest.fixture
def train(tmp_path):
    """Runs `train.py` in a folder of its own, without any GPU."""

    def run(*args, tensorflow=True) -> subprocess.CompletedProcess:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # train.py must see to it.
        if not tensorflow:
            environment["PYTHONPATH"] = str(_without_tensorflow(tmp_path))
        return subprocess.run(
            [sys.executable, str(SCRIPT), *map(str, args)],
            cwd=_working_directory(tmp_path),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def refuses(train, tmp_path):
    """Expects one line of error that holds each text, and unchanged files."""

    def check(*args, told=(), tensorflow=True) -> None:
        before = _contents(_working_directory(tmp_path))
        result = train(*args, tensorflow=tensorflow)
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        assert result.returncode > 0, result.stdout
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        assert "Traceback" not in result.stdout
        for text in told:
            assert text in lines[0]
        assert _contents(_working_directory(tmp_path)) == before

    return check


def _working_directory(tmp_path) -> pathlib.Path:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return folder


def _without_tensorflow(tmp_path) -> pathlib.Path:
    """A folder for PYTHONPATH where importing tensorflow or keras fails."""
    folder = tmp_path / "without_tensorflow"
    for name in ("tensorflow", "keras"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        text = f"raise SystemExit('{name} was imported')\n"
        (folder / name / "__init__.py").write_text(text)
    return folder


def _contents(folder: pathlib.Path) -> dict:
    """Every path below a folder, with the bytes of the files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def _write_pictures(folder: pathlib.Path, number: int, side: int = 32) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for i in range(number):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def _damage(folder: pathlib.Path, number: int) -> None:
    for path in sorted(folder.iterdir())[:number]:
        path.write_bytes(path.read_bytes()[:100])


@pytest.fixture
def pictures(tmp_path):
    """A data set of ten pictures of 32 px in each domain."""
    folder = _working_directory(tmp_path) / "pictures"
    for split in ("trainA", "trainB"):
        _write_pictures(folder / split, 10)
    return folder


# --- Mistakes that are told before TensorFlow is imported


def test_fake_tensorflow_would_be_noticed(train):
    result = train("--preset=tiny", tensorflow=False)
    assert result.returncode != 0
    assert "was imported" in result.stderr


@pytest.mark.parametrize(
    ("args", "told"), BAD_FLAGS, ids=[" ".join(args) for args, _ in BAD_FLAGS]
)
def test_bad_flags_are_refused_without_tensorflow(refuses, args, told):
    refuses(*args, told=told, tensorflow=False)


def test_refused_values_are_refused_by_dry_run_too(refuses):
    refuses(
        "--dry_run", "--batch_size=0", told=["`batch_size` must be"], tensorflow=False
    )


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--preset=tiny"], "num_filters: 6 there, 4 asked for"),
        (["--batch_size=3"], "batch_size: 1 there, 3 asked for"),
        (["--dataset=maps", "--noflip"], "flip: True there, False asked for"),
    ],
    ids=["preset", "batch_size", "flip"],
)
def test_run_of_another_configuration_is_left_alone(refuses, tmp_path, args, told):
    run_dir = _working_directory(tmp_path) / "run"
    run_dir.mkdir()
    values = {**PRESETS["tiny"].values, "num_filters": 6}
    (run_dir / "config.json").write_text(Config(**values).to_json())
    refuses(
        "--run_dir=run",
        *args,
        told=["run holds a run of another configuration", told],
        tensorflow=False,
    )


@pytest.mark.parametrize(
    "content",
    [b"", b'{"seed": 1', b"[]", b'{"seed": -1}', b'{"sead": 1}', b"\xff\xfe{}"],
)
def test_damaged_config_file_is_told_and_left_alone(refuses, tmp_path, content):
    run_dir = _working_directory(tmp_path) / "run"
    run_dir.mkdir()
    (run_dir / "config.json").write_bytes(content)
    refuses("--run_dir=run", tensorflow=False)


@pytest.mark.parametrize("flag", ["--help", "-help", "-h"])
def test_help_needs_no_tensorflow(train, tmp_path, flag):
    result = train(flag, tensorflow=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: python train.py ")
    assert set(PRESETS) <= set(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 88
    assert _contents(_working_directory(tmp_path)) == {}


# --- Mistakes that only show with the data, the devices or the disk
# Slow are those that other tests find within this process.


def test_unknown_dataset_is_told_with_the_known_ones(refuses):
    refuses(
        "--preset=tiny",
        "--dataset=horse2zebr",
        told=["'horse2zebr'", *TFDS_CONFIGS, "shapes", "Did you mean horse2zebra?"],
    )


@pytest.mark.slow
def test_dataset_without_train_b_is_refused(refuses, pictures):
    for path in (pictures / "trainB").iterdir():
        path.unlink()
    (pictures / "trainB").rmdir()
    refuses("--preset=tiny", "--dataset=pictures", told=["pictures/trainB is missing."])


@pytest.mark.slow
def test_dataset_with_empty_train_b_is_refused(refuses, pictures):
    for path in (pictures / "trainB").iterdir():
        path.rename(path.with_suffix(".txt"))
    refuses(
        "--preset=tiny", "--dataset=pictures", told=["pictures/trainB has no picture"]
    )


@pytest.mark.parametrize("number", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_dataset_with_many_damaged_pictures_is_refused(refuses, pictures, number):
    _damage(pictures / "trainA", number)
    told = [f"{number} of 10 pictures", "trainA", "0.png", "At most 5%"]
    refuses("--preset=tiny", "--dataset=pictures", told=told)


def test_picture_smaller_than_the_crop_is_refused(refuses, pictures):
    _write_pictures(pictures / "trainB", 1, side=28)
    refuses(
        "--preset=tiny",
        "--dataset=pictures",
        "--load_size=0",
        told=["0.png has 28x28 pixels", "`image_size` 32", "--load_size"],
    )


def test_batch_that_replicas_cannot_share_is_refused(refuses):
    refuses(
        "--preset=tiny",
        "--batch_size=3",
        "--strategy=cpu:2",
        told=["`batch_size` must be a multiple of the 2 replicas. Received: 3."],
    )


@pytest.mark.slow
def test_mirrored_strategy_without_gpu_is_refused(refuses):
    refuses("--preset=tiny", "--strategy=mirrored", told=["`strategy`", "needs a GPU"])


@pytest.mark.parametrize(
    "run_dir", [pytest.param("file", marks=pytest.mark.slow), "file/below/it"]
)
def test_run_dir_that_cannot_be_a_folder_is_refused(refuses, tmp_path, run_dir):
    # A path below a file is refused to root as well, unlike a read-only folder.
    (_working_directory(tmp_path) / "file").write_text("mine")
    refuses(
        "--preset=tiny", f"--run_dir={run_dir}", told=["`run_dir`", run_dir, "file"]
    )


# --- The plan


def test_dry_run_prints_the_plan_and_writes_nothing(train, tmp_path, pictures):
    _write_pictures(pictures / "trainB", 13)
    before = _contents(_working_directory(tmp_path))
    result = train("--preset=tiny", "--dataset=pictures", "--batch_size=2", "--dry_run")
    assert (result.returncode, result.stderr) == (0, "")
    values, end = json.JSONDecoder().raw_decode(result.stdout)
    assert Config(**values) == Config(
        **{
            **PRESETS["tiny"].values,
            "dataset": "pictures",
            "batch_size": 2,
            "run_dir": "runs/pictures-tiny",
        }
    )
    # (side, from, to) of each kernel; none before an instance norm has a bias.
    resnet = [(7, 3, 4), (3, 4, 8), (3, 8, 16), (3, 16, 16), (3, 16, 16)]
    resnet += [(3, 16, 8), (3, 8, 4), (7, 4, 3)]
    patchgan = [(4, 3, 4), (4, 4, 8), (4, 8, 16), (4, 16, 1)]
    generator = sum(k * k * a * b for k, a, b in resnet) + 3
    discriminator = sum(k * k * a * b for k, a, b in patchgan) + 4 + 1
    assert result.stdout[end:].splitlines() == [
        "",
        f"generator_g: {generator:,} parameters",
        f"generator_f: {generator:,} parameters",
        f"discriminator_x: {discriminator:,} parameters",
        f"discriminator_y: {discriminator:,} parameters",
        "batch: 2 of each domain over all replicas, whatever their number; so is the "
        "learning rate, 0.0002",
        "steps: 14 (7 an epoch, 10 and 13 training pictures)",
    ]
    assert _contents(_working_directory(tmp_path)) == before
