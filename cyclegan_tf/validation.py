"""The error for a mistake that the user can fix, and two checks that raise it.

Imports no TensorFlow.
"""

from collections.abc import Iterable


class UserError(ValueError):
    """A mistake that the user can fix; the commands print it as one line."""


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises a `UserError` if a value is not one of its choices."""
    if value not in choices:
        raise UserError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}."
        )


def check_batch(batch_size: int, replicas: int) -> None:
    """Raises a `UserError` if the replicas can't share a batch evenly."""
    if batch_size % replicas:
        raise UserError(
            f"`batch_size` must be a multiple of the {replicas} replicas. "
            f"Received: {batch_size}."
        )
