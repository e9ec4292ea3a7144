"""Differences between Keras 2 and 3, and the cores of this process.

requirements.txt has Keras 3 on a current TensorFlow; requirements-tfa.txt has Keras
2.15 on TensorFlow 2.15 with TensorFlow Addons. Imports them only where needed.
"""

import importlib.metadata
import os
import types
import warnings

_KERAS_2 = importlib.metadata.version("keras").startswith("2.")


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
