"""Differences between Keras 2 and 3, and the cores of this process.

requirements.txt has Keras 3 on a current TensorFlow; requirements-tfa.txt has Keras
2.15 on TensorFlow 2.15 with TensorFlow Addons. Imports them only where needed.
"""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import sys
import types
import warnings

from cyclegan_tf.messages import UserError

_KERAS_2 = importlib.metadata.version("keras").startswith("2.")


def check_backend() -> None:
    """Raises a `UserError` if Keras runs on another backend than TensorFlow.

    Keras takes it from the environment, or else from its file `keras.json`.
    """
    folder = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    backend = os.environ.get("KERAS_BACKEND")
    if keras := sys.modules.get("keras"):
        backend = keras.backend.backend()
    elif not backend:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            text = pathlib.Path(folder, "keras.json").read_text(encoding="utf-8")
            backend = json.loads(text).get("backend")
    if backend not in (None, "", "tensorflow"):
        raise UserError(
            f"Keras runs on {backend} here, and this needs TensorFlow: set the "
            "environment variable KERAS_BACKEND=tensorflow."
        )


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def as_tf_variable(variable):
    """Returns the tf.Variable of a network's variable.

    In Keras 3 it is the attribute `value`; in Keras 2 the variable itself, which has a
    method `value`.
    """
    return variable if callable(variable.value) else variable.value


def path_of(variable) -> str:
    """Returns the path of a variable, such as `first_conv/kernel`.

    In Keras 3 it is `path`; in Keras 2 it is `name`, with `:0` at its end.
    """
    return getattr(variable, "path", variable.name).partition(":")[0]


def operations() -> types.ModuleType:
    """Returns the module whose `pad`, `minimum` and `maximum` work in a Keras model."""
    if _KERAS_2:
        import tensorflow as tf

        return tf
    import keras

    return keras.ops


def addons() -> types.ModuleType | None:
    """Returns TensorFlow Addons with Keras 2, None with Keras 3."""
    if not _KERAS_2:
        return None
    with warnings.catch_warnings():
        # The README says that TensorFlow Addons is at its end.
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons")
        import tensorflow_addons
    return tensorflow_addons
