"""Where the two stacks differ, each with its reason; nobody else asks for a version.

Keras 3 on a current TensorFlow (requirements.txt), and Keras 2.15 on TensorFlow 2.15
with TensorFlow Addons, which imports on no later one (requirements-tfa.txt). Imports
neither before it must.
"""

import importlib.metadata
import types
import warnings

_KERAS_2 = importlib.metadata.version("keras").startswith("2.")


def as_tf_variable(variable):
    """The tf.Variable of a network's variable.

    One of Keras 3 holds it as `value`; one of Keras 2 is it, with a method `value`.
    """
    return variable if callable(variable.value) else variable.value


def path_of(variable) -> str:
    """Such as `first_conv/kernel`.

    Keras 3 calls that `path` and the last part `name`; in Keras 2 it is the `name` of a
    tf.Variable, `first_conv/kernel:0`.
    """
    return getattr(variable, "path", variable.name).partition(":")[0]


def operations() -> types.ModuleType:
    """Whose `pad`, `minimum` and `maximum` become part of a Keras model.

    TensorFlow's own do in Keras 2; in Keras 3 they know nothing of Keras tensors.
    """
    if _KERAS_2:
        import tensorflow as tf

        return tf
    import keras

    return keras.ops


def addons() -> types.ModuleType | None:
    """TensorFlow Addons on its stack, None on the other."""
    if not _KERAS_2:
        return None
    with warnings.catch_warnings():
        # That it is at its end stands in the README; users need not see it each time.
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons")
        import tensorflow_addons
    return tensorflow_addons
