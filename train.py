"""Trains CycleGAN: `python train.py --dataset horse2zebra`, `--help` for all flags."""

import sys

from absl import flags

from cyclegan_tf import command_line, program

SUMMARY = (
    "Trains CycleGAN on two sets of pictures. Run the same command again to go on with "
    "a run."
)


def main(arguments: list[str]) -> None:
    """Resolves the configuration, then trains or prints the plan."""
    program.no_arguments(arguments)
    config = command_line.config_from_flags(flags.FLAGS)
    with program.without_native_messages():
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


if __name__ == "__main__":
    command_line.define_flags()
    program.start(main, lambda: command_line.help_text("train.py", SUMMARY))
