"""The command line: flags in, one call, a line out.

Only this folder reads flags, and no other folder imports it. A module has a `Command`
for each of its commands, under the command's name in capitals. `program.py` runs it.
"""

# A sentence for each command, in the order of `--help`.
COMMANDS = {
    "train": "Train CycleGAN on two sets of pictures, or continue a run.",
    "export": "Write a run's generators as SavedModel, TFLite and Keras files.",
    "evaluate": "Measure how good a run, a model or folders of pictures are.",
    "translate": "Translate pictures with a run or an exported model.",
    "serving_client": "Translate a picture with TF Serving.",
    "pytorch_import": "Create a run from weights of the official PyTorch code.",
    "pytorch_export": "Write a run's networks for the official PyTorch code.",
    "models": "List the models that train.py trains, or measure a preset.",
}

# The modules of commands that do not have their own.
MODULES = {
    "serving_client": "translate",
    "pytorch_import": "pytorch",
    "pytorch_export": "pytorch",
}
