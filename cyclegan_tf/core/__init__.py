"""CycleGAN beside its paper: networks, losses, the step, and what trains them.

Begin with `cyclegan.py`, then `adversary.py`, `losses.py` and `trainer.py`. Uses only
the modules beside the folders.
"""
