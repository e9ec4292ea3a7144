"""The run of a CycleGAN: its data, length, grids, checks and evaluations."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.core.cyclegan import GENERATOR_NAMES, CycleGAN
from cyclegan_tf.core.features import weights_file
from cyclegan_tf.data import datasets
from cyclegan_tf.data.pipeline import (
    names_of_step,
    steps_per_epoch,
    training_batches,
    with_user_errors,
)
from cyclegan_tf.evaluation import (
    failure_modes,
    features,
    metrics,
    report,
    translations,
)
from cyclegan_tf.evaluation.evaluator import (
    describe_errors,
    make_evaluator,
    paired_errors,
)
from cyclegan_tf.messages import LOG, UserError
from cyclegan_tf.training.checkpoints import initialize
from cyclegan_tf.training.loop import Evaluation, Numbers, Run
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.training.run_directory import LOG_FILE, load_config

_CURVES = {
    "Adversarial": ("gen_g_loss", "gen_f_loss", "disc_x_loss", "disc_y_loss"),
    "Cycle": ("total_cycle_loss",),
    "Identity": ("identity_g_loss", "identity_f_loss"),
}


def make_run(config: Config, strategy: tf.distribute.Strategy | None = None) -> Run:
    """Makes the run of a CycleGAN; an epoch is as long as the larger domain.

    Args:
      config: The configuration.
      strategy: The devices; None for the current strategy.

    Raises:
      UserError: the data or the weights of the feature network can't be used.
    """
    if config.discriminator == "projected":
        # Report missing weights before reading pictures.
        weights_file(config.feature_network, config.feature_weights)
    data = datasets.load(config)
    counts = len(data.train_x), len(data.train_y)
    epoch_steps = steps_per_epoch(*counts, config.batch_size)
    num_steps = _num_steps(config, epoch_steps)
    model = CycleGAN(config, epoch_steps, strategy)

    def batches(start: int) -> Iterator[tuple]:
        every = config.identity_every_steps
        pairs = training_batches(data, config, model.trainer.strategy, start, num_steps)
        for step, (real_x, real_y) in enumerate(with_user_errors(pairs), start=start):
            yield real_x, real_y, step % every == 0

    return Run(
        trainer=model.trainer,
        num_steps=num_steps,
        epoch_steps=epoch_steps,
        batches=batches,
        pictures=lambda: translations.grid_pictures(model, data),
        numbers=lambda: _numbers(model, data),
        curves=_CURVES,
        sizes=data.sizes,
        names=functools.partial(names_of_step, data, config),
        begin=lambda: [_initialized(model)] if config.initialize_from else [],
        evaluator=lambda: _evaluator(model, data),
        summary=lambda: _summary(config) if config.evaluate_every_epochs else [],
        at_start=False,
    )


def plan(config: Config) -> list[str]:
    """Lists parameters and steps of a run, one per line; reads no picture.

    Raises:
      UserError: the data set is unknown or incomplete, or the run can't start.
    """
    counts = datasets.count(config)
    # Pools can need much memory.
    small = {"strategy": "single", "pool_size": 0}
    model = CycleGAN(dataclasses.replace(config, **small), 1)
    lines = [_initialized(model)] if config.initialize_from else []
    lines += [
        f"{n}: {m.count_params():,} parameters" for n, m in model.networks.items()
    ]
    lines.append(
        f"batch: {config.batch_size} of each domain, for all replicas together; so is "
        f"the learning rate, {config.learning_rate:g}"
    )
    if counts is None:
        return [*lines, "steps: unknown before the data set is downloaded"]
    epoch = steps_per_epoch(*counts, config.batch_size)
    steps = f"{_num_steps(config, epoch):,} ({epoch:,} per epoch"
    training = f"{counts[0]:,} and {counts[1]:,} training pictures)"
    return [*lines, f"steps: {steps}, {training}"]


def _numbers(model: CycleGAN, data: datasets.UnpairedData) -> Numbers:
    """Measures errors if true translations are known, and checks for failures."""
    numbers, lines = {}, []
    if errors := paired_errors(model, data):
        numbers = {f"error_{name}": error for name, error in errors.items()}
        lines.append(describe_errors(errors))
    if model.trainer.step and not model.config.evaluate_every_epochs:
        lines += failure_modes.check_model(model, data) + _won(model)
    return numbers, lines


def _won(model: CycleGAN) -> list[str]:
    log = read_log(pathlib.Path(model.config.run_dir) / LOG_FILE)
    return failure_modes.discriminator_won(log, model.config.adversarial_loss)


def _evaluator(
    model: CycleGAN, data: datasets.UnpairedData
) -> Callable[[], Evaluation] | None:
    """Makes the function that evaluates the current weights; None if it is off."""
    config = model.config
    if not config.evaluate_every_epochs:
        return None
    run_dir = pathlib.Path(config.run_dir)
    wanted = config.evaluation_features, config.evaluation_weights
    explicit = wanted != (Config.evaluation_features, Config.evaluation_weights)
    extractor, line = features.find_extractor(*wanted, explicit, "evaluation_weights")
    if line and config.keep_best and metrics.needs_features(config.keep_best):
        raise UserError(f"`keep_best` {config.keep_best} can't be measured. {line}")
    evaluator = make_evaluator(data, config.picture_size, extractor)
    for each in [line] if line else report.describe_features(evaluator):
        LOG.info(each)

    def evaluate() -> Evaluation:
        translators = translations.make_translators(model)
        translated = translations.translate_test_pictures(data, translators)
        table, problems = evaluator.evaluate(translated)
        problems += _won(model)
        values = {name: row["model"] for name, row in table.items()}
        # JSON has no infinity, the PSNR of equal pictures.
        numbers = {name: v for name, v in values.items() if math.isfinite(v)}
        records = [
            *read_log(run_dir / LOG_FILE),
            {"step": model.trainer.step, **numbers},
        ]
        about = {"run_dir": str(run_dir), "step": model.trainer.step}
        report.write(run_dir, evaluator, translated, table, problems, about, records)
        value = metrics.value_of(config.keep_best, numbers)
        best = None
        if value is not None:
            best = value, metrics.higher_is_better(config.keep_best)
        return numbers, [*metrics.lines(table), *problems], best

    return evaluate


def _initialized(model: CycleGAN) -> str:
    """Loads the networks of `initialize_from`; returns a line about them."""
    run_dir = model.config.initialize_from
    loaded = initialize(model.networks, run_dir)
    # The shapes of weights show every other field of a network.
    ours = model.config.output_activation
    theirs = load_config(run_dir).output_activation
    if ours != theirs and set(loaded) & set(GENERATOR_NAMES):
        raise UserError(
            f"`initialize_from` {run_dir} has generators with `output_activation` "
            f"{theirs}, this run {ours}: their weights mean something else."
        )
    model.trainer.start_averages()
    random = [name for name in model.networks if name not in loaded]
    line = f"From {run_dir}: {', '.join(loaded)}."
    return f"{line} Random weights: {', '.join(random)}." if random else line


def _num_steps(config: Config, epoch_steps: int) -> int:
    whole = config.num_steps or config.total_epochs * epoch_steps
    return min(config.max_steps, whole) if config.max_steps else whole


def _summary(config: Config) -> list[str]:
    log = read_log(pathlib.Path(config.run_dir) / LOG_FILE)
    table = metrics.spread_table(*metrics.last_five(log))
    return [f"Mean and deviation of the last five evaluations:\n{table}"]
