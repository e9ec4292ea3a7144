"""Checkpoints that can't be read, and those that can't be written."""

import contextlib
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.messages import UserError
from cyclegan_tf.training.checkpoints import (
    Checkpoints,
    check_can_go_on,
    remove_half_checkpoints,
)
from cyclegan_tf.training.reporting import Reporter, append_line, read_log
from cyclegan_tf.training.run_directory import newest_checkpoint

pytestmark = pytest.mark.stack

PARTS = "index", "data-00000-of-00001"


@pytest.fixture
def state():
    """The state of some training; `value` is what it learned."""
    value = tf.Variable(np.zeros(20_000, np.float32))
    return {"optimizer_of_it": {"value": value}}


@pytest.fixture
def saved(state, tmp_path):
    """A run with checkpoints 1 to 3, each full of its number."""
    checkpoints = Checkpoints(state, tmp_path)
    for step in (1, 2, 3):
        state["optimizer_of_it"]["value"].assign(np.full(20_000, step, np.float32))
        checkpoints.save(step)
    return tmp_path


def damage(run_dir: pathlib.Path, step: int, part: str, kind: str) -> None:
    path = run_dir / f"checkpoints/step-{step}.{part}"
    content = path.read_bytes()
    zeroed = bytearray(content)
    zeroed[len(content) // 3 : len(content) // 2] = bytes(
        len(content) // 2 - len(content) // 3
    )
    contents = {
        "empty": b"",
        "cut off": content[: len(content) // 2],
        "garbage": b"x" * len(content),
        "zeroed": bytes(zeroed),
    }
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(contents[kind])


def files(run_dir: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run_dir)): path.read_bytes()
        for path in run_dir.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["empty", "cut off", "gone", "garbage", "zeroed"])
def test_newest_is_set_aside_and_the_one_before_is_used(
    saved, state, part, kind, capsys
):
    damage(saved, 3, part, kind)
    before = files(saved)
    check_can_go_on(saved)
    checkpoints = Checkpoints(state, saved)
    assert checkpoints.restore() == 2
    assert set(state["optimizer_of_it"]["value"].numpy()) == {2}
    (line,) = capsys.readouterr().out.splitlines()
    assert "checkpoints/step-3 is damaged" in line
    assert line.endswith("Set aside in " + str(saved / "checkpoints/damaged-1") + ".")
    moved = {
        name.replace("checkpoints/step-3.", "checkpoints/damaged-1/step-3."): content
        for name, content in before.items()
    }
    assert files(saved) == moved
    checkpoints.save(3)
    assert Checkpoints(state, saved).restore() == 3


def test_two_damaged_ones_have_a_folder_each(saved, state, capsys):
    damage(saved, 3, "index", "cut off")
    damage(saved, 2, PARTS[1], "cut off")
    assert Checkpoints(state, saved).restore() == 1
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert {p.name for p in (saved / "checkpoints").glob("damaged-*/*.index")} == {
        "step-3.index",
        "step-2.index",
    }


def test_where_all_are_damaged_nothing_is_touched(saved, state):
    for step, part in ((1, "index"), (2, PARTS[1]), (3, "index")):
        damage(saved, step, part, "cut off")
    before = files(saved)
    check_can_go_on(saved)
    with pytest.raises(UserError, match="no checkpoint that can be read") as error:
        Checkpoints(state, saved).restore()
    assert all(f"step-{step} is damaged" in str(error.value) for step in (1, 2, 3))
    assert "\n" not in str(error.value)
    assert files(saved) == before


