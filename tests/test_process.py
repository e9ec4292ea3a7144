"""Signals, messages and progress bars."""

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cyclegan_tf.process import (
    progress_bar,
    signals_after,
    stop_on_signal,
    warn,
    without_native_messages,
)

both = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def received(number):
    """The signals that came to the handler that was there before."""
    found = []
    before = signal.signal(number, lambda number, frame: found.append(number))
    yield found
    signal.signal(number, before)


def test_what_native_code_prints_is_hidden_and_the_rest_is_not(capfd):
    os.write(2, b"before ")
    with without_native_messages():
        os.write(2, b"within ")
    os.write(2, b"after")
    with pytest.raises(ValueError), without_native_messages():
        raise ValueError
    os.write(2, b" an error")
    assert capfd.readouterr().err == "before after an error"


@both
def test_signal_is_put_off_and_not_lost(number, received):
    done = []
    with signals_after():
        signal.raise_signal(number)
        assert not received
        done.append(True)
    assert (done, received) == ([True], [number])
    with pytest.raises(ValueError), signals_after():
        raise ValueError
    signal.raise_signal(number)  # Its handler is back, also after an error.
    assert received == [number, number]


@both
def test_at_a_prompt_a_second_signal_does_what_it_did(
    number, received, monkeypatch, capfd
):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with stop_on_signal() as stop:
        assert not stop.number
        signal.raise_signal(number)
        assert (stop.number, received) == (number, [])
        signal.raise_signal(number)
        assert received == [number]
    assert "Once more" in capfd.readouterr().err


@both
def test_a_second_signal_ends_a_program_at_once(number):
    """Nothing that Python would do follows, as where TensorFlow computes."""
    code = (
        "import signal\n"
        "from cyclegan_tf.process import stop_on_signal\n"
        "try:\n"
        "    with stop_on_signal() as stop:\n"
        f"        signal.raise_signal({number:d})\n"
        "        print(int(stop.number), flush=True)\n"
        f"        signal.raise_signal({number:d})\n"
        "finally:\n"
        "    print('late', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-number, f"{number:d}\n")


def test_signals_are_left_alone_in_other_threads():
    def work():
        with signals_after(), stop_on_signal() as stop:
            return stop.number, signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor() as threads:
        found = threads.submit(work).result()
    assert found == (0, signal.getsignal(signal.SIGINT))


def test_bar_is_alive_in_a_terminal_and_in_a_notebook(monkeypatch):
    import tqdm.auto

    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    for terminal, seconds in ((True, 0.2), (False, 30)):
        stderr.isatty = lambda terminal=terminal: terminal
        with progress_bar(total=3, unit="step", delay=60) as bar:
            assert (bar.total, bar.mininterval) == (3, seconds)
    kinds = []
    notebook = type("bar", (), {"__module__": "tqdm.notebook"})
    notebook.__init__ = lambda self, iterable, **options: kinds.append(options)
    monkeypatch.setattr(tqdm.auto, "tqdm", notebook)
    progress_bar(total=3)
    assert kinds == [{"mininterval": 0.2, "total": 3}]


def test_warning_goes_to_stderr_and_leaves_a_bar_whole(capsys):
    with progress_bar(total=2) as bar:
        warn("Something is lost.")
        bar.update(2)
    told = capsys.readouterr()
    assert told.out == ""
    assert "\rSomething is lost.\n" in told.err or "\nSomething is lost.\n" in told.err
    assert told.err.rstrip().endswith("it/s]")
