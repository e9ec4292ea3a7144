"""Whether losses and weights stay finite, and what happens when they do not."""

import math
from collections.abc import Callable, Mapping

import tensorflow as tf

from cyclegan_tf.learning.state import State

GIVE_UP_AFTER = 10
_MAX_NAMES = 4


class NonFiniteLossError(RuntimeError):
    """A loss or a weight became NaN or infinite; the run can't go on."""


class FiniteWatch:
    """Looks at the losses of each step, and at what is about to be saved.

    A gradient that is not finite makes weights that are not, and these the next step's
    losses: so both steps are named. Weights are looked at before each checkpoint, which
    costs the steps nothing.

    Args:
      skips: Whether the model leaves out updates that are not finite.
      names: Gives the names of a step's samples, which may have none; steps count
        from 1.
      say: Tells a line.
    """

    def __init__(
        self,
        skips: bool,
        names: Callable[[int], list[str]],
        say: Callable[[str], None],
    ):
        self._skips, self._names, self._say = skips, names, say
        self._skipped, self._in_a_row = 0.0, 0

    def accepts(
        self, step: int, losses: Mapping[str, float], skipped: float, last_saved: int
    ) -> bool:
        """Whether a step trained something.

        Args:
          step: Its number, from 1; each is looked at once, in order.
          losses: By name.
          skipped: Updates that the model left out so far.
          last_saved: Step of the last checkpoint, 0 if there is none.

        Raises:
          NonFiniteLossError: a loss is not finite, and skipping is not asked for or did
            not help for `GIVE_UP_AFTER` steps in a row.
        """
        bad = next((k for k, loss in losses.items() if not math.isfinite(loss)), None)
        left_out = self._skips and skipped > self._skipped
        self._skipped = skipped
        if bad is None and not left_out:
            self._in_a_row = 0
            return True
        what = f"{bad} is {losses[bad]}" if bad else "A gradient is not finite"
        told = f"{what} at step {step:,}{self._of(step)}"
        if not self._skips:
            before = self._of(step - 1, "; of the step before: ") if step > 1 else ""
            raise NonFiniteLossError(f"{told}{before}. {_good(last_saved)}")
        self._in_a_row += 1
        if self._in_a_row == GIVE_UP_AFTER:
            raise NonFiniteLossError(
                f"{told}, the last of {GIVE_UP_AFTER} in a row. {_good(last_saved)}"
            )
        self._say(f"{told}: skipped.")
        return False

    def check(self, step: int, state: State, last_saved: int) -> None:
        """Refuses to save what is not finite.

        Args:
          step: Steps trained so far.
          state: By group and name.
          last_saved: As for `accepts`.

        Raises:
          NonFiniteLossError: a variable is not finite.
        """
        for group, variables in state.items():
            for name, variable in variables.items():
                value = tf.convert_to_tensor(variable)
                if value.dtype.is_floating and not _is_finite(value):
                    raise NonFiniteLossError(
                        f"{group}/{name} is not finite after step {step:,}"
                        f"{self._of(step)}: a gradient was not. {_good(last_saved)}"
                    )

    def _of(self, step: int, before: str = ", of ") -> str:
        """A step's samples in words."""
        names = self._names(step)
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        return before + ", ".join(names[:_MAX_NAMES]) + more if names else ""


def _is_finite(value: tf.Tensor) -> bool:
    return bool(tf.reduce_all(tf.math.is_finite(value)))


def _good(last_saved: int) -> str:
    good = f"is of step {last_saved:,}" if last_saved else "does not exist"
    return f"The last good checkpoint {good}."
