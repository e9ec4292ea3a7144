"""One file a model: its networks, its losses, its step. `cyclegan.py` is the first.

Uses `networks`, `learning` and `data`. Begin with `cyclegan.py`. Models never import
one another; what the training loop asks of them stands in `training/loop.py`, and
README.md tells of all.
"""
