"""The loop around the steps of any model: what is due after each, and at the end.

There is no base class: a model is whatever has what `Trainable` names.
"""

import contextlib
import dataclasses
import pathlib
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.learning.state import State
from cyclegan_tf.options import Common
from cyclegan_tf.process import STARTED, stop_on_signal
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.nan_checks import NanChecks
from cyclegan_tf.training.reporting import Reporter


class Trainable(Protocol):
    """What the loop asks of a model.

    Attributes:
      step: Steps trained so far.
      learning_rate: The learning rate of the next step.
    """

    step: int
    learning_rate: float

    def train_step(self, *batch) -> dict[str, tf.Tensor]:
        """Trains on a batch, and gives its losses by name, scalars."""

    def state(self) -> State:
        """Everything that training changes, by group and name."""


# Numbers, lines, and the number to keep the best by, if any is.
Evaluation = tuple[dict[str, float], list[str], tuple[float, bool] | None]


@dataclasses.dataclass(frozen=True)
class Views:
    """What is shown of a model now and then.

    Attributes:
      pictures: Gives the columns of a grid by title, uint8 [rows, height, width, 3].
      numbers: Gives numbers by name, and lines to say; none if there is nothing to
        measure.
      curves: The losses that share a panel of the plot, by its title.
      at_start: Whether to show it before the first step too.
      names: Gives the names of a step's samples, counted from 0; none if they have no
        names.
      evaluation: Gives the numbers of an evaluation by name, lines that tell them, and
        the one by which the best checkpoint is kept, with whether higher is better;
        None if there are no evaluations.
    """

    pictures: Callable[[], dict[str, np.ndarray]]
    numbers: Callable[[], tuple[dict[str, float], list[str]]]
    curves: dict[str, tuple[str, ...]]
    evaluation: Callable[[], Evaluation] | None = None
    at_start: bool = True
    names: Callable[[int], list[str]] = lambda step: []


