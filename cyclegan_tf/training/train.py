"""A run from its configuration to its last checkpoint, whatever its model."""

import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Protocol

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.data import dataset_record
from cyclegan_tf.leftovers import remove_half_checkpoints
from cyclegan_tf.models.conditional import ConditionalGAN
from cyclegan_tf.models.controllable import ControllableGAN
from cyclegan_tf.models.dcgan import DCGAN
from cyclegan_tf.models.domain_invariant import DomainInvariantClassifier
from cyclegan_tf.models.pix2pix import Pix2PixGAN
from cyclegan_tf.models.points import PointsGAN
from cyclegan_tf.models.semi_supervised import SemiSupervisedGAN
from cyclegan_tf.options import Common
from cyclegan_tf.presets import run_dir_of
from cyclegan_tf.process import Stopped
from cyclegan_tf.run_directory import (
    CHECKPOINTS_FOLDER,
    CURVES_FILE,
    GRIDS_FOLDER,
    check_same,
    save_config,
)
from cyclegan_tf.run_lock import one_writer
from cyclegan_tf.training import cyclegan_run, workers
from cyclegan_tf.training.checkpoint_files import check_can_go_on
from cyclegan_tf.training.checkpoints import Checkpoints, take_over
from cyclegan_tf.training.loop import Loop, Trainable, Views, peak_gigabytes
from cyclegan_tf.training.reporting import NoReporter, Reporter
from cyclegan_tf.training.strategies import make_strategy
from cyclegan_tf.validation import UserError

# The models beside CycleGAN, made of their options and a strategy.
MODELS = {
    "points": PointsGAN,
    "dcgan": DCGAN,
    "conditional": ConditionalGAN,
    "controllable": ControllableGAN,
    "semi_supervised": SemiSupervisedGAN,
    "domain_invariant": DomainInvariantClassifier,
    "pix2pix": Pix2PixGAN,
}


# Of a process that does not lead.
_NOTHING_SHOWN = Views(dict, lambda: ({}, []), {}, at_start=False)


class Run(Protocol):
    """What a training asks of a model's run: `CycleGANRun`, or `ModelRun`.

    Attributes:
      model: What is trained.
      num_steps: Steps of the whole training.
      epoch_steps: Steps of an epoch: pictures, numbers and a checkpoint after each.
      sizes: The data set's record (data/dataset_record.py), empty if it is drawn.
    """

    model: Trainable
    num_steps: int
    epoch_steps: int
    sizes: dataset_record.Sizes

    def begin(self) -> list[str]:
        """Prepares a training that has no checkpoint yet; lines that say how."""

    def views(self) -> Views:
        """What is shown while it trains."""

    def batches(self, start: int) -> Iterable[tuple]:
        """The arguments of each step from `start` on."""

    def told(self) -> list[str]:
        """What is said of it in the end."""


class ModelRun:
    """The run of a model beside CycleGAN.

    A model has `trained` (see `Trained`), `pictures()`, `numbers()` and `curves`, as
    `Views` takes them, and if its step does not draw its data itself,
    `batches(start, num_steps)`, an iterator over the arguments of each step. A
    `prepare()` is called before the first step; `names_of_step(step)`, from 0, names
    its samples.

    Args:
      options: The model's.
      strategy: The devices.
    """

    def __init__(self, options: Common, strategy: tf.distribute.Strategy):
        self._model = MODELS[options.model](options, strategy)
        self.model = self._model.trained
        self._measured_at, self._measured = None, ({}, [])
        self.num_steps = min(options.max_steps or options.num_steps, options.num_steps)
        self.epoch_steps = options.show_every_steps
        self.sizes = self._model.data.sizes if hasattr(self._model, "data") else {}

    def begin(self) -> list[str]:
        """Takes over the generator that the options name, if they do; says which."""
        run_dir = getattr(self._model.options, "generator_run", "")
        if not run_dir:
            return []
        take_over({"generator": self._model.generator}, run_dir, "generator_run")
        return [f"From {run_dir}: generator."]

    def views(self) -> Views:
        """What the model shows; has it prepare what its steps need first."""
        if hasattr(self._model, "prepare"):
            self._model.prepare()
        model = self._model
        names = getattr(model, "names_of_step", Views.names)
        return Views(model.pictures, self._numbers, model.curves, names=names)

    def batches(self, start: int) -> Iterable[tuple]:
        """The model's, or nothing for each."""
        if hasattr(self._model, "batches"):
            return self._model.batches(start, self.num_steps)
        return itertools.repeat((), self.num_steps - start)

    def told(self) -> list[str]:
        """The model's numbers."""
        return self._numbers()[1]

    def _numbers(self) -> tuple[dict[str, float], list[str]]:
        """The model's, measured once a step: the last ones are also told in the end."""
        if self._measured_at != self.model.step:
            self._measured_at, self._measured = self.model.step, self._model.numbers()
        return self._measured


def make_run(config: Config | Common, strategy: tf.distribute.Strategy) -> Run:
    """The run that a configuration describes."""
    kind = cyclegan_run.CycleGANRun if isinstance(config, Config) else ModelRun
    return kind(config, strategy)


