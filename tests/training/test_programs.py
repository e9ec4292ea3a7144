"""Trainings as programs: without a terminal, without a disk, without Unix."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.processes import ROOT, ends_within

from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.training.run_directory import newest_checkpoint

pytestmark = pytest.mark.slow
TINY = [sys.executable, "train.py", "--preset=tiny", "--log_every_steps=1"]
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def at_a_terminal(tmp_path):
    """Starts a training at a terminal; gives both once it has trained some steps."""
    started = []

    def start(*flags, hangup=signal.SIG_DFL):
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [*TINY, f"--run_dir={tmp_path}", "--save_every_steps=5", *flags],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # The tests may run under nohup, which ignores it.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup),
        )
        started.append(process)
        os.close(theirs)
        while newest_checkpoint(tmp_path) is None:
            assert not ends_within(process, 0.2)
            os.set_blocking(ours, False)
            try:
                os.read(ours, 1 << 16)
            except BlockingIOError:
                pass
        return process, ours

    yield start
    for process in started:
        process.kill()


def test_training_goes_on_without_its_terminal(at_a_terminal, tmp_path):
    process, terminal = at_a_terminal("--max_steps=60", hangup=signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)
    os.close(terminal)
    assert process.wait(300) == 0
    steps = [r["step"] for r in read_log(tmp_path / "log.jsonl") if "epoch" in r]
    assert steps == list(range(1, 61))


def test_training_saves_when_its_terminal_closes(at_a_terminal, tmp_path):
    process, terminal = at_a_terminal("--num_epochs=999")
    os.close(terminal)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
    assert process.wait(300) == 128 + signal.SIGHUP
    step = int(newest_checkpoint(tmp_path).rpartition("-")[2])
    steps = [r["step"] for r in read_log(tmp_path / "log.jsonl") if "epoch" in r]
    assert steps == list(range(1, step + 1))
    assert not (tmp_path / "run.lock").exists()


def test_training_needs_no_place_for_its_output(tmp_path):
    """A full disk, a broken pipe and no streams at all."""
    reading, writing = os.pipe()
    os.close(reading)
    outputs = "> /dev/full 2>&1", f">&{writing} 2>&1", ">&- 2>&-", "<&- >&- 2>&-"
    for step, output in enumerate(outputs, start=1):
        flags = f"--run_dir={tmp_path}", f"--max_steps={step}"
        done = subprocess.run(
            ["bash", "-c", f'"$@" {output}', "sh", *TINY, *flags],
            cwd=ROOT,
            env=ENVIRONMENT,
            pass_fds=(writing,),
        )
        assert done.returncode == 0, output
        assert newest_checkpoint(tmp_path).endswith(f"-{step}"), output


WITHOUT_UNIX = """
import os, signal, sys, time

for name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
for name in ("fork", "geteuid", "getuid", "sched_getaffinity", "sysconf"):
    delattr(os, name)
del signal.SIGHUP

import cyclegan_tf as cg

for steps in (2, 4):
    start = time.monotonic()
    cg.train(cg.preset("tiny", run_dir=sys.argv[1], max_steps=steps, log_every_steps=1))
    print("seconds:", time.monotonic() - start)
"""


def test_training_needs_nothing_that_windows_lacks(tmp_path):
    """Two trainings, whose first steps count from the start of each."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX, str(tmp_path)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert newest_checkpoint(tmp_path).endswith("-4")
    assert "can't be locked" in done.stderr
    records = read_log(tmp_path / "log.jsonl")
    firsts = [r["first_step_seconds"] for r in records if "first_step_seconds" in r]
    wholes = [
        float(line[9:]) for line in done.stdout.splitlines() if "seconds:" in line
    ]
    assert len(firsts) == 2
    assert all(0 < first < whole for first, whole in zip(firsts, wholes, strict=True))
