"""What our command line programs share: `--help`, mistakes told in a line, quiet logs.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import contextlib
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping

from absl import app, flags, logging

from cyclegan_tf.config import UserError


def start(main: Callable[[list[str]], None], help_text: Callable[[], str]) -> None:
    """Parses the flags and runs a program; does not return.

    Args:
      main: Takes the arguments that are no flags. A `UserError` that it raises becomes
        one line and exit status 1; SIGTERM ends it as an exit would, so that what it
        began is cleaned up.
      help_text: Gives what `--help` prints.
    """

    def parse(argv: list[str]) -> list[str]:
        if {"--help", "-help", "-h"} & set(argv[1:]):
            print(help_text())
            sys.exit(0)
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"error: {error} See --help.")

    def run(argv: list[str]) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        logging.set_verbosity(logging.ERROR)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        try:
            main(argv[1:])
        except UserError as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt as interrupt:
            print(str(interrupt) or "Stopped.", file=sys.stderr)
            sys.exit(130)

    app.run(run, flags_parser=parse)


def no_arguments(arguments: list[str]) -> None:
    """Refuses arguments that are no flags."""
    if arguments:
        raise UserError(f"Not a flag: {arguments[0]!r}. See --help.")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a value of a flag that is none of its choices."""
    if value not in choices:
        raise UserError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}."
        )


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


def define_flags(
    table: Mapping[str, tuple], values: flags.FlagValues = flags.FLAGS
) -> None:
    """Makes the flags of a program.

    Args:
      table: Default and text of each flag by name.
      values: Where they are defined.
    """
    define = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        bool: flags.DEFINE_boolean,
    }
    for name, (default, text) in table.items():
        define[type(default)](name, default, text, flag_values=values)


def help_of_flags(usage: str, summary: str, names: Iterable[str]) -> str:
    """What `--help` prints for a program with few flags.

    Args:
      usage: The command line.
      summary: A sentence or two.
      names: The program's flags, in their order.
    """
    lines = [f"usage: {usage}", "", textwrap.fill(summary, 88), "", "Flags"]
    for name in names:
        flag = flags.FLAGS[name]
        default = "" if flag.default in ("", None) else flag.default
        if isinstance(default, bool):
            default = str(default).lower()
        text = flag.help + (f" (default: {default})" if default != "" else "")
        lines.append(entry(_usage(flag), text))
    return "\n".join([*lines, entry("--help", "print this")])


def _usage(flag: flags.Flag) -> str:
    kind = {"bool": "", "int": " N", "float": " X"}.get(flag.flag_type(), " TEXT")
    return f"--{'[no]' if flag.boolean else ''}{flag.name}{kind}"


def entry(left: str, right: str) -> str:
    """A flag and its text, in two columns of an 88 column page."""
    text = textwrap.fill(right, 88, initial_indent=" " * 26, subsequent_indent=" " * 26)
    if len(left) > 22:
        return f"  {left}\n{text}"
    return f"  {left:<24}{text.lstrip()}"
