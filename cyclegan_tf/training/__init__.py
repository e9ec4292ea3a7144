"""A run from its configuration to its last checkpoint, for every model.

Begin with `train.py`, then `loop.py`. `cyclegan_run.py` is the run of a CycleGAN.
"""
