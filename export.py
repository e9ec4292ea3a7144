"""Exports a run: `python export.py --run_dir runs/horse2zebra`, `--help` for flags."""

import sys

from cyclegan_tf.commands import program

if __name__ == "__main__":
    program.run("export", "python export.py", sys.argv)
