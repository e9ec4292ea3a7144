"""Pictures: from files, tfds or drawn, to batches in [-1, 1].

The only place that knows files and ranges of pixels. Uses `config`, `files` and
`process`. Begin with `datasets.py`, then `input_pipeline.py`, whose order is a function
of the seed and the step.
"""
