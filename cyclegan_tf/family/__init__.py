"""Models beside CycleGAN, one file each: networks, losses, step.

Begin with `points.py`. Models never import one another; `shared` has what several of
them use. README.md describes them all.
"""