class Loop:
    """Trains a model, saves it and reports.

    Args:
      model: What is trained.
      config: When to save and to report.
      checkpoints: Where it is saved.
      reporter: Where it is reported.
      views: What is shown of it.
      epoch_steps: Steps of an epoch.
      agree: From the signal that this process got, or 0, to the one that all processes
        of the training stop for; asked after each step.

    Attributes:
      newest_grid: Name of the last grid that was written, or None.
    """

    def __init__(
        self,
        model: Trainable,
        config: Config | Common,
        checkpoints: Checkpoints,
        reporter: Reporter,
        views: Views,
        epoch_steps: int,
        agree: Callable[[int], int] = int,
    ):
        self._model = model
        self._config = config
        self._checkpoints = checkpoints
        self._reporter = reporter
        self._views = views
        self._epoch_steps = epoch_steps
        self._agree = agree
        self._step = model.step
        self._unread = []
        self._window, self._steps, self._counts = [], 0, {}
        self._window_start = time.monotonic()
        self._waited = 0.0
        self._once = None
        self._evaluates = views.evaluation is not None
        self._evaluated = model.step
        skips = getattr(config, "on_nonfinite", "stop") == "skip"
        self._nan_checks = NanChecks(
            skips, lambda step: views.names(step - 1), reporter.say
        )
        self.newest_grid = None

    def run(self, batches: Iterable[tuple]) -> int:
        """Trains on all batches, or until Ctrl-C or SIGTERM, and saves.

        Args:
          batches: The arguments of each step.

        Returns:
          The signal that ended it, or 0.

        Raises:
          NonFiniteLossError: a loss or a weight became NaN or infinite.
          UserError: a checkpoint can't be written.
        """
        with contextlib.closing(self._reporter), stop_on_signal() as stop:
            if self._step == 0 and self._views.at_start:
                self._show("epoch_0000")
            number = 0
            for batch in self._waited_for(batches):
                self._train_step(batch)
                if number := self._agree(stop.number):
                    break
            self._finish(stopped=bool(number))
        return number

    def _waited_for(self, batches: Iterable[tuple]) -> Iterator[tuple]:
        """The same batches; adds up how long they took to come."""
        start = time.monotonic()
        for batch in batches:
            self._waited += time.monotonic() - start
            yield batch
            start = time.monotonic()

    def _train_step(self, batch: tuple) -> None:
        """One step, and whatever is due after it."""
        self._unread.append(self._model.train_step(*batch))
        self._step += 1
        if self._once is None:
            self._read_losses()  # Waits until it is done.
            self._once = {"first_step_seconds": time.monotonic() - STARTED}
        self._reporter.advance()
        epoch, within = divmod(self._step, self._epoch_steps)
        if self._step % self._config.log_every_steps == 0:
            self._record_losses()
        if self._step % self._config.save_every_steps == 0 or within == 0:
            self._save()
        if within == 0:
            self._show(f"epoch_{epoch:04d}")
            if self._evaluates and epoch % self._config.evaluate_every_epochs == 0:
                self._evaluate()

    def _finish(self, stopped: bool) -> None:
        """Saves and reports where the last step left off."""
        self._record_losses()
        self._save()
        if self._step % self._epoch_steps:
            self._show(f"step_{self._step:07d}")
        if self._evaluates and self._evaluated != self._step and not stopped:
            self._evaluate()

    def _save(self) -> None:
        # Weights that are not finite must not replace good ones.
        self._read_losses()
        saved = self._checkpoints.last_step
        if self._step != saved:
            self._nan_checks.check_state(self._step, self._model.state(), saved)
        self._checkpoints.save(self._step)

    def _read_losses(self) -> None:
        """Fetches the losses of the last steps from their devices and checks them."""
        first_step = self._step - len(self._unread) + 1
        scaled = getattr(self._config, "precision", "") == "float16"
        for step, tensors in enumerate(self._unread, start=first_step):
            losses = {name: float(loss) for name, loss in tensors.items()}
            skipped = losses.pop("skipped_updates", None)
            self._counts = {} if skipped is None else {"skipped_updates": skipped}
            self._steps += 1
            saved = self._checkpoints.last_step
            # Overflows of float16 are no faults.
            faults = 0 if scaled else skipped or 0
            if self._nan_checks.accepts(step, losses, faults, saved):
                self._window.append(losses)
        self._unread = []

    def _record_losses(self) -> None:
        """Writes the means since the last record."""
        self._read_losses()
        if not self._steps:
            return
        # Means over the steps that trained something, if any did.
        window, number, now = self._window, self._steps, time.monotonic()
        names = window[0] if window else ()
        values = {k: sum(losses[k] for losses in window) / len(window) for k in names}
        values |= self._counts
        values["epoch"] = (self._step - 1) // self._epoch_steps + 1
        values["learning_rate"] = self._model.learning_rate
        values["steps_per_second"] = number / (now - self._window_start)
        values["waiting_for_data"] = self._waited / (now - self._window_start)
        values["peak_memory_gigabytes"] = peak_gigabytes()
        self._reporter.scalars(self._step, {**values, **self._once})
        self._window, self._steps, self._window_start = [], 0, now
        self._waited, self._once = 0.0, {}

    def _show(self, name: str) -> None:
        """Writes a grid, the loss curves, and the numbers that the views give."""
        start = time.monotonic()
        self._reporter.grid(name, self._step, self._views.pictures())
        self._reporter.curves(self._views.curves)
        self.newest_grid = f"{name}.png"
        numbers, lines = self._views.numbers()
        if numbers:
            self._reporter.scalars(self._step, numbers)
        for line in lines:
            self._reporter.say(f"Step {self._step:,}, {line}")
        # Not a part of the time that the steps took.
        self._window_start += time.monotonic() - start

    def _evaluate(self) -> None:
        """Writes the numbers of an evaluation, and keeps the best checkpoint."""
        self._evaluated = self._step
        start = time.monotonic()
        numbers, lines, kept = self._views.evaluation()
        self._reporter.scalars(self._step, numbers)
        self._reporter.say("\n".join([f"Step {self._step:,}, evaluated:", *lines]))
        metric = self._config.keep_best
        if metric and kept and self._checkpoints.keep_best(metric, *kept):
            self._reporter.say(f"The best {metric} so far, {kept[0]:.4g}: kept.")
        self._window_start += time.monotonic() - start


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # On Linux `getrusage` begins with the peak of the parent.
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)
