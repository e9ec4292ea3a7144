"""`python -m cyclegan_tf COMMAND`, and the script `cyclegan_tf`.

Imports no TensorFlow: the list of commands comes at once.
"""

import difflib
import pathlib
import sys

from cyclegan_tf import __version__
from cyclegan_tf.commands import COMMANDS


def main() -> None:
    """Runs a command; does not return."""
    called = pathlib.PurePath(sys.argv[0])
    program = called.stem
    if called.name == "__main__.py":
        program = "python -m cyclegan_tf"
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-help", "-h", "help"):
        print(listing(program))
    elif name == "--version":
        print(__version__)
    elif name not in COMMANDS:
        close = difflib.get_close_matches(name.replace("-", "_"), COMMANDS, 1, 0.5)
        meant = f" Did you mean {close[0]}?" if close else ""
        sys.exit(f"error: No such command: {name!r}.{meant} See {program} --help.")
    else:
        from cyclegan_tf.commands import program as runner

        runner.run(name, f"{program} {name}", [name, *arguments])


def listing(program: str) -> str:
    """The commands, each with a sentence."""
    rows = [f"  {name:<16}{sentence}" for name, sentence in COMMANDS.items()]
    rows = "\n".join(rows)
    return f"""usage: {program} COMMAND [--FLAG VALUE ...]

CycleGAN in TensorFlow and Keras: train, export, serve.

{rows}

{program} COMMAND --help lists the flags of a command."""


if __name__ == "__main__":
    main()
