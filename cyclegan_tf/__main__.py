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
        sys.exit(f"error: {_unknown(name)} See {program} --help.")
    else:
        from cyclegan_tf.commands import program as runner

        runner.run(name, f"{program} {name}", [name, *arguments])


def listing(program: str) -> str:
    """The commands, each with a sentence."""
    rows = [f"  {name:<16}{sentence}" for name, sentence in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND [--FLAG VALUE ...]",
            "",
            "CycleGAN in TensorFlow and Keras: train, export, serve.",
            "",
            *rows,
            "",
            f"{program} COMMAND --help lists the flags of a command.",
        ]
    )


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.replace("-", "_"), COMMANDS, n=1, cutoff=0.5)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"No such command: {name!r}.{meant}"


if __name__ == "__main__":
    main()
