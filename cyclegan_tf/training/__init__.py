"""A run from its configuration to its last checkpoint.

Uses `quality`, `models`, `data` and what is below them. Begin with `train.py`;
`cyclegan_run.py` puts a CycleGAN together; `loop.py` knows no model.
"""
