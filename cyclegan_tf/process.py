"""This process: its start, and the signals Ctrl-C (SIGINT) and SIGTERM.

Imports no TensorFlow.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import types

# The start of the program, on the clock of `time.monotonic`.
STARTED = time.monotonic()

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal stopped the training, which saved its state first.

    Attributes:
      number: The signal; the exit status of the program is 128 plus this number.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def delayed_signals():
    """Delays signals until the end of the `with` block.

    TensorFlow's converter runs Python's garbage collector, which swallows an exception
    from a signal handler.
    """
    received = []
    with _handler(lambda number, _: received.append(number), {}):
        yield
    if received:
        signal.raise_signal(received[0])


@contextlib.contextmanager
def stop_on_signal():
    """Yields an object whose `number` is 0, or the signal once one arrived.

    A second signal ends the program at once; at a prompt or in a notebook it has its
    usual effect. Outside the main thread nothing changes: Python allows no handlers.
    """
    stop, before = types.SimpleNamespace(number=0), {}

    def request(number, frame) -> None:
        stop.number = number
        os.write(2, b"\nStops after this step and saves. Once more: stops at once.\n")
        at_prompt = hasattr(sys, "ps1")
        for each, handler in before.items():
            signal.signal(each, handler if at_prompt else signal.SIG_DFL)

    with _handler(request, before):
        yield stop


@contextlib.contextmanager
def _handler(handle, before: dict):
    """Sets a handler, puts the handlers before it into `before`, and restores these."""
    if threading.current_thread() is threading.main_thread():
        before.update({number: signal.getsignal(number) for number in _SIGNALS})
    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
