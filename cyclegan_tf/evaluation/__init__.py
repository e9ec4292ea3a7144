"""How good a model is, in pictures and in numbers.

Begin with `metrics.py`, which names every number; `evaluator.py` measures them.
"""
