"""What we ask of the process that we run in: signals, messages, progress bars.

A process may be a command's, a notebook's or a server's; none of this takes it over.
Imports no TensorFlow.
"""

import contextlib
import os
import signal
import sys
import threading
import time

# About when the program began, on the clock of `time.monotonic`.
STARTED = time.monotonic()


def num_cores() -> int:
    """Cores that this process may use, not all of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def without_native_messages():
    """Hides what TensorFlow's C++ part prints to stderr, whatever its log level.

    It prints on loading, before its level applies, and when it converts to TFLite.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def signals_after():
    """Puts off Ctrl-C and SIGTERM until what is done here is done.

    TensorFlow's converter runs Python's garbage collector, where an exception that a
    signal's handler raises is swallowed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals go to the main thread.
        return
    received = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda n, _: received.append(n)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


class Stopped(KeyboardInterrupt):
    """What a signal ended, once all was saved.

    Args:
      told: How to go on.
      number: The signal.

    Attributes:
      number: The signal; a program's exit status is 128 and this number.
    """

    def __init__(self, told: str, number: int):
        super().__init__(told)
        self.number = number


class Stop:
    """Whether to stop; set by a signal.

    Attributes:
      number: The signal that came, Ctrl-C's or SIGTERM; 0 before.
    """

    number = 0


@contextlib.contextmanager
def stop_on_signal():
    """Turns the first Ctrl-C or SIGTERM into a wish to stop, and yields a `Stop`.

    A second one ends a program at once, whatever TensorFlow is at; at a prompt or in a
    notebook it does what it did before. In a thread other than the main one, where
    Python allows no handlers, nothing is changed.
    """
    stop, before = Stop(), {}

    def request(number, frame) -> None:
        stop.number = number
        os.write(2, b"\nStops after this step and saves. Once more: stops at once.\n")
        at_prompt = hasattr(sys, "ps1")
        for each, handler in before.items():
            signal.signal(each, handler if at_prompt else signal.SIG_DFL)

    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, request)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def progress_bar(iterable=None, **options):
    """A bar of tqdm: alive in a terminal or notebook, a line each half minute in a log.

    Args:
      iterable: What to go through, if any.
      **options: As tqdm takes them.
    """
    from tqdm.auto import tqdm  # A tenth of a second, which `--help` does without.

    in_notebook = any("notebook" in kind.__module__ for kind in tqdm.__mro__)
    alive = sys.stderr.isatty() or in_notebook
    return tqdm(iterable, mininterval=0.2 if alive else 30, **options)


def warn(line: str) -> None:
    """Prints a line to stderr, above the progress bars there may be."""
    from tqdm.auto import tqdm

    tqdm.write(line, file=sys.stderr)
