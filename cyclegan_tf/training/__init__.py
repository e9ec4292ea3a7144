"""A run from its configuration to its last checkpoint.

Uses `quality`, `models`, `data` and what is below them. Begin with `train.py`, which
puts a CycleGAN together; `loop.py` knows no model.
"""
