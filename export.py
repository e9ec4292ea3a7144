"""Exports a run: `python export.py --run_dir runs/horse2zebra`, `--help` for flags."""

import os

from absl import flags

from cyclegan_tf import export_request, program


def main(arguments: list[str]) -> None:
    """Makes a request of the flags, and exports it."""
    program.no_arguments(arguments)
    request = export_request.from_flags(flags.FLAGS)
    # Exports are compared in a CPU's arithmetic; a GPU that trains stays free.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with program.without_native_messages():
        from cyclegan_tf import exporting
    exporting.export(request)


if __name__ == "__main__":
    program.define_flags(export_request.FLAGS)
    program.start(main, export_request.help_text)
