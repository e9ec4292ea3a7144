"""SavedModels, TFLite and Keras files of a run, each tried before it is put in place.

Uses `training` (for checkpoints) and what is below it. Begin with `export.py`, then
`formats.py`. `translators.py` and `serving_client.py` use what was exported.
"""
