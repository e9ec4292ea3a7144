"""Official PyTorch weights, in and out, without PyTorch.

Uses `training` (for checkpoints) and what is below it. Begin with `networks.py`, which
names every weight in both codes, then `importing.py`; `pickles.py` reads files that
strangers made, and runs nothing in them.
"""
