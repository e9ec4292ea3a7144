"""`models`: lists what can be trained, and measures the models beside CycleGAN.

TensorFlow is imported where it is used, so that the list comes at once.
"""

import dataclasses
import datetime
import pathlib
import platform
import statistics
import tempfile
import time
from importlib.metadata import version

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import Config
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.options import OPTIONS
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.validation import DRAWN_DATASETS, UserError, check_choice

SUMMARY = (
    "Lists the models that train.py trains, with their papers and presets. With "
    "--measure it trains a preset with three seeds, and what stands beside it, in a "
    "folder that is removed, and prints its numbers."
)

FLAGS = {"measure": ("", "a preset to train and measure instead")}

NUM_SEEDS = 3


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes the flags."""
    program.define_flags(FLAGS, values)


def help_text(called: str) -> str:
    """What `--help` prints."""
    return program.help_of_flags(f"{called} [--measure PRESET]", SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Lists, or measures what the flag names."""
    program.no_arguments(arguments)
    name = flags.FLAGS["measure"].value
    program.show(measured(name) if name else listing())


def listing() -> str:
    """The models, each with its paper and its presets."""
    lines = []
    for kind in (Config, *OPTIONS.values()):
        lines += [f"{kind.model}: {kind.summary}"]
        for name, preset in PRESETS.items():
            if preset.options is kind:
                lines.append(program.entry(name, preset.record))
        lines.append("")
    return "\n".join(lines).rstrip()


def measured(name: str) -> str:
    """Trains a preset with seeds 0, 1, 2; its numbers as a table, with their medians.

    And those of what the preset is measured beside, in a table of its own.

    Raises:
      UserError: there is no such preset, or it is a CycleGAN's.
    """
    check_choice("measure", name, PRESETS)
    preset = PRESETS[name]
    if preset.options is Config and preset.config.dataset not in DRAWN_DATASETS:
        raise UserError(
            f"`measure` {name} is on real pictures: train it, and ask `evaluate` of "
            "the run."
        )
    kinds = {name: {}}
    if preset.baseline:
        told = ", ".join(f"{k} {v}" for k, v in preset.baseline.items())
        kinds[f"{name} with {told}"] = preset.baseline
    rows = {kind: {} for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(NUM_SEEDS):
            for number, (kind, values) in enumerate(kinds.items()):
                fields = {"seed": seed, **values}
                if preset.needs:
                    fields["generator_run"] = f"{folder}/{seed}-{preset.needs}"
                    if not number:
                        _train(preset.needs, fields["generator_run"], seed=seed)
                run_dir = f"{folder}/{seed}-{number}"
                rows[kind][seed] = _train(name, run_dir, **fields)
    return _tables(rows)


def _train(name: str, run_dir: str, **fields) -> dict[str, float]:
    """Trains a preset; its last numbers, and the minutes that it took."""
    with without_native_messages():
        from cyclegan_tf.run_directory import LOG_FILE
        from cyclegan_tf.training import reporting, train
    start = time.monotonic()
    config = dataclasses.replace(PRESETS[name].config, run_dir=run_dir, **fields)
    train.train(config)
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
