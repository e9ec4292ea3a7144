"""One process holds a run; others are refused; a dead holder blocks nobody."""

import errno
import fcntl
import os
import re
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.processes import running

from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import one_writer

CODE = """
import sys
from cyclegan_tf.training.run_directory import one_writer

with one_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
assert "tensorflow" not in sys.modules
"""
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "runs" / "mine"


@pytest.fixture
def holder(run_dir):
    """Another process that holds the run."""
    with running(CODE, run_dir, "held") as process:
        yield process


def hold(run_dir):
    """Holds the lock for a moment, and returns what its file says meanwhile."""
    with one_writer(run_dir):
        return (run_dir / "run.lock").read_text()


def refused(run_dir, message):
    with pytest.raises(UserError, match=message) as caught:
        hold(run_dir)
    assert "\n" not in str(caught.value)


def test_holder_is_told_and_goes_on_to_a_clean_end(holder, run_dir, tmp_path):
    before = (run_dir / "run.lock").read_bytes()
    host = re.escape(os.uname()[1])
    refused(run_dir, f"^{run_dir} is held by process {holder.pid} on {host} {SINCE}.")
    assert [path.name for path in run_dir.iterdir()] == ["run.lock"]
    assert (run_dir / "run.lock").read_bytes() == before
    holder.communicate()
    assert holder.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_run_whose_holder_was_killed_is_free_at_once(holder, run_dir, capsys):
    holder.kill()
    holder.wait()
    assert (run_dir / "run.lock").exists()
    assert hold(run_dir).startswith(f"process {os.getpid()} on ")
    assert not (run_dir / "run.lock").exists()
    assert capsys.readouterr().out == ""


def test_second_thread_of_a_process_is_refused(run_dir):
    told = f"is held by process {os.getpid()} on .* {SINCE}"
    with one_writer(run_dir), ThreadPoolExecutor() as threads:
        threads.submit(refused, run_dir, told).result()
        assert (run_dir / "run.lock").exists()
    hold(run_dir)


def test_failure_of_the_run_leaves_what_was_there_before(tmp_path):
    hold(tmp_path)  # An empty folder of the user stays.
    with pytest.raises(KeyError), one_writer(tmp_path / "runs/a/b"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), one_writer(tmp_path / "runs/a/b"):
        (tmp_path / "runs/a/kept").write_text("kept")
        raise KeyError
    assert list((tmp_path / "runs/a").iterdir()) == [tmp_path / "runs/a/kept"]


def test_place_that_can_not_be_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("file/run", "/proc/none/run", "x" * 300):
        refused(tmp_path / name, f"^{tmp_path / name} can't be written to: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_file_of_a_dead_holder_is_written_anew(run_dir):
    """Whatever an earlier version or a full disk left in it."""
    run_dir.mkdir(parents=True)
    (run_dir / "run.lock").write_text('{"host": "other", "process": 12}\n' * 9)
    assert hold(run_dir).startswith(f"process {os.getpid()} on ")
    assert list(run_dir.iterdir()) == []


def test_holder_that_has_not_named_itself_yet_is_not_disturbed(run_dir):
    run_dir.mkdir(parents=True)
    with (run_dir / "run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused(run_dir, f"^{run_dir} is held by another process")
    assert [path.name for path in run_dir.iterdir()] == ["run.lock"]


def test_lock_on_a_file_that_its_holder_removed_meanwhile_is_taken_anew(
    run_dir, monkeypatch
):
    flock, times = fcntl.flock, []

    def removed_before(file, operation):
        times.append(operation)
        if len(times) == 1:
            (run_dir / "run.lock").unlink()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", removed_before)
    with one_writer(run_dir):
        assert len(times) == 2
        refused(run_dir, f"is held by process {os.getpid()} on ")


def test_file_of_the_next_holder_stays(run_dir):
    """After somebody removed the run directory under a training."""
    with one_writer(run_dir):
        (run_dir / "run.lock").unlink()
        (run_dir / "run.lock").write_text("the next")
    assert (run_dir / "run.lock").read_text() == "the next"


def test_file_system_without_locks_is_reported(run_dir, monkeypatch, capsys):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert hold(run_dir)
    assert f"{run_dir} can't be locked (No locks available)" in capsys.readouterr().err
    assert not run_dir.exists()


def test_full_disk_leaves_nothing(run_dir, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        refused(run_dir, "can't be written to: File too large.$")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
