"""The command line: a small module per command, flags in, one call, a line out.

Only this folder reads flags, and no other folder imports it. A command has
`FLAGS`, `main(arguments)` and `help_text(called)`. `program.py` runs it.
"""

# A sentence of each command, in the order in which `--help` lists them.
COMMANDS = {
    "train": "Train CycleGAN on two sets of pictures, or go on with a run.",
    "export": "Write a run's generators as SavedModel, TFLite and Keras files.",
    "evaluate": "Say how good a run, a model or anybody's pictures are.",
    "translate": "Translate pictures with a run or an exported model.",
    "serving_client": "Have TF Serving translate a picture.",
    "pytorch_import": "Make a run of the official PyTorch code's weights.",
    "pytorch_export": "Write a run's networks for the official PyTorch code.",
    "models": "List the models that can be trained, or measure one.",
}
