"""Pictures: from folders, from tfds or drawn, to batches in [-1, 1].

Begin with `datasets.py`, then `reader.py` and `pipeline.py`.
"""
