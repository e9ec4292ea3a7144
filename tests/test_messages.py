"""Reasons in a line, lists of names, warnings and progress bars."""

import io
import os
import sys

import pytest
import tensorflow as tf

from cyclegan_tf.messages import (
    LOG,
    lossy_output,
    print_messages,
    progress_bar,
    reason,
    some_of,
    warn,
    without_native_messages,
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "file"), "No space left on device"),
        (OSError("cannot identify; it"), "cannot identify; it"),
        (ValueError("first\nsecond"), "first"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 300), "x" * 200),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "step-4.tempstate; No space left on device [Op:SaveV2]"
            ),
            "No space left on device",
        ),
    ],
)
def test_reason_is_one_line(error, line):
    assert reason(error) == line


def test_names_beyond_the_first_are_counted():
    assert some_of(["a", "b", "c"], 3) == "a, b, c"
    assert some_of(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert some_of([], 2) == ""


def test_what_native_code_prints_is_hidden_and_the_rest_is_not(capfd):
    os.write(2, b"before ")
    with without_native_messages():
        os.write(2, b"within ")
    os.write(2, b"after")
    with pytest.raises(ValueError), without_native_messages():
        raise ValueError
    os.write(2, b" an error")
    assert capfd.readouterr().err == "before after an error"


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


def broken_streams():
    """Streams as they are when a terminal, a pipe or a disk behind them is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    closed = open(os.devnull, "w")
    closed.close()
    ours, theirs = os.openpty()
    terminal = os.fdopen(theirs, "w")
    os.close(ours)
    return {
        "pipe": os.fdopen(writing, "w"),
        "disk": open("/dev/full", "w"),
        "terminal": terminal,
        "closed": closed,
        "none": None,
    }


@pytest.mark.parametrize("kind", ["pipe", "disk", "terminal", "closed", "none"])
def test_no_line_and_no_bar_fails_if_it_cannot_be_written(kind, monkeypatch):
    stream = broken_streams()[kind]
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    print_messages()
    with lossy_output():
        with progress_bar(total=2) as bar:
            for text in ("short", "x" * 100_000):
                bar.update()
                LOG.info(text)
                warn(text)
                print(text, flush=True)
        assert not sys.stdout.isatty()
    assert sys.stdout is stream and sys.stderr is stream
    # Python flushes at its end; nothing of this test may stand there.
    if stream and not stream.closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_characters_that_a_stream_does_not_know_are_escaped(monkeypatch):
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, "ascii"))
    with lossy_output():
        print("runs/b\N{LATIN SMALL LETTER A WITH DIAERESIS}r", flush=True)
    assert data.getvalue() == b"runs/b\\xe4r\n"
