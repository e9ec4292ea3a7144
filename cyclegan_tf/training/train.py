"""A CycleGAN's run from its configuration to its last checkpoint."""

import dataclasses
import functools
import math
import pathlib
import tempfile
from collections.abc import Callable

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.data import datasets
from cyclegan_tf.data.input_pipeline import steps_per_epoch, training_batches
from cyclegan_tf.models.cyclegan import GENERATOR_NAMES, CycleGAN
from cyclegan_tf.presets import default_run_dir
from cyclegan_tf.quality import (
    checks,
    detectors,
    metrics,
    pictures,
    protocol,
    report,
)
from cyclegan_tf.run_directory import (
    CURVES_FILE,
    GRIDS_FOLDER,
    LOG_FILE,
    check_same,
    load_config,
    save_config,
)
from cyclegan_tf.training.checkpoints import Checkpoints, check_can_go_on, initialize
from cyclegan_tf.training.loop import Evaluation, Loop, Views, peak_gigabytes
from cyclegan_tf.training.reporting import Reporter, read_log
from cyclegan_tf.training.strategies import make_strategy
from cyclegan_tf.validation import UserError

_CURVES = {
    "Adversarial": ("gen_g_loss", "gen_f_loss", "disc_x_loss", "disc_y_loss"),
    "Cycle": ("total_cycle_loss",),
    "Identity": ("identity_g_loss", "identity_f_loss"),
}


def train(config: Config) -> pathlib.Path:
    """Trains, or goes on with, the run in `config.run_dir`.

        cg.train(cg.preset("demo", run_dir="runs/mine", max_steps=200))

    Args:
      config: The configuration; without a `run_dir`, that is `runs/DATASET`. A run that
        is found there goes on.

    Returns:
      The run directory.

    Raises:
      UserError: the data, the run directory or the checkpoint can't be used, or the run
        there has another configuration.
      NonFiniteLossError: a loss became NaN or infinite.
      KeyboardInterrupt: after Ctrl-C or SIGTERM, once the state is saved.
    """
    if not config.run_dir:
        run_dir = default_run_dir("", config.dataset)
        config = dataclasses.replace(config, run_dir=run_dir)
    run_dir = pathlib.Path(config.run_dir)
    check_same(config)
    _check_writable(run_dir)
    check_can_go_on(run_dir)
    # It fails on the gradient of a fused LeakyReLU (TF 2.21), says so in each run, and
    # a step is no slower without it.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    strategy = make_strategy(config.strategy)
    keras.utils.set_random_seed(config.seed)
    data = datasets.load(config)
    counts = len(data.train_x), len(data.train_y)
    epoch_steps = steps_per_epoch(*counts, config.pictures_per_step)
    num_steps = _num_steps(config, epoch_steps)
    model = CycleGAN(config, epoch_steps, strategy)
    checkpoints = Checkpoints(model.state(), run_dir)
    start = checkpoints.restore()
    if start == 0 and config.initialize_from:
        print(_initialized(model), flush=True)
    evaluation = _evaluation(model, data) if start < num_steps else None
    # Only now, so that nothing is left of a run that could not start.
    run_dir.mkdir(parents=True, exist_ok=True)
    save_config(config)
    if start:
        print(f"Going on with {run_dir} from step {start:,}.", flush=True)
    if start >= num_steps:
        print(f"{run_dir} is at step {start:,} of {num_steps:,}: nothing to train.")
        return run_dir
    reporter = Reporter(run_dir, start, num_steps)
    views = _views(model, data, evaluation)
    loop = Loop(model, config, checkpoints, reporter, views, epoch_steps)
    stopped = loop.run(training_batches(data, config, strategy, start, num_steps))
    if stopped and model.step < num_steps:
        raise KeyboardInterrupt(f"Stopped and saved at step {model.step:,}.")
    _tell_end(model, num_steps, run_dir, loop.newest_grid)
    return run_dir


