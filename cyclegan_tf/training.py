"""A run from its configuration to its last checkpoint: strategy, loop, logs, grids."""

import contextlib
import dataclasses
import math
import pathlib
import resource
import signal
import sys
import tempfile
import time

import keras
import tensorflow as tf

from cyclegan_tf import datasets, evaluation, images
from cyclegan_tf.checkpoints import Checkpoints, check_can_go_on, initialize
from cyclegan_tf.config import Config, UserError, save_config
from cyclegan_tf.cyclegan import CycleGAN, translate
from cyclegan_tf.input_pipeline import steps_per_epoch, training_batches
from cyclegan_tf.reporting import CURVES_FILE, GRIDS_FOLDER, Reporter
from cyclegan_tf.strategies import make_strategy


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the run can't go on."""


def describe(config: Config) -> str:
    """The plan of a run, as `--dry_run` prints it: fields, parameters and steps.

    Raises:
      UserError: the data set is unknown or incomplete, or the run can't go on.
    """
    check_can_go_on(config.run_dir)
    counts = datasets.count(config)
    model = CycleGAN(dataclasses.replace(config, strategy="single", pool_size=0), 1)
    lines = [config.to_json().rstrip()]
    if config.initialize_from:
        lines.append(_initialized(model))
    lines += [
        f"{n}: {m.count_params():,} parameters" for n, m in model.networks.items()
    ]
    if counts is None:
        lines.append("steps: not known before the data set is downloaded")
    else:
        epoch = steps_per_epoch(*counts, config.batch_size)
        lines.append(
            f"steps: {_num_steps(config, epoch):,} ({epoch:,} an epoch, "
            f"{counts[0]:,} and {counts[1]:,} training pictures)"
        )
    return "\n".join(lines)


def train(config: Config) -> None:
    """Trains, or goes on with, the run in `config.run_dir`.

    Args:
      config: The configuration; `run_dir` must be set.

    Raises:
      UserError: the data, the run directory or the checkpoint can't be used.
      NonFiniteLossError: a loss became NaN or infinite.
      KeyboardInterrupt: after Ctrl-C or SIGTERM, once the state is saved.
    """
    run_dir = pathlib.Path(config.run_dir)
    _check_writable(run_dir)
    check_can_go_on(run_dir)
    # It fails on the gradient of a fused LeakyReLU (TF 2.21), says so in each run, and
    # a step is no slower without it.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    strategy = make_strategy(config.strategy)
    keras.utils.set_random_seed(config.seed)
    data = datasets.load(config)
    counts = len(data.train_x), len(data.train_y)
    epoch_steps = steps_per_epoch(*counts, config.batch_size)
    num_steps = _num_steps(config, epoch_steps)
    model = CycleGAN(config, epoch_steps, strategy)
    checkpoints = Checkpoints(model, run_dir)
    start = checkpoints.restore()
    if start == 0 and config.initialize_from:
        print(_initialized(model), flush=True)
    # Only now, so that nothing is left of a run that could not start.
    run_dir.mkdir(parents=True, exist_ok=True)
    save_config(config)
    if start:
        print(f"Going on with {run_dir} from step {start:,}.", flush=True)
    if start >= num_steps:
        print(f"{run_dir} is at step {start:,} of {num_steps:,}: nothing to train.")
        return
    reporter = Reporter(run_dir, start, num_steps)
    run = _Run(model, data, checkpoints, reporter, epoch_steps)
    with contextlib.closing(reporter), _stop_on_signal() as stop:
        if start == 0:
            run.report_pictures("epoch_0000")
        batches = training_batches(data, config, strategy, start, num_steps)
        for real_x, real_y in batches:
            run.train_step(real_x, real_y)
            if stop.requested:
                break
        run.finish()
    if stop.requested and model.step < num_steps:
        raise KeyboardInterrupt(f"Stopped and saved at step {model.step:,}.")
    print(f"Trained {model.step:,} of {num_steps:,} steps, {_peak_gigabytes():.1f} GB.")
    _print_places(run_dir, run.newest_grid)


def _print_places(run_dir: pathlib.Path, grid: str) -> None:
    print(f"Pictures: {run_dir / GRIDS_FOLDER / grid}")
    print(f"Losses: {run_dir / CURVES_FILE}")
    print(f"All of the run: {run_dir}")


