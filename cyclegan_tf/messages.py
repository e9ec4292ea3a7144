"""Messages for the user: one logger, errors and lists in one line, progress bars.

`logging.getLogger("cyclegan_tf").setLevel("WARNING")` silences the library. Imports no
TensorFlow.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterable

LOG = logging.getLogger("cyclegan_tf")


class _PlainLines(logging.Handler):
    """Prints messages to stdout, above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm.auto import tqdm  # Takes 0.1 s, which `--help` does not need.

        tqdm.write(record.getMessage())
        sys.stdout.flush()


def print_messages() -> None:
    """Prints the messages as plain lines, unless the program configured the logger."""
    if not LOG.handlers and LOG.level == logging.NOTSET:
        LOG.addHandler(_PlainLines())
        LOG.setLevel(logging.INFO)


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


def warn(line: str) -> None:
    """Prints a line to stderr, above the progress bars."""
    from tqdm.auto import tqdm

    tqdm.write(line, file=sys.stderr)


def progress_bar(iterable=None, **options):
    """Returns a bar of tqdm; in a log file it adds a line every 30 seconds.

    Args:
      iterable: The items to count, if any.
      **options: Options of tqdm.
    """
    from tqdm.auto import tqdm  # Takes 0.1 s, which `--help` does not need.

    in_notebook = any("notebook" in kind.__module__ for kind in tqdm.__mro__)
    alive = sys.stderr.isatty() or in_notebook
    return tqdm(iterable, mininterval=0.2 if alive else 30, **options)


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


class UserError(ValueError):
    """A mistake that the user can fix; the commands print it as one line."""


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
