"""A CycleGAN's run: its data, its length, and what is shown of it."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.data import datasets
from cyclegan_tf.data.pipeline import (
    names_of_step,
    steps_per_epoch,
    training_batches,
    with_user_errors,
)
from cyclegan_tf.models.cyclegan import GENERATOR_NAMES, CycleGAN
from cyclegan_tf.networks.features import weights_file
from cyclegan_tf.quality import (
    checks,
    detectors,
    metrics,
    pictures,
    protocol,
    report,
)
from cyclegan_tf.run_directory import LOG_FILE, load_config
from cyclegan_tf.training.checkpoints import initialize
from cyclegan_tf.training.loop import Evaluation, Views
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.validation import UserError

_CURVES = {
    "Adversarial": ("gen_g_loss", "gen_f_loss", "disc_x_loss", "disc_y_loss"),
    "Cycle": ("total_cycle_loss",),
    "Identity": ("identity_g_loss", "identity_f_loss"),
}


class CycleGANRun:
    """What `train` asks of a CycleGAN.

    Args:
      config: The configuration.
      strategy: The devices.

    Attributes:
      model: The CycleGAN.
      epoch_steps: Steps of an epoch, as long as the longer domain.
      num_steps: Steps of the whole training.
      sizes: What its data set is known by.
    """

    def __init__(self, config: Config, strategy: tf.distribute.Strategy):
        if config.discriminator == "projected":
            # Missing weights are a mistake to hear of before pictures are read.
            weights_file(config.feature_network, config.feature_weights)
        self._data = datasets.load(config)
        self.sizes = self._data.sizes
        counts = len(self._data.train_x), len(self._data.train_y)
        self.epoch_steps = steps_per_epoch(*counts, config.batch_size)
        self.num_steps = _num_steps(config, self.epoch_steps)
        self.model = CycleGAN(config, self.epoch_steps, strategy)

    def begin(self) -> list[str]:
        """Takes over the networks that the configuration names; says which."""
        return [_initialized(self.model)] if self.model.config.initialize_from else []

    def views(self) -> Views:
        """What is shown while it trains."""
        return Views(
            functools.partial(pictures.grid_pictures, self.model, self._data),
            functools.partial(_checked, self.model, self._data),
            _CURVES,
            _evaluation(self.model, self._data),
            at_start=False,
            names=functools.partial(names_of_step, self._data, self.model.config),
        )

    def batches(self, start: int) -> Iterator[tuple]:
        """The arguments of each step from `start` on."""
        model, every = self.model, self.model.config.identity_every_steps
        batches = training_batches(
            self._data, model.config, model.strategy, start, self.num_steps
        )
        batches = with_user_errors(batches)
        for step, (real_x, real_y) in enumerate(batches, start=start):
            yield real_x, real_y, step % every == 0

    def told(self) -> list[str]:
        """What is said of it in the end."""
        if not self.model.config.evaluate_every_epochs:
            return []
        log = read_log(pathlib.Path(self.model.config.run_dir) / LOG_FILE)
        table = metrics.spread_table(*metrics.last_five(log))
        return [f"Mean and deviation of the last five evaluations:\n{table}"]


def plan(config: Config) -> list[str]:
    """Parameters and steps of a run, a line each; no picture is read.

    Raises:
      UserError: the data set is unknown or incomplete, or the run can't begin.
    """
    counts = datasets.count(config)
    # Without pools, which may take much memory.
    small = {"strategy": "single", "pool_size": 0}
    model = CycleGAN(dataclasses.replace(config, **small), 1)
    lines = [_initialized(model)] if config.initialize_from else []
    lines += [
        f"{n}: {m.count_params():,} parameters" for n, m in model.networks.items()
    ]
    lines.append(
        f"batch: {config.batch_size} of each domain over all replicas, whatever their "
        f"number; so is the learning rate, {config.learning_rate:g}"
    )
    if counts is None:
        return [*lines, "steps: not known before the data set is downloaded"]
    epoch = steps_per_epoch(*counts, config.batch_size)
    steps = (
        f"steps: {_num_steps(config, epoch):,} ({epoch:,} an epoch, "
        f"{counts[0]:,} and {counts[1]:,} training pictures)"
    )
    return [*lines, steps]


def _checked(
    model: CycleGAN, data: datasets.UnpairedData
) -> tuple[dict[str, float], list[str]]:
    """Errors where the truth is known, as the log calls them; what is said of them."""
    numbers, lines = {}, []
    errors = checks.paired_errors(model, data)
    if errors:
        numbers = {f"error_{name}": error for name, error in errors.items()}
        lines.append(checks.told(errors))
    if model.step and not model.config.evaluate_every_epochs:
        lines += checks.problems(model, data) + _won(model)
    return numbers, lines


def _won(model: CycleGAN) -> list[str]:
    log = read_log(pathlib.Path(model.config.run_dir) / LOG_FILE)
    return detectors.discriminator_won(log, model.config.adversarial_loss)


def _evaluation(
    model: CycleGAN, data: datasets.UnpairedData
) -> Callable[[], Evaluation] | None:
    """What evaluates the model as it is then."""
    config = model.config
    if not config.evaluate_every_epochs:
        return None
    run_dir = pathlib.Path(config.run_dir)
    wanted = config.evaluation_features, config.evaluation_weights
    asked = wanted != (Config.evaluation_features, Config.evaluation_weights)
    extractor, line = protocol.find_extractor(*wanted, asked, "evaluation_weights")
    if line and config.keep_best and metrics.needs_features(config.keep_best):
        raise UserError(f"`keep_best` {config.keep_best} can't be measured. {line}")
    evaluator, probe = protocol.of_data(data, config.picture_size, extractor)
    for told in [line] if line else report.features_lines(evaluator, probe):
        print(told, flush=True)

    def evaluate() -> Evaluation:
        made = pictures.of_test_pictures(data, pictures.translators_of(model))
        table, problems = protocol.evaluate(evaluator, made)
        problems += _won(model)
        values = {name: row["model"] for name, row in table.items()}
        # A PSNR of equals is no number of JSON.
        numbers = {name: v for name, v in values.items() if math.isfinite(v)}
        records = [*read_log(run_dir / LOG_FILE), {"step": model.step, **numbers}]
        about = {"run_dir": str(run_dir), "step": model.step, "probe": probe}
        protocol.write(run_dir, evaluator, made, table, problems, about, records)
        value = metrics.value_of(config.keep_best, numbers)
        kept = None
        if value is not None:
            kept = value, metrics.higher_is_better(config.keep_best)
        return numbers, [*metrics.lines(table), *problems], kept

    return evaluate


def _initialized(model: CycleGAN) -> str:
    """Takes over the networks that the configuration names; says which."""
    run_dir = model.config.initialize_from
    taken = initialize(model.networks, run_dir)
    theirs = load_config(run_dir)
    # The one field of a network that shapes of weights do not tell.
    ours, before = (c.output_activation for c in (model.config, theirs))
    if ours != before and set(taken) & set(GENERATOR_NAMES):
        raise UserError(
            f"`initialize_from` {run_dir} has generators of `output_activation` "
            f"{before}, this run {ours}: their weights mean something else."
        )
    model.start_averages()
    random = [name for name in model.networks if name not in taken]
    told = f"From {run_dir}: {', '.join(taken)}."
    return f"{told} Random weights: {', '.join(random)}." if random else told


def _num_steps(config: Config, epoch_steps: int) -> int:
    whole = config.num_steps or config.total_epochs * epoch_steps
    return min(config.max_steps, whole) if config.max_steps else whole
