"""What all commands share: flags, `--help`, mistakes in one line, exit status.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import importlib
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import NamedTuple

from absl import app, flags, logging

from cyclegan_tf.commands import MODULES
from cyclegan_tf.messages import (
    LOG,
    UserError,
    keep_running_without_output,
    print_messages,
    stopping_signals,
    warn,
)


class Flag(NamedTuple):
    """A flag; its default has its type, None is for an integer."""

    default: str | int | float | bool | None
    text: str
    choices: tuple[str, ...] = ()  # For the help.
    bounds: tuple[int, ...] = ()  # The smallest and the largest integer.
    is_path: bool = False  # Whether `~` becomes the home directory.


def path(text: str) -> Flag:
    """A flag for a path; empty by default."""
    return Flag("", text, is_path=True)


CHECKPOINT = Flag(
    "latest", "checkpoint of the run: latest, best (see --keep_best) or a step"
)


class Command(NamedTuple):
    """A command; `run` takes the values of its flags, and arguments if it has any."""

    run: Callable[..., None]
    flags: Mapping[str, Flag]
    summary: str
    usage: tuple[str, ...]  # Command lines, without the program's name.
    takes_arguments: bool = False
    sections: Callable[[], Mapping[str, list[str]]] | None = None  # Another help.

    def __call__(self, values: flags.FlagValues, *arguments: str) -> None:
        """Runs the command with parsed flags; see `define_flags`."""
        if arguments and not self.takes_arguments:
            raise UserError(f"Not a flag: {arguments[0]!r}. See --help.")
        self.run(values, *arguments)

    def help(self, program: str) -> str:
        """The text of `--help`; `program` is the start of a command line."""
        usage = "\n       ".join(f"{program} {line}" for line in self.usage)
        lines = [f"usage: {usage}", "", textwrap.fill(self.summary, 88)]
        rows = [flag_entry(name, flag) for name, flag in self.flags.items()]
        sections = {"Flags": [*rows, entry("--help", "print this")]}
        for title, rows in (self.sections() if self.sections else sections).items():
            lines += ["", title, *rows] if rows else []
        return "\n".join(lines)


def load_command(name: str) -> Command:
    """The command of a name in `COMMANDS`."""
    module = importlib.import_module(f"cyclegan_tf.commands.{MODULES.get(name, name)}")
    return getattr(module, name.upper())


def run(name: str, program: str, argv: list[str]) -> None:
    """Runs a command; does not return.

    A `UserError` or `OSError` becomes one line and exit status 1. SIGTERM and SIGHUP
    exit like `sys.exit`, so that the command cleans up. After a signal, the exit status
    is 128 plus its number: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
      name: A key of `COMMANDS`.
      program: The program's name in its help, such as `python train.py`.
      argv: The command line, with the program first.
    """
    keep_running_without_output()
    command = load_command(name)
    define_flags(command.flags)

    def parse(argv: list[str]) -> list[str]:
        if {"--help", "-help", "-h"} & set(argv[1:]):
            print(command.help(program))
            sys.exit(0)
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"error: {error} See --help.")

    def guarded(argv: list[str]) -> None:
        for number in stopping_signals():
            if number != signal.SIGINT:
                signal.signal(number, lambda number, frame: sys.exit(128 + number))
        logging.set_verbosity(logging.ERROR)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        print_messages()
        LOG.propagate = False  # absl prints the messages of every logger.
        try:
            command(flags.FLAGS, *argv[1:])
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:  # From a disk or a network.
            where = f"{error.filename}: " if error.filename else ""
            sys.exit(f"error: {where}{error.strerror or error}.")
        except KeyboardInterrupt as interrupt:
            warn(str(interrupt) or "Stopped.")
            sys.exit(128 + getattr(interrupt, "number", signal.SIGINT))

    app.run(guarded, argv=argv, flags_parser=parse)


def require(values: flags.FlagValues, *names: str) -> None:
    """Refuses empty flags."""
    for name in names:
        if not values[name].value:
            raise UserError(f"--{name} must be given. See --help.")


def listed(text: str) -> tuple[str, ...]:
    """The parts between the commas of a flag's text, each once."""
    parts = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


class _PathParser(flags.ArgumentParser):
    """A shell expands `--run_dir ~/run`, but not `--run_dir=~/run`."""

    def parse(self, argument: str) -> str:
        return os.path.expanduser(argument)


def define_flags(
    table: Mapping[str, Flag], values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines flags by name, in `values`."""
    kinds = {
        int: flags.DEFINE_integer,
        type(None): flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_boolean,
        str: flags.DEFINE_string,
    }
    for name, flag in table.items():
        arguments = name, flag.default, flag.text, *flag.bounds
        if flag.is_path:
            flags.DEFINE(_PathParser(), *arguments, flag_values=values)
        else:
            kinds[type(flag.default)](*arguments, flag_values=values)


def flag_entry(name: str, flag: Flag) -> str:
    """The help of a flag."""
    kind, default = type(flag.default), flag.default
    if kind is bool:
        left, default = f"--[no]{name}", str(default).lower()
    else:
        text = "PATH" if flag.is_path else "TEXT"
        left = f"--{name} " + {float: "X", str: text}.get(kind, "N")
    choices = f": {', '.join(flag.choices)}" if flag.choices else ""
    shown = "" if default in ("", None) else f" (default: {default})"
    return entry(left, flag.text + choices + shown)


def entry(left: str, right: str) -> str:
    """A flag and its text, in two columns of an 88 column page."""
    text = textwrap.fill(right, 88, initial_indent=" " * 26, subsequent_indent=" " * 26)
    if len(left) > 22:
        return f"  {left}\n{text}"
    return f"  {left:<24}{text.lstrip()}"
