"""Losses and weights that are NaN or infinite."""

import math
from collections.abc import Callable, Mapping

import tensorflow as tf

from cyclegan_tf.core.state import State
from cyclegan_tf.messages import some_of
from cyclegan_tf.training.checkpoints import last_good

GIVE_UP_AFTER = 10
_MAX_NAMES = 4


class NonFiniteLossError(RuntimeError):
    """A loss or a weight became NaN or infinite; the run can't go on."""


class NanChecks:
    """Checks the losses of each step, and the weights before each checkpoint.

    A gradient that is not finite spoils the weights and so the losses of the next step.
    So an error names the samples of both steps.

    Args:
      skips: Whether the model skips updates that are not finite.
      names: Maps a step, counted from 1, to the names of its samples, if any.
      say: Prints a line.
    """

    def __init__(self, skips: bool, names: Callable, say: Callable[[str], None]):
        self._skips, self._names, self._say = skips, names, say
        self._skipped, self._in_a_row = 0.0, 0

    def accepts(
        self, step: int, losses: Mapping[str, float], skipped: float, last_saved: int
    ) -> bool:
        """Checks the losses of a step; call it once for each step, in order.

        Args:
          step: The number of the step, from 1.
          losses: By name.
          skipped: Updates that the model skipped so far.
          last_saved: Step of the last checkpoint, 0 if there is none.

        Returns:
          Whether the step changed the weights.

        Raises:
          NonFiniteLossError: a loss is not finite and the model does not skip updates,
            or it skipped `GIVE_UP_AFTER` in a row.
        """
        bad = next((k for k, loss in losses.items() if not math.isfinite(loss)), None)
        left_out, self._skipped = self._skips and skipped > self._skipped, skipped
        if bad is None and not left_out:
            self._in_a_row = 0
            return True
        what = f"{bad} is {losses[bad]}" if bad else "A gradient is not finite"
        line = f"{what} at step {step:,}{self._samples(step)}"
        if not self._skips:
            if step > 1:
                line += self._samples(step - 1, "; of the step before: ")
            raise NonFiniteLossError(f"{line}. {last_good(last_saved)}")
        self._in_a_row += 1
        if self._in_a_row == GIVE_UP_AFTER:
            raise NonFiniteLossError(
                f"{line}, the last of {GIVE_UP_AFTER} in a row. {last_good(last_saved)}"
            )
        self._say(f"{line}: skipped.")
        return False

    def check_state(self, step: int, state: State, last_saved: int) -> None:
        """Raises a `NonFiniteLossError` if a variable is not finite after a step."""
        for group, variables in state.items():
            for name, variable in variables.items():
                value = tf.convert_to_tensor(variable)
                floating = value.dtype.is_floating
                if floating and not tf.reduce_all(tf.math.is_finite(value)):
                    raise NonFiniteLossError(
                        f"{group}/{name} is not finite after step {step:,}"
                        f"{self._samples(step)}: a gradient was not. "
                        f"{last_good(last_saved)}"
                    )

    def _samples(self, step: int, before: str = ", of ") -> str:
        names = some_of(self._names(step), _MAX_NAMES)
        return before + names if names else ""
