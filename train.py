"""Trains CycleGAN: `python train.py --dataset horse2zebra`, `--help` for all flags."""

import sys

from cyclegan_tf.commands import program

if __name__ == "__main__":
    program.run("train", "python train.py", sys.argv)
