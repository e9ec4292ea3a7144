"""Trains CycleGAN: `python train.py --dataset horse2zebra`, `--help` for all flags."""

import contextlib
import os
import sys

from absl import app, flags, logging

from cyclegan_tf import command_line
from cyclegan_tf.config import UserError

SUMMARY = (
    "Trains CycleGAN on two sets of pictures. Run the same command again to go on with "
    "a run."
)


def main(argv: list[str]) -> None:
    """Resolves the configuration, then trains or prints the plan."""
    if len(argv) > 1:
        raise UserError(f"Not a flag: {argv[1]!r}. See --help.")
    config = command_line.config_from_flags(flags.FLAGS)
    logging.set_verbosity(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_native_messages():
        from cyclegan_tf import strategies, training

        devices = strategies.devices()
    if flags.FLAGS.dry_run:
        print(training.describe(config))
        return
    print(f"Devices: {devices}. Run directory: {config.run_dir}", flush=True)
    try:
        training.train(config)
    except training.NonFiniteLossError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "Stopped.", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def _without_native_messages():
    """Hides what TensorFlow's C++ part prints on loading, before its level applies."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; answers `--help` and a wrong flag itself."""
    if {"--help", "-help", "-h"} & set(argv[1:]):
        print(command_line.help_text("train.py", SUMMARY))
        sys.exit(0)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {error} See --help.")


def run(argv: list[str]) -> None:
    """Runs `main`, a mistake of the user's told in one line."""
    try:
        main(argv)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    command_line.define_flags()
    app.run(run, flags_parser=parse_flags)
