"""A run from its configuration to its last checkpoint, for every model."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

from cyclegan_tf.base_options import BaseOptions
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.data import datasets
from cyclegan_tf.family.controllable import ControllableGAN
from cyclegan_tf.family.dcgan import DCGAN, ConditionalGAN
from cyclegan_tf.family.domain_invariant import DomainInvariantClassifier
from cyclegan_tf.family.pix2pix import Pix2PixGAN
from cyclegan_tf.family.points import PointsGAN
from cyclegan_tf.family.semi_supervised import SemiSupervisedGAN
from cyclegan_tf.family.shared.options import Controllable, FamilyOptions, Pix2Pix
from cyclegan_tf.family.vae import VAE
from cyclegan_tf.messages import (
    LOG,
    Stopped,
    lossy_output,
    print_messages,
)
from cyclegan_tf.training import cyclegan_run, devices
from cyclegan_tf.training.checkpoints import (
    Checkpoints,
    check_can_go_on,
    remove_half_checkpoints,
    restore_networks,
)
from cyclegan_tf.training.loop import Loop, Run, peak_gigabytes
from cyclegan_tf.training.presets import run_dir_of
from cyclegan_tf.training.reporting import Reporter
from cyclegan_tf.training.run_directory import (
    CURVES_FILE,
    GRIDS_FOLDER,
    check_same,
    one_writer,
    read_newest,
    save_config,
    with_absolute_paths,
)


def _family_run(kind: Callable, options: FamilyOptions, strategy=None) -> Run:
    return _run_of(kind(options, strategy))


def _pix2pix_run(options: Pix2Pix, strategy=None) -> Run:
    model = Pix2PixGAN(options, strategy)
    run = _run_of(model)
    return dataclasses.replace(
        run,
        batches=lambda start: model.batches(start, run.num_steps),
        sizes=model.data.sizes,
        names=model.names_of_step,
    )


def _controllable_run(options: Controllable, strategy=None) -> Run:
    model = ControllableGAN(options, strategy)

    def begin() -> list[str]:
        read_newest(
            options.generator_run,
            lambda path: restore_networks(path, {"generator": model.generator}),
            "generator_run",
        )
        return [f"From {options.generator_run}: generator."]

    return dataclasses.replace(_run_of(model), begin=begin, prepare=model.prepare)


def _run_of(model) -> Run:
    """Makes the run of a model that draws its data in its step."""
    options, trainer = model.options, model.trainer
    num_steps = min(options.max_steps or options.num_steps, options.num_steps)
    # The summary repeats the last numbers, so measure once a step.
    numbers_of_step = functools.lru_cache(maxsize=1)(lambda step: model.numbers())
    return Run(
        trainer=trainer,
        num_steps=num_steps,
        epoch_steps=options.show_every_steps,
        batches=lambda start: itertools.repeat((), num_steps - start),
        pictures=model.pictures,
        numbers=lambda: numbers_of_step(trainer.step),
        curves=model.curves,
        summary=lambda: numbers_of_step(trainer.step)[1],
    )


# Functions from options and a strategy (default: the current one) to a run.
MODELS = {
    "cyclegan": cyclegan_run.make_run,
    "points": functools.partial(_family_run, PointsGAN),
    "dcgan": functools.partial(_family_run, DCGAN),
    "conditional": functools.partial(_family_run, ConditionalGAN),
    "controllable": _controllable_run,
    "vae": functools.partial(_family_run, VAE),
    "semi_supervised": functools.partial(_family_run, SemiSupervisedGAN),
    "domain_invariant": functools.partial(_family_run, DomainInvariantClassifier),
    "pix2pix": _pix2pix_run,
}


def train(config: BaseOptions) -> pathlib.Path:
    """Trains the run in `config.run_dir`, or continues it.

        cg.train(cg.preset("demo", run_dir="runs/mine", max_steps=200))

    Args:
      config: The configuration. The default `run_dir` is `runs/DATASET`, for models
        beside CycleGAN `runs/MODEL`.

    Returns:
      The run directory.

    Raises:
      UserError: the data, the run directory or the checkpoint can't be used, the run
        there has another configuration, or another process trains it.
      NonFiniteLossError: a loss or a weight became NaN or infinite.
      Stopped: after Ctrl-C or SIGTERM, once the state is saved.
    """
    started = time.monotonic()
    print_messages()
    if not config.run_dir:
        config = dataclasses.replace(config, run_dir=run_dir_of("", config))
    run_dir = pathlib.Path(config.run_dir)
    config = with_absolute_paths(config)
    check_same(config)
    check_can_go_on(run_dir)
    with lossy_output(), _global_options(config.deterministic):
        strategy = devices.make_strategy(config.strategy)
        with devices.reports_lost_workers(strategy):
            if not devices.is_chief(strategy):
                return _train(config, run_dir, strategy, started)
            with one_writer(run_dir):
                remove_half_checkpoints(run_dir)
                return _train(config, run_dir, strategy, started)


@contextlib.contextmanager
def _global_options(deterministic: bool) -> Iterator[None]:
    """Sets global options of TensorFlow and Keras; restores them at the end."""
    optimizer = tf.config.optimizer
    before = optimizer.get_experimental_options()
    was_deterministic = tf_config.is_op_determinism_enabled()
    # Remapping fails on the gradient of a fused LeakyReLU (TF 2.21) and warns in each
    # run. A step is not slower without it.
    optimizer.set_experimental_options({"remapping": False})
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        with computing_in("float32"):
            yield
    finally:
        changed = "remapping", "dependency_optimization"  # The latter by make_strategy.
        optimizer.set_experimental_options({name: before.get(name) for name in changed})
        if deterministic and not was_deterministic:
            tf_config.disable_op_determinism()


def _train(
    config: BaseOptions,
    run_dir: pathlib.Path,
    strategy: tf.distribute.Strategy,
    started: float,
) -> pathlib.Path:
    """Trains; the chief worker holds the run directory's lock."""
    longer = check_same(config)  # Another training may have ended here meanwhile.
    keras.utils.set_random_seed(config.seed)
    run = MODELS[config.model](config, strategy)
    chief = devices.is_chief(strategy)
    changed = datasets.check_unchanged(run_dir, run.sizes, config.allow_changed_data)
    checkpoints = Checkpoints(run.trainer.state(), run_dir, chief)
    start = _restored(checkpoints, strategy)
    trains = start < run.num_steps
    if not trains:
        at = f"step {start:,} of {run.num_steps:,}"
        lines = [f"{run_dir} is at {at}: nothing to train."]
    elif start:
        lines = [f"Continuing {run_dir} from step {start:,}."]
        if longer:
            lines.append(f"A longer run ({longer}): {_schedule(config, run)}.")
    else:
        lines = run.begin()
    evaluate = reporter = None
    if chief:
        if trains:
            run.prepare()
            evaluate = run.evaluator()
        # Only now, so that a run that can't start leaves no file. The next change of
        # the data needs a new permission.
        once = {"allow_changed_data": False} if config.allow_changed_data else {}
        save_config(dataclasses.replace(config, **once))
        datasets.save_record(run_dir, run.sizes)
        if changed:
            lines.append(f"The data set has changed ({changed}).")
        for line in lines:
            LOG.info(line)
    if not trains:
        return run_dir
    if chief:
        reporter = Reporter(run_dir, start, run.num_steps)
    agree = devices.common_signal(strategy)
    loop = Loop(run, config, checkpoints, reporter, evaluate, agree, started)
    stopped, step = loop.run(run.batches(start)), run.trainer.step
    agree(0)  # Nobody leaves before all are done.
    if stopped and step < run.num_steps:
        line = f"Stopped and saved at step {step:,}. The same command continues."
        raise Stopped(line, stopped)
    if chief:
        memory = f", {peak:.1f} GB" if (peak := peak_gigabytes()) else ""
        LOG.info(f"Trained {step:,} of {run.num_steps:,} steps{memory}.")
        for line in run.summary():
            LOG.info(line)
        LOG.info(f"Pictures: {run_dir / GRIDS_FOLDER / loop.newest_grid}")
        LOG.info(f"Losses: {run_dir / CURVES_FILE}\nAll of the run: {run_dir}")
    return run_dir


