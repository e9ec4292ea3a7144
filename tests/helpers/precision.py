"""Trainings in float64, where rounding does not drive them apart."""

import contextlib

import keras


@contextlib.contextmanager
def floats(dtype: str):
    """Keras builds and trains networks of this precision."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)
