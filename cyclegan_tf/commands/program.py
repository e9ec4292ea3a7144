"""What all commands share: `--help`, mistakes in one line, exit status, quiet logs.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import importlib
import os
import signal
import sys
import textwrap
from collections.abc import Iterable, Mapping

from absl import app, flags, logging

from cyclegan_tf.compat import check_backend
from cyclegan_tf.messages import LOG, UserError, print_messages


def run(name: str, program: str, argv: list[str]) -> None:
    """Runs a command; does not return.

    A `UserError` or `OSError` becomes one line and exit status 1. SIGTERM exits like
    `sys.exit`, so that the command cleans up. After a signal, the exit status is 128
    plus its number: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
      name: A key of `COMMANDS`.
      program: The program's name in its help, such as `python train.py`.
      argv: The command line, with the program's own name first.
    """
    command = importlib.import_module(f"cyclegan_tf.commands.{name}")
    define_flags(command.FLAGS)

    def parse(argv: list[str]) -> list[str]:
        if {"--help", "-help", "-h"} & set(argv[1:]):
            show(command.help_text(program))
            sys.exit(0)
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"error: {error} See --help.")

    def guarded(argv: list[str]) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        logging.set_verbosity(logging.ERROR)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        print_messages()
        LOG.propagate = False  # absl prints the messages of every logger.
        try:
            check_backend()
            command.main(argv[1:])
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:  # From a disk, a network or a closed pipe.
            where = f"{error.filename}: " if error.filename else ""
            sys.exit(f"error: {where}{error.strerror or error}.")
        except KeyboardInterrupt as interrupt:
            print(str(interrupt) or "Stopped.", file=sys.stderr)
            sys.exit(128 + getattr(interrupt, "number", signal.SIGINT))

    app.run(guarded, argv=argv, flags_parser=parse)


def show(text: str) -> None:
    """Prints for a reader that may close the pipe early, such as `head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Otherwise Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def no_arguments(arguments: list[str]) -> None:
    """Refuses arguments that are not flags."""
    if arguments:
        raise UserError(f"Not a flag: {arguments[0]!r}. See --help.")


def listed(text: str) -> tuple[str, ...]:
    """The parts between the commas of a flag's text, each once."""
    parts = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def define_flags(
    table: Mapping[str, tuple], values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines the flags of a command.

    Args:
      table: The command's `FLAGS`: by name the default, the help, and for an integer
        optionally its bounds. The type of the default is the type of the flag; None is
        an integer that may be absent.
      values: Where to define them.
    """
    define = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        type(None): flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_boolean,
    }
    for name, (default, text, *bounds) in table.items():
        define[type(default)](name, default, text, *bounds, flag_values=values)


def help_of_flags(usage: str, summary: str, names: Iterable[str]) -> str:
    """The text of `--help` for a command with few flags.

    Args:
      usage: The command line.
      summary: A sentence or two.
      names: The command's flags, in order.
    """
    lines = [f"usage: {usage}", "", textwrap.fill(summary, 88), "", "Flags"]
    for name in names:
        flag = flags.FLAGS[name]
        kind = {"bool": "", "int": " N", "float": " X"}.get(flag.flag_type(), " TEXT")
        left = f"--{'[no]' if flag.boolean else ''}{name}{kind}"
        default = "" if flag.default in ("", None) else str(flag.default)
        if flag.boolean:
            default = default.lower()
        lines.append(entry(left, flag.help + f" (default: {default})" * bool(default)))
    return "\n".join([*lines, entry("--help", "print this")])


def entry(left: str, right: str) -> str:
    """A flag and its text, in two columns of an 88 column page."""
    text = textwrap.fill(right, 88, initial_indent=" " * 26, subsequent_indent=" " * 26)
    if len(left) > 86:
        # Choices that do not fit in a line.
        left = textwrap.fill(left.replace("|", "| "), 86, subsequent_indent=" " * 26)
        left = left.replace("| ", "|")
    if len(left) > 22:
        return f"  {left}\n{text}"
    return f"  {left:<24}{text.lstrip()}"
