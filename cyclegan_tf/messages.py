"""Messages to the user, progress bars, errors in one line, and signals such as Ctrl-C.

`logging.getLogger("cyclegan_tf").setLevel("WARNING")` silences the library. Imports no
TensorFlow.
"""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import types
from collections.abc import Iterable

LOG = logging.getLogger("cyclegan_tf")

_HANGUP = getattr(signal, "SIGHUP", None)  # A terminal closes; not on Windows.

# Errors of a stream whose terminal or pipe is gone, that is closed, or None.
_NOT_WRITTEN = OSError, ValueError, AttributeError


class UserError(ValueError):
    """A mistake that the user can fix; the commands print it as one line."""


class Stopped(KeyboardInterrupt):
    """A signal stopped the training, which saved its state first.

    Attributes:
      number: The signal; the exit status of the program is 128 plus this number.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


# --- Lines


class _PlainLines(logging.Handler):
    """Prints messages to stdout, above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        _print(record.getMessage(), sys.stdout)


def print_messages() -> None:
    """Prints the messages as plain lines, unless the program configured the logger."""
    if not LOG.handlers and LOG.level == logging.NOTSET:
        LOG.addHandler(_PlainLines())
        LOG.setLevel(logging.INFO)


def warn(line: str) -> None:
    """Prints a line to stderr, above the progress bars."""
    _print(line, sys.stderr)


def _print(line: str, stream) -> None:
    from tqdm.auto import tqdm  # Takes 0.1 s, which `--help` does not need.

    with contextlib.suppress(*_NOT_WRITTEN):
        tqdm.write(line, file=stream)
        stream.flush()


def progress_bar(iterable=None, **options):
    """Returns a bar of tqdm; in a log file it adds a line every 30 seconds."""
    from tqdm.auto import tqdm

    in_notebook = any("notebook" in kind.__module__ for kind in tqdm.__mro__)
    alive = in_notebook or sys.stderr.isatty()
    return tqdm(iterable, mininterval=0.2 if alive else 30, **options)


class _Lossy:
    """A stream that drops what it can't write."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(*_NOT_WRITTEN):
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode())
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(*_NOT_WRITTEN):
            self._stream.flush()

    def isatty(self) -> bool:
        with contextlib.suppress(*_NOT_WRITTEN):
            return self._stream.isatty()
        return False


def keep_running_without_output() -> None:
    """Lets stdout and stderr drop what they can't write.

    A terminal may be gone, a pipe closed, a disk full: no message may end a training.
    """
    # No file may get the number of a closed stream: TensorFlow writes to number 2.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout, sys.stderr = _Lossy(sys.stdout), _Lossy(sys.stderr)


@contextlib.contextmanager
def lossy_output():
    """Does so within a `with` block; see `keep_running_without_output`."""
    before = sys.stdout, sys.stderr
    keep_running_without_output()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def without_native_messages():
    """Hides messages of TensorFlow's C++ code on stderr.

    It ignores the log level while it loads and while it converts to TFLite.
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


# --- Errors in one line


def reason(error: Exception) -> str:
    """Returns the reason of an error in one line of at most 200 characters."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = text.splitlines()[0]
    if hasattr(error, "error_code"):  # TensorFlow's: "OPERATION; REASON [Op:NAME]".
        line = re.sub(r" \[Op:\w+\]$", "", line).rpartition("; ")[2]
    return line[:200]


def some_of(names: Iterable[str], most: int) -> str:
    """Lists the first `most` names: `a, b, c and 3 more`."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises a `UserError` if a value is not one of its choices."""
    if value not in choices:
        raise UserError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}."
        )


def check_batch(batch_size: int, replicas: int) -> None:
    """Raises a `UserError` if the replicas can't share a batch evenly."""
    if batch_size % replicas:
        raise UserError(
            f"`batch_size` must be a multiple of the {replicas} replicas. "
            f"Received: {batch_size}."
        )


# --- Signals


def stopping_signals() -> list[int]:
    """Returns SIGINT (Ctrl-C), SIGTERM, and SIGHUP unless it is ignored (`nohup`)."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP and signal.getsignal(_HANGUP) != signal.SIG_IGN:
        numbers.append(_HANGUP)
    return numbers


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
        with contextlib.suppress(OSError):
            os.write(
                2, b"\nStops after this step and saves. Once more: stops at once.\n"
            )
        at_prompt = hasattr(sys, "ps1")
        for each, handler in before.items():
            # A terminal that closes sends two: its own and that of its shell.
            if each != _HANGUP:
                signal.signal(each, handler if at_prompt else signal.SIG_DFL)

    with _handler(request, before):
        yield stop


@contextlib.contextmanager
def _handler(handle, before: dict):
    """Sets a handler, puts the handlers before it into `before`, and restores these."""
    if threading.current_thread() is threading.main_thread():
        before.update({n: signal.getsignal(n) for n in stopping_signals()})
    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
