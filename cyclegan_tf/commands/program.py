"""What our command line programs share: `--help`, mistakes told in a line, quiet logs.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import importlib
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping

from absl import app, flags, logging

from cyclegan_tf.validation import UserError


def run(name: str, program: str, argv: list[str]) -> None:
    """Runs a command; does not return.

    Args:
      name: One of `COMMANDS`.
      program: What its help calls it, such as `python train.py`.
      argv: The command line, the program's own name first.
    """
    command = importlib.import_module(f"cyclegan_tf.commands.{name}")
    command.define_flags()
    start(command.main, lambda: command.help_text(program), argv)


def start(
    main: Callable[[list[str]], None], help_text: Callable[[], str], argv: list[str]
) -> None:
    """Parses the flags and runs a program; does not return.

    Args:
      main: Takes the arguments that are no flags. A `UserError` or `OSError` that it
        raises becomes one line and exit status 1; SIGTERM ends it as an exit would, so
        that what it began is cleaned up. What a signal ends has exit status 128 and the
        signal's number: 130 after Ctrl-C, 143 after SIGTERM.
      help_text: Gives what `--help` prints.
      argv: The command line, the program's own name first.
    """

    def parse(argv: list[str]) -> list[str]:
        if {"--help", "-help", "-h"} & set(argv[1:]):
            show(help_text())
            sys.exit(0)
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"error: {error} See --help.")

    def guarded(argv: list[str]) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        logging.set_verbosity(logging.ERROR)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        try:
            main(argv[1:])
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:  # Of a disk, a network or a closed pipe.
            where = f"{error.filename}: " if error.filename else ""
            sys.exit(f"error: {where}{error.strerror or error}.")
        except KeyboardInterrupt as interrupt:
            print(str(interrupt) or "Stopped.", file=sys.stderr)
            sys.exit(128 + getattr(interrupt, "number", signal.SIGINT))

    app.run(guarded, argv=argv, flags_parser=parse)


def show(text: str) -> None:
    """Prints for a reader that may leave early, such as `head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Or Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def no_arguments(arguments: list[str]) -> None:
    """Refuses arguments that are no flags."""
    if arguments:
        raise UserError(f"Not a flag: {arguments[0]!r}. See --help.")


def listed(text: str) -> tuple[str, ...]:
    """The parts of a flag's text between its commas, each once."""
    return tuple(
        dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    )


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
        float: flags.DEFINE_float,
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
    if len(left) > 86:
        # Choices that fill more than a line.
        left = textwrap.fill(left.replace("|", "| "), 86, subsequent_indent=" " * 26)
        left = left.replace("| ", "|")
    if len(left) > 22:
        return f"  {left}\n{text}"
    return f"  {left:<24}{text.lstrip()}"
