"""`models`: lists the models, and measures a preset.

TensorFlow is imported where it is used, so that the list comes at once.
"""

import datetime
import pathlib
import platform
import statistics
import tempfile
import time
from importlib.metadata import version

from absl import flags

from cyclegan_tf.commands.program import Command, Flag, entry
from cyclegan_tf.config import DRAWN_DATASETS, Config
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.messages import UserError, check_choice, without_native_messages
from cyclegan_tf.training.presets import PRESETS, preset
from cyclegan_tf.training.run_directory import LOG_FILE

NUM_SEEDS = 3


def _models(values: flags.FlagValues) -> None:
    print(measure(values.measure) if values.measure else listing())


def listing() -> str:
    """The models, each with its paper and presets."""
    lines = []
    for kind in OPTIONS.values():
        lines.append(f"{kind.model}: {kind.__doc__.splitlines()[0]}")
        for name, known in PRESETS.items():
            if known.options is kind:
                lines.append(entry(name, known.record))
        lines.append("")
    return "\n".join(lines).rstrip()


def measure(name: str) -> str:
    """Trains a preset with seeds 0, 1, 2; returns tables of numbers and their medians.

    A preset with a baseline has a second table, for the baseline.

    Raises:
      UserError: there is no such preset, or it uses real pictures.
    """
    check_choice("measure", name, PRESETS)
    known = PRESETS[name]
    if known.options is Config and known.config.dataset not in DRAWN_DATASETS:
        raise UserError(
            f"`measure` {name} uses real pictures: train it, then use `evaluate`."
        )
    kinds = {name: {}}
    if known.baseline:
        changes = ", ".join(f"{k} {v}" for k, v in known.baseline.items())
        kinds[f"{name} with {changes}"] = known.baseline
    rows = {kind: {} for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(NUM_SEEDS):
            for number, (kind, values) in enumerate(kinds.items()):
                fields = {"seed": seed, **values}
                if known.needs:
                    fields["generator_run"] = f"{folder}/{seed}-{known.needs}"
                    if not number:
                        _train(known.needs, fields["generator_run"], seed=seed)
                run_dir = f"{folder}/{seed}-{number}"
                rows[kind][seed] = _train(name, run_dir, **fields)
    return _tables(rows)


def _train(name: str, run_dir: str, **fields) -> dict[str, float]:
    """Trains a preset; returns its last numbers, and the minutes."""
    with without_native_messages():
        from cyclegan_tf.training import reporting, train
    start = time.monotonic()
    train.train(preset(name, run_dir=run_dir, **fields))
    minutes = (time.monotonic() - start) / 60
    log = reporting.read_log(pathlib.Path(run_dir) / LOG_FILE)
    last = next(r for r in reversed(log) if "learning_rate" not in r)
    return {**{k: v for k, v in last.items() if k != "step"}, "minutes": minutes}


def _tables(rows: dict[str, dict[int, dict[str, float]]]) -> str:
    """Numbers by seed and their medians, a table for each kind of run."""
    lines = []
    for kind, of_seeds in rows.items():
        seeds = ", ".join(map(str, of_seeds))
        lines += [f"| {kind} | seed {seeds} | median |", "| --- | --- | --- |"]
        for number in next(iter(of_seeds.values())):
            values = [row[number] for row in of_seeds.values()]
            shown = ", ".join(f"{value:.3g}" for value in values)
            lines.append(f"| {number} | {shown} | {statistics.median(values):.3g} |")
        lines.append("")
    versions = ", ".join(f"{p} {version(p)}" for p in ("tensorflow", "keras"))
    date, machine = datetime.date.today(), f"{platform.system()} {platform.machine()}"
    lines.append(f"({date}, {machine}, Python {platform.python_version()}, {versions})")
    return "\n".join(lines)


MODELS = Command(
    _models,
    {"measure": Flag("", "a preset to train and measure instead")},
    "Lists the models of train.py, with their papers and presets. With --measure it "
    "trains a preset, and its baseline, with three seeds in a temporary folder, and "
    "prints their numbers.",
    ("[--measure PRESET]",),
)
