"""The messages of the library: one logger, `cyclegan_tf`.

`logging.getLogger("cyclegan_tf").setLevel("WARNING")` silences them. Imports no
TensorFlow.
"""

import logging
import sys

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
