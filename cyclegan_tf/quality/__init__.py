"""How good a model is, in pictures and in numbers.

Uses `models`, `data` and what is below them. Begin with `metrics.py`, which names every
number, then `evaluation.py`, which measures them.
"""
