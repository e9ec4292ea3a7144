"""CycleGAN (arXiv 1703.10593) in TensorFlow and Keras.

    import cyclegan_tf as cg

    cg.train(cg.preset("demo", run_dir="runs/mine", max_steps=200))
    zebra = cg.load("runs/mine").translate(horse)
    cg.export("runs/mine", formats=("savedmodel", "tflite"))

A name is loaded at its first use, so that the package imports at once. README.md
describes the design.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclegan_tf.config import Config
    from cyclegan_tf.core.cyclegan import CycleGAN
    from cyclegan_tf.deploy.export import export
    from cyclegan_tf.deploy.load import load
    from cyclegan_tf.messages import UserError
    from cyclegan_tf.training.presets import preset
    from cyclegan_tf.training.train import train

__version__ = "0.1.0"

__all__ = ["Config", "CycleGAN", "UserError", "export", "load", "preset", "train"]

_MODULES = {
    "Config": "config",
    "CycleGAN": "core.cyclegan",
    "UserError": "messages",
    "export": "deploy.export",
    "load": "deploy.load",
    "preset": "training.presets",
    "train": "training.train",
}


def __getattr__(name: str):
    """Loads a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name != "UserError":
        importlib.import_module(f"{__name__}.compat").check_backend()
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
