"""The training loop of every model: steps, checkpoints, reports, evaluations."""

import contextlib
import dataclasses
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.core.state import State
from cyclegan_tf.messages import stop_on_signal
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.nan_checks import NanChecks
from cyclegan_tf.training.reporting import NoReporter, Reporter


class Trainable(Protocol):
    """What the loop trains.

    Attributes:
      networks: The networks by name.
      step: Number of steps so far.
      learning_rate: The learning rate of the next step.
    """

    networks: Mapping[str, keras.Model]
    step: int
    learning_rate: float

    def train_step(self, *batch) -> dict[str, tf.Tensor]:
        """Trains on a batch; returns its losses by name, scalars."""

    def state(self) -> State:
        """Everything that training changes, by group and name."""


# Numbers by name, and lines for the user.
Numbers = tuple[dict[str, float], list[str]]
# And the number that chooses the best checkpoint, with whether higher is better.
Evaluation = tuple[dict[str, float], list[str], tuple[float, bool] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The run of a model: one interface for all models.

    Attributes:
      trainer: What the loop trains.
      num_steps: Steps of the whole training.
      epoch_steps: Steps of an epoch, which ends with a grid, numbers and a checkpoint.
      batches: Gives the arguments of each step, from a step on.
      pictures: Gives the columns of a grid by title, uint8 [rows, height, width, 3].
      numbers: Measures the model.
      curves: The losses in each panel of the plot, by its title.
      sizes: The record of its data set (data/datasets.py); empty for drawn data.
      names: Gives the names of a step's samples, counted from 0, for messages.
      begin: Prepares a training without a checkpoint; returns lines for the user.
      prepare: Prepares the first step of this process, if it is the chief.
      evaluator: Makes the function that evaluates the model, or None.
      summary: Gives the last lines for the user.
      at_start: Whether to show a grid and numbers before the first step.
    """

    trainer: Trainable
    num_steps: int
    epoch_steps: int
    batches: Callable[[int], Iterable[tuple]]
    pictures: Callable[[], dict[str, np.ndarray]]
    numbers: Callable[[], Numbers]
    curves: Mapping[str, tuple[str, ...]]
    sizes: Mapping = dataclasses.field(default_factory=dict)
    names: Callable[[int], list[str]] = lambda step: []
    begin: Callable[[], list[str]] = list
    prepare: Callable[[], None] = lambda: None
    evaluator: Callable[[], Callable[[], Evaluation] | None] = lambda: None
    summary: Callable[[], list[str]] = list
    at_start: bool = True


class Loop:
    """Trains a model, saves it and reports.

    Args:
      run: The run.
      config: When to save and to report.
      checkpoints: Its checkpoints.
      reporter: Its reports; None if another process writes them.
      evaluate: Evaluates the model; None: no evaluations.
      agree: From this process's signal, or 0, to the one that stops all processes;
        called after each step.
      started: When the training began, by `time.monotonic`; now if None.

    Attributes:
      newest_grid: Name of the last grid, or None.
    """

    def __init__(
        self,
        run: Run,
        config: BaseOptions,
        checkpoints: Checkpoints,
        reporter: Reporter | None,
        evaluate: Callable[[], Evaluation] | None = None,
        agree: Callable[[int], int] = int,
        started: float | None = None,
    ):
        self._run, self._trainer, self._config = run, run.trainer, config
        self._checkpoints = checkpoints
        self._reporter, self._shows = reporter or NoReporter(), reporter is not None
        self._evaluate_model, self._agree = evaluate, agree
        self._step = self._evaluated = run.trainer.step
        self._unread = []
        self._window, self._steps, self._counts = [], 0, {}
        self._window_start = time.monotonic()
        self._started = self._window_start if started is None else started
        self._waited = 0.0
        self._once = None
        self._nan_checks = NanChecks(
            config.on_nonfinite == "skip",
            lambda step: run.names(step - 1),
            self._reporter.say,
        )
        self.newest_grid = None

    def run(self, batches: Iterable[tuple]) -> int:
        """Trains on all batches, or until Ctrl-C or SIGTERM, and saves.

        Returns:
          The signal that stopped it, or 0.

        Raises:
          NonFiniteLossError: a loss or a weight became NaN or infinite.
          UserError: a checkpoint can't be written.
        """
        with contextlib.closing(self._reporter), stop_on_signal() as stop:
            if self._step == 0 and self._run.at_start:
                self._show("epoch_0000")
            number = 0
            for batch in self._waited_for(batches):
                self._train_step(batch)
                if number := self._agree(stop.number):
                    break
            self._finish(stopped=bool(number))
        return number

    def _waited_for(self, batches: Iterable[tuple]) -> Iterator[tuple]:
        """The same batches; adds up the time that they take to arrive."""
        start = time.monotonic()
        for batch in batches:
            self._waited += time.monotonic() - start
            yield batch
            start = time.monotonic()

    def _train_step(self, batch: tuple) -> None:
        """Trains one step, then saves, shows and evaluates if it is time."""
        self._unread.append(self._trainer.train_step(*batch))
        self._step += 1
        if self._once is None:
            self._read_losses()  # Waits until it is done.
            self._once = {"first_step_seconds": time.monotonic() - self._started}
        self._reporter.advance()
        epoch, within = divmod(self._step, self._run.epoch_steps)
        if self._step % self._config.log_every_steps == 0:
            self._record_losses()
        if self._step % self._config.save_every_steps == 0 or within == 0:
            self._save()
        if within == 0:
            self._show(f"epoch_{epoch:04d}")
            evaluates = self._evaluate_model is not None
            if evaluates and epoch % self._config.evaluate_every_epochs == 0:
                self._evaluate()

    def _finish(self, stopped: bool) -> None:
        """Saves and reports after the last step."""
        self._record_losses()
        self._save()
        if self._step % self._run.epoch_steps:
            self._show(f"step_{self._step:07d}")
        due = self._evaluate_model and self._evaluated != self._step
        if due and not stopped:
            self._evaluate()

    def _save(self) -> None:
        # Weights with NaN or infinity must not replace good ones.
        self._read_losses()
        saved = self._checkpoints.last_step
        if self._step != saved:
            self._nan_checks.check_state(self._step, self._trainer.state(), saved)
        self._checkpoints.save(self._step)

    def _read_losses(self) -> None:
        """Fetches the losses of the last steps from their devices and checks them."""
        first_step = self._step - len(self._unread) + 1
        scaled = self._config.precision == "float16"
        for step, tensors in enumerate(self._unread, start=first_step):
            losses = {name: float(loss) for name, loss in tensors.items()}
            skipped = losses.pop("skipped_updates", None)
            self._counts = {} if skipped is None else {"skipped_updates": skipped}
            self._steps += 1
            saved = self._checkpoints.last_step
            # Overflows of float16 are expected.
            if self._nan_checks.accepts(
                step, losses, 0 if scaled else skipped or 0, saved
            ):
                self._window.append(losses)
        self._unread = []

    def _record_losses(self) -> None:
        """Writes the means since the last record."""
        self._read_losses()
        if not self._steps:
            return
        # Means over the steps that were not skipped.
        window, number, now = self._window, self._steps, time.monotonic()
        names = window[0] if window else ()
        values = {k: sum(losses[k] for losses in window) / len(window) for k in names}
        values |= self._counts
        values["epoch"] = (self._step - 1) // self._run.epoch_steps + 1
        values["learning_rate"] = self._trainer.learning_rate
        values["steps_per_second"] = number / (now - self._window_start)
        values["waiting_for_data"] = self._waited / (now - self._window_start)
        if peak := peak_gigabytes():
            values["peak_memory_gigabytes"] = peak
        self._reporter.scalars(self._step, {**values, **self._once})
        self._window, self._steps, self._window_start = [], 0, now
        self._waited, self._once = 0.0, {}

    def _show(self, name: str) -> None:
        """Writes a grid, the loss curves and the model's numbers."""
        if not self._shows:
            return
        start = time.monotonic()
        self._reporter.grid(name, self._step, self._run.pictures())
        self._reporter.curves(self._run.curves)
        self.newest_grid = f"{name}.png"
        numbers, lines = self._run.numbers()
        if numbers:
            self._reporter.scalars(self._step, numbers)
        for line in lines:
            self._reporter.say(f"Step {self._step:,}, {line}")
        # The rate of steps excludes this time.
        self._window_start += time.monotonic() - start

    def _evaluate(self) -> None:
        """Writes the numbers of an evaluation; keeps the best checkpoint."""
        self._evaluated = self._step
        start = time.monotonic()
        numbers, lines, kept = self._evaluate_model()
        self._reporter.scalars(self._step, numbers)
        self._reporter.say("\n".join([f"Step {self._step:,}, evaluation:", *lines]))
        metric = self._config.keep_best
        if kept and self._checkpoints.keep_best(metric, *kept):
            self._reporter.say(f"The best {metric} so far, {kept[0]:.4g}: saved.")
        self._window_start += time.monotonic() - start


def peak_gigabytes() -> float:
    """The largest resident memory of this process so far; 0 on Windows."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # On Linux `getrusage` starts with the parent's peak.
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1024 / 1e9
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)