class _Run:
    """What happens around each step, and when."""

    def __init__(self, model, data, checkpoints, reporter, epoch_steps):
        self._model = model
        self._config = model.config
        self._data = data
        self._checkpoints = checkpoints
        self._reporter = reporter
        self._epoch_steps = epoch_steps
        self._step = model.step
        self._unread = []
        self._window = []
        self._window_start = time.monotonic()
        self.newest_grid = None

    def train_step(self, real_x, real_y) -> None:
        """One step, and whatever is due after it."""
        self._unread.append(self._model.train_step(real_x, real_y))
        self._step += 1
        self._reporter.advance()
        epoch, within = divmod(self._step, self._epoch_steps)
        if self._step % self._config.log_every_steps == 0:
            self._record_losses()
        if self._step % self._config.save_every_steps == 0 or within == 0:
            self._save()
        if within == 0:
            self.report_pictures(f"epoch_{epoch:04d}")

    def finish(self) -> None:
        """Saves and reports where the last step left off."""
        self._record_losses()
        self._save()
        if self._step % self._epoch_steps:
            self.report_pictures(f"step_{self._step:07d}")

    def _save(self) -> None:
        # Losses first: weights made by a non-finite one must not replace good ones.
        self._read_losses()
        self._checkpoints.save(self._step)

    def _read_losses(self) -> None:
        """Fetches the losses of the last steps from their devices and checks them."""
        first_step = self._step - len(self._unread) + 1
        for step, tensors in enumerate(self._unread, start=first_step):
            losses = {name: float(loss) for name, loss in tensors.items()}
            _check_finite(step, losses, self._checkpoints.last_step)
            self._window.append(losses)
        self._unread = []

    def _record_losses(self) -> None:
        """Writes the means since the last record."""
        self._read_losses()
        if not self._window:
            return
        number, now = len(self._window), time.monotonic()
        names = self._window[0]
        values = {k: sum(losses[k] for losses in self._window) / number for k in names}
        values["epoch"] = (self._step - 1) // self._epoch_steps + 1
        values["learning_rate"] = self._model.learning_rate
        values["steps_per_second"] = number / (now - self._window_start)
        values["peak_memory_gigabytes"] = _peak_gigabytes()
        self._reporter.scalars(self._step, values)
        self._window, self._window_start = [], now

    def report_pictures(self, name: str) -> None:
        """Writes a grid, the loss curves, and errors where the truth is known."""
        start = time.monotonic()
        self._reporter.grid(name, self._step, grid_pictures(self._model, self._data))
        self._reporter.curves()
        self.newest_grid = f"{name}.png"
        errors = evaluation.paired_errors(self._model, self._data)
        if errors:
            record = {f"error_{k}": v for k, v in errors.items()}
            self._reporter.scalars(self._step, record)
            self._reporter.say(
                f"Step {self._step:,}, mean absolute error to the true translation in "
                f"levels of 255: X to Y {errors['x_to_y']:.1f} (doing nothing: "
                f"{errors['doing_nothing_x_to_y']:.1f}), Y to X "
                f"{errors['y_to_x']:.1f} ({errors['doing_nothing_y_to_x']:.1f})"
            )
        # Not a part of the time that the steps took.
        self._window_start += time.monotonic() - start


def grid_pictures(model: CycleGAN, data: datasets.UnpairedData) -> dict:
    """Test pictures with what the generators make of them, as columns of a grid.

    Returns:
      uint8 [rows, height, width, 3] by title, in the order real, fake, cycled, same of
      X, then of Y.
    """
    multiple = model.config.size_multiple
    columns = {}
    rows = min(model.config.num_grid_images, len(data.test_x), len(data.test_y))
    for x, y, forward, back, domain in (
        ("x", "y", model.generator_g, model.generator_f, data.test_x),
        ("y", "x", model.generator_f, model.generator_g, data.test_y),
    ):
        made = {f"real_{x}": [], f"fake_{y}": [], f"cycled_{x}": [], f"same_{x}": []}
        for picture in evaluation.first(domain, rows):
            real = images.to_float(picture[None])
            fake = translate(forward, real, multiple)
            cycled = translate(back, fake, multiple)
            same = translate(back, real, multiple)
            for column, image in zip(
                made.values(), (real, fake, cycled, same), strict=True
            ):
                column.append(images.to_uint8(image)[0].numpy())
        columns.update(made)
    return columns


def _initialized(model: CycleGAN) -> str:
    """Takes over the networks that the configuration names; says which."""
    run_dir = model.config.initialize_from
    taken = initialize(model, run_dir)
    random = [name for name in model.networks if name not in taken]
    told = f"From {run_dir}: {', '.join(taken)}."
    return f"{told} Random weights: {', '.join(random)}." if random else told


def _num_steps(config: Config, epoch_steps: int) -> int:
    whole = config.total_epochs * epoch_steps
    return min(config.max_steps, whole) if config.max_steps else whole


def _check_finite(step: int, losses: dict[str, float], last_saved: int) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            good = f"is of step {last_saved:,}" if last_saved else "does not exist"
            raise NonFiniteLossError(
                f"{name} is {value} at step {step:,}. The last good checkpoint {good}."
            )


def _check_writable(run_dir: pathlib.Path) -> None:
    """Tries to write where the run directory is or will be; leaves nothing there."""
    place = run_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"`run_dir` {run_dir} can't be written to: {reason}."
        ) from error


def _peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


class _Stop:
    requested = False


@contextlib.contextmanager
def _stop_on_signal():
    """Turns the first Ctrl-C or SIGTERM into a wish to stop after the step."""
    stop = _Stop()
    before = {}

    def request(number, frame) -> None:
        stop.requested = True
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, request)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
