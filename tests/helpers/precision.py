"""Trainings in float64, where rounding does not drive them apart."""

import contextlib

import keras

from cyclegan_tf.core import layers


@contextlib.contextmanager
def floats(dtype: str):
    """Keras builds and trains networks of this precision."""
    before = keras.backend.floatx()
    _set(dtype)
    try:
        yield
    finally:
        _set(before)


def _set(dtype: str) -> None:
    keras.backend.set_floatx(dtype)
    keras.mixed_precision.set_global_policy(dtype)
    layers.FULL_PRECISION = dtype
