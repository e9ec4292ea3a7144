"""In which precision layers compute."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are made within compute in a precision; their weights do not change.

    Args:
      precision: `bfloat16` or `float16`; with `float32` all stays as it was.
    """
    before = keras.mixed_precision.global_policy()
    if precision != "float32":
        keras.mixed_precision.set_global_policy(f"mixed_{precision}")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def full_precision() -> str:
    """The type of weights, in which layers that must not round compute."""
    return keras.mixed_precision.global_policy().variable_dtype