def train(config: Config | Common) -> pathlib.Path:
    """Trains, or goes on with, the run in `config.run_dir`.

        cg.train(cg.preset("demo", run_dir="runs/mine", max_steps=200))

    Args:
      config: The configuration; without a `run_dir`, that is `runs/DATASET`, or
        `runs/MODEL` of a model beside CycleGAN. A run that is found there goes on.

    Returns:
      The run directory.

    Raises:
      UserError: the data, the run directory or the checkpoint can't be used, the run
        there has another configuration, or another process trains it.
      NonFiniteLossError: a loss or a weight became NaN or infinite.
      Stopped: after Ctrl-C or SIGTERM, once the state is saved.
    """
    if not config.run_dir:
        config = dataclasses.replace(config, run_dir=run_dir_of("", config))
    run_dir = pathlib.Path(config.run_dir)
    check_same(config)
    _check_writable(run_dir)
    check_can_go_on(run_dir)
    # It fails on the gradient of a fused LeakyReLU (TF 2.21), says so in each run, and
    # a step is no slower without it.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy(config.strategy)
    with workers.told_if_gone(strategy):
        if not workers.leads(strategy):
            return _train(config, run_dir, strategy)
        with one_writer(run_dir):
            check_same(config)  # Another training may have ended here meanwhile.
            remove_half_checkpoints(run_dir / CHECKPOINTS_FOLDER)
            return _train(config, run_dir, strategy)


def _train(
    config: Config | Common, run_dir: pathlib.Path, strategy: tf.distribute.Strategy
) -> pathlib.Path:
    """Trains as `train` does, in a run directory that is held if this process leads."""
    keras.utils.set_random_seed(config.seed)
    run = make_run(config, strategy)
    leads = workers.leads(strategy)
    # Of models that read pictures.
    allowed = getattr(config, "allow_changed_data", False)
    changed = dataset_record.check_unchanged(run_dir, run.sizes, allowed)
    checkpoints = Checkpoints(run.model.state(), run_dir, leads)
    start = _restored(checkpoints, strategy)
    said = [f"Going on with {run_dir} from step {start:,}."] if start else run.begin()
    goes_on = start < run.num_steps
    if not goes_on:
        said = [
            f"{run_dir} is at step {start:,} of {run.num_steps:,}: nothing to train."
        ]
    views = run.views() if goes_on and leads else _NOTHING_SHOWN
    if leads:
        # Only now, so that nothing is left of a run that could not start.
        # Allowed once: the next change is to be told again.
        save_config(
            dataclasses.replace(config, allow_changed_data=False) if allowed else config
        )
        dataset_record.save(run_dir, run.sizes)
        if changed:
            said.append(f"The data set has changed ({changed}).")
        for line in said:
            print(line, flush=True)
    if not goes_on:
        return run_dir
    reporter = Reporter(run_dir, start, run.num_steps) if leads else NoReporter()
    agree = workers.agreement(strategy)
    loop = Loop(run.model, config, checkpoints, reporter, views, run.epoch_steps, agree)
    stopped = loop.run(run.batches(start))
    agree(0)  # Nobody leaves before all are done.
    if stopped and run.model.step < run.num_steps:
        told = (
            f"Stopped and saved at step {run.model.step:,}. The same command goes on."
        )
        raise Stopped(told, stopped)
    if leads:
        _tell_end(run, run_dir, loop.newest_grid)
    return run_dir


def _restored(checkpoints: Checkpoints, strategy: tf.distribute.Strategy) -> int:
    """Restores a run, and gives its step, the same on all workers."""
    leads, wait = workers.leads(strategy), workers.summed(strategy)
    # The one that leads comes first: it sets aside what is damaged.
    start = checkpoints.restore() if leads else 0
    wait(0)
    start = start if leads else checkpoints.restore()
    workers.check_same_step(start, strategy)
    return start


def _tell_end(run: Run, run_dir: pathlib.Path, newest_grid: str) -> None:
    """Says how far a run came, and where to look."""
    steps = f"Trained {run.model.step:,} of {run.num_steps:,} steps"
    print(f"{steps}, {peak_gigabytes():.1f} GB.")
    for line in run.told():
        print(line)
    print(f"Pictures: {run_dir / GRIDS_FOLDER / newest_grid}")
    print(f"Losses: {run_dir / CURVES_FILE}\nAll of the run: {run_dir}")


def describe(config: Config | Common) -> str:
    """The plan of a run, as `--dry_run` prints it: fields, parameters and steps.

    Raises:
      UserError: the data set is unknown or incomplete, or the run can't go on.
    """
    check_can_go_on(config.run_dir)
    lines = [config.to_json().rstrip()]
    if isinstance(config, Config):
        return "\n".join(lines + cyclegan_run.plan(config))
    run = make_run(config, tf.distribute.get_strategy())
    for name, network in run.model.networks.items():
        lines.append(f"{name}: {network.count_params():,} parameters")
    return "\n".join([*lines, f"steps: {run.num_steps:,}"])


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
