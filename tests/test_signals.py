"""Signals, and the stop that the first one asks for."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from cyclegan_tf.messages import delayed_signals, stop_on_signal

NUMBERS = [signal.SIGINT, signal.SIGTERM]
both = pytest.mark.parametrize("number", NUMBERS)
all_three = pytest.mark.parametrize("number", [*NUMBERS, signal.SIGHUP])


@pytest.fixture
def received(number):
    """The signals that came to the handler that was there before."""
    found = []
    before = signal.signal(number, lambda number, frame: found.append(number))
    yield found
    signal.signal(number, before)


@all_three
def test_signal_is_put_off_and_not_lost(number, received):
    done = []
    with delayed_signals():
        signal.raise_signal(number)
        assert not received
        done.append(True)
    assert (done, received) == ([True], [number])
    with pytest.raises(ValueError), delayed_signals():
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
        "from cyclegan_tf.messages import stop_on_signal\n"
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
        with delayed_signals(), stop_on_signal() as stop:
            return stop.number, signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor() as threads:
        found = threads.submit(work).result()
    assert found == (0, signal.getsignal(signal.SIGINT))


def test_terminal_that_closes_sends_two_signals_and_the_training_saves(monkeypatch):
    """Its message can't be written either."""

    def fail(number, data):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.write", fail)
    # The tests may run under nohup, which ignores it.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stop_on_signal() as stop:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert stop.number == signal.SIGHUP
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ignored_end_of_a_terminal_stays_ignored():
    """As after nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with delayed_signals(), stop_on_signal() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.number
    finally:
        signal.signal(signal.SIGHUP, before)
