"""SavedModels, TFLite and Keras files of a run, verified before they are put in place.

Uses `training` (for checkpoints) and what is below it. Begin with `export.py`, then
`exportables.py`. `load.py` and `serving_client.py` use the exported files.
"""