def _schedule(config: BaseOptions, run: Run) -> str:
    if config.num_steps:
        unit, constant = "steps", config.num_steps // 2
        decay = config.num_steps - constant
    else:
        unit, constant, decay = "epochs", config.num_epochs, config.num_decay_epochs
    return (
        f"{run.num_steps:,} steps, with a constant learning rate for {constant:,} "
        f"{unit}, then a linear decay for {decay:,}; now {run.trainer.learning_rate:g}"
    )


def _restored(checkpoints: Checkpoints, strategy: tf.distribute.Strategy) -> int:
    """Restores the newest checkpoint; returns its step, the same on all workers."""
    chief, wait = devices.is_chief(strategy), devices.sum_of_workers(strategy)
    # The chief comes first: it moves damaged checkpoints away.
    start = checkpoints.restore() if chief else 0
    wait(0)
    start = start if chief else checkpoints.restore()
    devices.check_same_step(start, strategy)
    return start


def describe(config: BaseOptions) -> str:
    """Returns the plan of a run, for `--dry_run`: fields, parameters and steps.

    Raises:
      UserError: the data set is unknown or incomplete, or the run can't continue.
    """
    check_can_go_on(config.run_dir)
    if config.model == "cyclegan":  # Its run takes long to prepare.
        plan = cyclegan_run.plan(config)
    else:
        run = MODELS[config.model](config)
        networks = run.trainer.networks.items()
        plan = [f"{n}: {m.count_params():,} parameters" for n, m in networks]
        plan.append(f"steps: {run.num_steps:,}")
    return "\n".join([config.to_json().rstrip(), *plan])
