"""Who holds a run, who is refused, and what a dead holder leaves to the next."""

import errno
import fcntl
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.processes import running

from cyclegan_tf import run_lock
from cyclegan_tf.run_lock import one_writer
from cyclegan_tf.validation import UserError

CODE = """
import sys
from cyclegan_tf.run_lock import one_writer

with one_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
assert "tensorflow" not in sys.modules
"""
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
ANOTHER = {"host": "other", "process": 12, "since": "2026-01-02", "machine": "0123abcd"}


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "runs" / "mine"


@pytest.fixture
def holder(run_dir):
    """Another process that holds the run."""
    with running(CODE, run_dir, "held") as process:
        yield process


def never(seconds):
    raise AssertionError("It waits.")


def hold(run_dir, wait=never, **options):
    with one_writer(run_dir, wait=wait, **options):
        return json.loads((run_dir / "run.lock").read_text())


def refused(run_dir, told, **options):
    with pytest.raises(UserError, match=told) as caught:
        hold(run_dir, **options)
    assert "\n" not in str(caught.value)


def leave(run_dir, text=None):
    """The lock's file as another machine left it."""
    run_dir.mkdir(parents=True)
    (run_dir / "run.lock").write_text(text or json.dumps(ANOTHER))


# --- One machine


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
    assert hold(run_dir)["process"] == os.getpid()
    assert not (run_dir / "run.lock").exists()
    assert capsys.readouterr().out == ""


def test_second_thread_of_a_process_is_refused(run_dir):
    told = f"is held by process {os.getpid()} on .* {SINCE}"
    with one_writer(run_dir, wait=never), ThreadPoolExecutor() as threads:
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


def refuse(number: int):
    """Stands in for a function of the system that fails."""

    def call(*args):
        raise OSError(number, os.strerror(number))

    return call


def test_full_disk_leaves_nothing(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock.os, "write", refuse(errno.ENOSPC))
    refused(run_dir, "can't be written to: No space left on device.$")
    assert list(tmp_path.iterdir()) == []


# --- Other machines


def test_another_machine_that_renews_its_file_is_not_disturbed(run_dir, capsys):
    leave(run_dir)
    waited = []

    def renew_third(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            os.utime(run_dir / "run.lock", (5, 5))  # Its clock is decades behind.

    told = "is held by process 12 on other since 2026-01-02"
    refused(run_dir, told, wait=renew_third)
    assert waited == [1, 1, 1]
    assert json.loads((run_dir / "run.lock").read_text()) == ANOTHER
    assert "watching for 30 seconds whether that lives" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, '{"host": "oth', "[]"])
def test_another_machine_that_does_not_is_dead(run_dir, capsys, text):
    leave(run_dir, text)
    waited = []
    hold(run_dir, wait=waited.append, watch_seconds=5)
    assert waited == [1] * 5
    first, second = capsys.readouterr().out.splitlines()
    holder = "another process" if text else "process 12 on other since 2026-01-02"
    assert f"{run_dir} was held by {holder}" in first and "5 seconds" in first
    assert f"{run_dir} is ours now" in second
    assert not (run_dir / "run.lock").exists()


def test_another_machine_that_ends_meanwhile_lets_the_run_go(run_dir):
    leave(run_dir)
    held = hold(run_dir, wait=lambda seconds: (run_dir / "run.lock").unlink())
    assert held["process"] == os.getpid()


def test_another_that_comes_meanwhile_is_not_disturbed(run_dir):
    leave(run_dir)

    def come(seconds):
        new = run_dir / "new"
        new.write_text(json.dumps({**ANOTHER, "process": 13}))
        new.replace(run_dir / "run.lock")

    waits = iter([come, lambda seconds: os.utime(run_dir / "run.lock", (5, 5))])
    told = "is held by process 13 on other"
    refused(run_dir, told, wait=lambda seconds: next(waits)(seconds))
    assert json.loads((run_dir / "run.lock").read_text())["process"] == 13


def test_file_is_renewed_until_the_end(run_dir, monkeypatch):
    utime, renewed = os.utime, threading.Event()

    def renew(path):
        utime(path)
        renewed.set()

    monkeypatch.setattr(run_lock.os, "utime", renew)
    with one_writer(run_dir, renew_seconds=0.001):
        before = (run_dir / "run.lock").stat().st_mtime_ns
        assert renewed.wait(60)
        assert (run_dir / "run.lock").stat().st_mtime_ns > before
        (renewal,) = (t for t in threading.enumerate() if "_renew" in t.name)
        assert renewal.daemon
    renewal.join(60)
    assert not renewal.is_alive()


@pytest.mark.parametrize(
    ("module", "name", "double"),
    [(run_lock, "fcntl", None), (fcntl, "flock", refuse(errno.ENOLCK))],
)
def test_without_locks_of_the_kernel_the_file_decides(
    run_dir, monkeypatch, module, name, double
):
    monkeypatch.setattr(module, name, double)
    with one_writer(run_dir, renew_seconds=1000):
        path = run_dir / "run.lock"
        refused(run_dir, "is held by", wait=lambda seconds: os.utime(path, (5, 5)))
    leave(run_dir)
    hold(run_dir, wait=lambda seconds: None)


def test_file_system_without_links_will_do(holder, run_dir, monkeypatch):
    monkeypatch.setattr(run_lock.os, "link", refuse(errno.EPERM))
    refused(run_dir, f"is held by process {holder.pid} ")
    holder.kill()
    holder.wait()
    assert hold(run_dir)["process"] == os.getpid()
    assert list(run_dir.iterdir()) == []
