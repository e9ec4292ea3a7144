"""Pictures that can't be read: which they are, and what stands in for them."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from cyclegan_tf.data.images import ImageError
from cyclegan_tf.messages import warn
from cyclegan_tf.validation import UserError

_MAX_NAMED, _MAX_LISTED = 5, 50


def told(reasons: Mapping[str, str], total: int, where: str = "") -> str:
    """A line that says how many pictures can't be read, and names the first.

    Args:
      reasons: Why, by the picture's name.
      total: How many pictures there are, these included.
      where: Such as ` in horses`.
    """
    number = len(reasons)
    more = f" and {number - _MAX_NAMED} more" if number > _MAX_NAMED else ""
    names = ", ".join(list(reasons)[:_MAX_NAMED]) + more
    return f"{number} of {total} pictures{where} can't be read: {names}."


def tell_skipped(line: str, reasons: Mapping[str, str]) -> None:
    """Says on stderr that pictures are skipped, then each with its reason on a line.

    Args:
      line: As `told` makes it.
      reasons: Why, by the picture's name.
    """
    warn(f"Skipped: {line}")
    for name, reason in list(reasons.items())[:_MAX_LISTED]:
        warn(f"  {name}: {reason}")
    if len(reasons) > _MAX_LISTED:
        warn(f"  and {len(reasons) - _MAX_LISTED} more")


def first_reason(reasons: Mapping[str, str]) -> str:
    """Why the first of the pictures can't be read, for an error's one line."""
    name, reason = next(iter(reasons.items()))
    return f"{name}: {reason}."


def with_stand_ins(
    names: Sequence[str], read: Callable[[int], np.ndarray], where: str
) -> Callable[[int], np.ndarray]:
    """Has the next picture stand in for one that can't be read any more.

    What trains, shows and evaluates reads through it while files may disappear. A
    picture that does is named on stderr, once. Threads may read at once.

    Args:
      names: Of the pictures.
      read: From an index to a picture; raises `ImageError`, or a `UserError` that says
        by itself which picture can't be used.
      where: They are, for messages.

    Returns:
      From an index to the picture or, if it can't be read, to the first after it that
      can. It raises a `UserError` if none can.
    """
    lost, lock = set(), threading.Lock()

    def tell(problems: Mapping[int, str], stands_in: int) -> None:
        with lock:
            new = [i for i in problems if i not in lost]
            lost.update(new)
        for i in new:
            warn(f"Warning: {problems[i]} {names[stands_in]} stands in for it.")

    def first_readable(index: int) -> np.ndarray:
        problems = {}
        for i in (*range(index, len(names)), *range(index)):
            try:
                picture = read(i)
            except ImageError as error:
                problems[i] = f"{names[i]} in {where} can't be read: {error}."
            except UserError as error:
                problems[i] = str(error)
            else:
                tell(problems, stands_in=i)
                return picture
        raise UserError(
            f"None of the {len(names)} pictures in {where} can be read any more. "
            f"{problems[index]}"
        )

    return first_readable


def with_our_errors(batches: Iterable[tuple]) -> Iterator[tuple]:
    """The same batches; a `UserError` that TensorFlow has wrapped comes out of it."""
    try:
        yield from batches
    except tf.errors.OpError as error:
        found = re.search(r"\bUserError: (.*)", error.message)
        if not found:
            raise
        raise UserError(found[1]) from error