def _tell_end(
    model: CycleGAN, num_steps: int, run_dir: pathlib.Path, newest_grid: str
) -> None:
    """Says how far a run came, and where to look."""
    print(f"Trained {model.step:,} of {num_steps:,} steps, {peak_gigabytes():.1f} GB.")
    told = metrics.spread_table(*metrics.last_five(read_log(run_dir / LOG_FILE)))
    if model.config.evaluate_every_epochs:
        print(f"Mean and deviation of the last five evaluations:\n{told}")
    print(f"Pictures: {run_dir / GRIDS_FOLDER / newest_grid}")
    print(f"Losses: {run_dir / CURVES_FILE}\nAll of the run: {run_dir}")


def _views(
    model: CycleGAN,
    data: datasets.UnpairedData,
    evaluation: Callable[[], Evaluation] | None,
) -> Views:
    """What is shown of a CycleGAN while it trains."""
    return Views(
        functools.partial(pictures.grid_pictures, model, data),
        functools.partial(_checked, model, data),
        _CURVES,
        evaluation,
    )


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
    """What evaluates the model as it is then; trains a judge first if need be."""
    config = model.config
    if not config.evaluate_every_epochs:
        return None
    run_dir = pathlib.Path(config.run_dir)
    evaluator, judge = protocol.of_data(data, config.picture_size)
    print(report.judge_line(judge), flush=True)

    def evaluate() -> Evaluation:
        made = pictures.of_test_pictures(data, pictures.translators_of(model))
        table, problems = protocol.evaluate(evaluator, made)
        problems += _won(model)
        values = {name: row["model"] for name, row in table.items()}
        # A PSNR of equals is no number of JSON.
        numbers = {name: v for name, v in values.items() if math.isfinite(v)}
        records = [*read_log(run_dir / LOG_FILE), {"step": model.step, **numbers}]
        about = {"run_dir": str(run_dir), "step": model.step, "judge": judge}
        protocol.write(run_dir, evaluator, made, table, problems, about, records)
        value = metrics.value_of(config.keep_best, numbers)
        kept = None
        if value is not None:
            kept = value, metrics.higher_is_better(config.keep_best)
        return numbers, [*metrics.lines(table), *problems], kept

    return evaluate


def describe(config: Config) -> str:
    """The plan of a run, as `--dry_run` prints it: fields, parameters and steps.

    Raises:
      UserError: the data set is unknown or incomplete, or the run can't go on.
    """
    check_can_go_on(config.run_dir)
    counts = datasets.count(config)
    # Without pools, which may take much memory.
    small = {"strategy": "single", "pool_size": 0, "discriminator_pictures": 1}
    model = CycleGAN(dataclasses.replace(config, **small), 1)
    lines = [config.to_json().rstrip()]
    if config.initialize_from:
        lines.append(_initialized(model))
    lines += [
        f"{n}: {m.count_params():,} parameters" for n, m in model.networks.items()
    ]
    if counts is None:
        lines.append("steps: not known before the data set is downloaded")
    else:
        epoch = steps_per_epoch(*counts, config.pictures_per_step)
        lines.append(
            f"steps: {_num_steps(config, epoch):,} ({epoch:,} an epoch, "
            f"{counts[0]:,} and {counts[1]:,} training pictures)"
        )
    return "\n".join(lines)


def _initialized(model: CycleGAN) -> str:
    """Takes over the networks that the configuration names; says which."""
    run_dir = model.config.initialize_from
    taken = initialize(model.networks, run_dir)
    theirs = load_config(run_dir)
    for name in taken:
        # The one field of a network that shapes of weights do not tell.
        field = "output_skip" if name in GENERATOR_NAMES else "discriminator_norm"
        ours, before = (str(getattr(c, field)).lower() for c in (model.config, theirs))
        if ours != before:
            raise UserError(
                f"`initialize_from` {run_dir} has a {name} with `{field}` {before}, "
                f"this run {ours}: its weights mean something else."
            )
    model.start_averages()
    random = [name for name in model.networks if name not in taken]
    told = f"From {run_dir}: {', '.join(taken)}."
    return f"{told} Random weights: {', '.join(random)}." if random else told


def _num_steps(config: Config, epoch_steps: int) -> int:
    whole = config.total_epochs * epoch_steps
    return min(config.max_steps, whole) if config.max_steps else whole


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