def test_half_checkpoints_go_and_whole_ones_stay(tmp_path):
    whole = [
        "checkpoint",
        "step-1.data-00000-of-00001",
        "step-1.index",
        "step-20.data-00000-of-00002",
        "step-20.data-00001-of-00002",
        "step-20.index",
        "step-20_temporary",
        # Its index may come yet: a training tells of it.
        "step-21.data-00000-of-00001",
        "my.data-00000-of-00001",
    ]
    # What TensorFlow 2.21 leaves, killed at different times.
    halves = [
        "step-2_temp/part-00000-of-00001.data-00000-of-00001.tempstate7911347733822",
        "step-3.data-00000-of-00001",
        "step-4.data-00000-of-00001.tempstate181612331185",
        "step-4.index.tempstate181612331185",
        "checkpoint.tmp0123456789abcdef0123456789abcdef",
    ]
    for name in whole + halves:
        path = tmp_path / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    remove_half_checkpoints(tmp_path)
    remove_half_checkpoints(tmp_path / "missing")
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == set(whole)


# --- Disks that are full


@contextlib.contextmanager
def files_of_at_most(size: int):
    """As on a disk with so many bytes left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_can_not_be_written_leaves_the_good_ones(saved, state):
    checkpoints = Checkpoints(state, saved)
    checkpoints.restore()
    before = files(saved)
    told = r"step-4 can't be written .*too large. The last good .* is of step 3\.$"
    with files_of_at_most(10_000), pytest.raises(UserError, match=told):
        checkpoints.save(4)
    assert files(saved) == before
    with files_of_at_most(10_000), pytest.raises(UserError, match="can't be written"):
        checkpoints.keep_best("value", 1.0, higher=True)
    assert files(saved) == before
    checkpoints.save(4)
    assert newest_checkpoint(saved).endswith("step-4")


def test_reports_that_can_not_be_written_are_told_once(tmp_path, capsys):
    reporter = Reporter(tmp_path, 0, 9)
    reporter.scalars(1, {"loss": 1.0})
    pictures = {"real": np.zeros((1, 8, 8, 3), np.uint8)}
    size = (tmp_path / "log.jsonl").stat().st_size
    with files_of_at_most(size + 5):
        for step in (2, 3):
            reporter.scalars(step, {"loss": 1.0})
            reporter.grid(f"step_{step}", step, pictures)
            reporter.curves({"Loss": ("loss",)})
    reporter.scalars(4, {"loss": 1.0})
    reporter.close()
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1, 4]
    told = [ln for ln in capsys.readouterr().out.splitlines() if "Warning" in ln]
    for name in ("log.jsonl", "grids", "losses.png"):
        assert sum(f"{tmp_path / name} can't be written" in line for line in told) == 1
    assert not list(tmp_path.glob("grids/*")) + list(tmp_path.glob("**/.*"))


def test_tensorboard_that_can_not_begin_is_told(tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("a file, where a folder is to be")
    reporter = Reporter(tmp_path, 0, 9)
    reporter.scalars(1, {"loss": 1.0})
    reporter.close()
    assert f"{tmp_path / 'tensorboard'} can't be written" in capsys.readouterr().out
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [1]


def test_a_line_is_added_whole_or_not_at_all(tmp_path):
    path = tmp_path / "log"
    append_line(path, "first")
    with files_of_at_most(8), pytest.raises(OSError):
        append_line(path, "second")
    append_line(path, "third")
    assert path.read_text() == "first\nthird\n"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 5 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", tmp_path],
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.slow
def test_training_on_a_disk_that_fills_or_can_not_be_written(small_disk):
    """Ends with an error of one line; what was saved before can be gone on with."""
    command = [sys.executable, "train.py", "--preset", "tiny", "--save_every_steps=1"]
    command += ["--run_dir", str(small_disk / "run"), "--max_steps"]
    root = pathlib.Path(__file__).parents[2]

    def train(steps: int) -> subprocess.CompletedProcess:
        run = subprocess.run(
            [*command, str(steps)], cwd=root, capture_output=True, text=True
        )
        assert "Traceback" not in run.stderr
        return run

    def fails() -> None:
        failed = train(2)
        assert failed.returncode == 1
        assert failed.stderr.splitlines()[-1].startswith("error: ")

    assert train(1).returncode == 0
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(os.urandom(4096)):
            pass
    fails()
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    fails()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    again = train(2)
    assert "from step 1." in again.stdout, again.stderr
    assert again.returncode == 0
