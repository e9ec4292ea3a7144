"""`benchmark`: its flags, and the configurations that they ask for.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import dataclasses
import os
import pathlib

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import PRECISIONS, Config
from cyclegan_tf.messages import progress_bar, without_native_messages
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.validation import UserError, check_choice

SUMMARY = (
    "Times a training step on random pictures, taking turns with the documents' plain "
    "step, the tutorial's with Keras' own layers, a generator, exported models, and "
    "what the machine can do at best. Prints Markdown, the rows of the page's table of "
    "presets last."
)

OTHERS = ("plain", "tutorial", "generator")

FLAGS = {
    "preset": ("horse2zebra64", "presets of CycleGAN, with commas between them"),
    "sizes": ("", "sides of the pictures, with commas; empty: the preset's"),
    "batches": ("", "batch sizes, with commas; empty: the preset's"),
    "precisions": (
        "",
        "of float32, bfloat16, float16, with commas; empty: the preset's",
    ),
    "identity_every_steps": (1, "as `train` has it"),
    "jit_compile": (False, "compile the step with XLA"),
    "recompute": (False, "keep less in memory and compute it again"),
    "strategy": ("single", "as `train` has it: mirrored takes all GPUs"),
    "beside": (
        ",".join(OTHERS),
        "what takes turns with the step, with commas; empty: the machine's rates "
        "alone; a step that does not do what the preset does is left out",
    ),
    "models": ("", "exported models to time on a picture: paths, with commas"),
    "rounds": (10, "rounds that are timed"),
    "fresh": (
        True,
        "train three steps in a process of its own too, for memory and time to start",
    ),
    "input": (True, "time the input pipeline alone too"),
    "json": ("", "file for all numbers"),
    "chart": ("", "PNG file for a bar chart"),
}


def help_text(called: str) -> str:
    """What `--help` prints."""
    usage = f"""{called} --preset horse2zebra64
       {called} --preset horse2zebra,unet,quick256 --rounds 20
       {called} --preset horse2zebra --sizes 128,256,512 --chart cost.png"""
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Measures each configuration that the flags ask for."""
    program.no_arguments(arguments)
    values = flags.FLAGS
    cases, others = configurations(values), program.listed(values.beside)
    for name in others:
        check_choice("beside", name, OTHERS)
    if values.rounds < 1:
        raise UserError(f"`rounds` must be at least 1. Received: {values.rounds}.")
    models = [os.path.expanduser(path) for path in program.listed(values.models)]
    for path in models:
        if not os.path.exists(path):
            raise UserError(f"No such model: {path}.")
    paths = _writable(values)
    with without_native_messages():
        import tensorflow as tf

        from cyclegan_tf.speed import benchmark, machine, report
        from cyclegan_tf.speed.fresh import fresh_run
        from cyclegan_tf.speed.pictures import pictures_a_second
        from cyclegan_tf.training.devices import share_cores

        # Both as `train` has them.
        share_cores()
        tf.config.optimizer.set_experimental_options({"remapping": False})
        about = machine.described()
    print("; ".join(f"{name}: {text}" for name, text in about.items()), flush=True)
    all_measured, records, rows = {}, [], []
    for preset, config in cases:
        with progress_bar(desc=preset, unit="call", leave=False, delay=2) as bar:
            measured = benchmark.measure(
                config, values.rounds, others, models, bar.update
            )
        more = {}
        if values.input:
            more |= pictures_a_second(config)
        if values.fresh:
            more |= fresh_run(config)
        print("\n`" + preset + "`, " + "\n".join(report.lines(measured, more)))
        all_measured[f"{preset}, {report.title(config)}"] = measured
        records.append(report.as_json(preset, measured, more))
        rows.append(report.row(preset, measured, more))
    print("\n" + "\n".join(rows))
    if "json" in paths:
        report.write_json(paths["json"], about, records)
    if "chart" in paths:
        report.write_chart(paths["chart"], all_measured)


def configurations(values: flags.FlagValues) -> list[tuple[str, Config]]:
    """The configurations that parsed flags ask for, each with its preset's name.

    Raises:
      UserError: a preset is unknown or no CycleGAN's, a list holds something else than
        it should, or a value does not fit.
    """
    fields = ("identity_every_steps", "jit_compile", "recompute", "strategy")
    given = {name: values[name].value for name in fields}
    cases = []
    for preset in program.listed(values.preset) or [""]:
        check_choice("preset", preset, _presets())
        base = PRESETS[preset].config
        for size in _numbers("sizes", values.sizes) or [base.image_size]:
            for batch in _numbers("batches", values.batches) or [base.batch_size]:
                for precision in program.listed(values.precisions) or [base.precision]:
                    check_choice("precisions", precision, PRECISIONS)
                    changed = {
                        **given,
                        "image_size": size,
                        "load_size": _scaled(base.load_size, size, base.image_size),
                        "test_size": _scaled(base.test_size, size, base.image_size),
                        "batch_size": batch,
                        "precision": precision,
                    }
                    cases.append((preset, dataclasses.replace(base, **changed)))
    return cases


def _presets() -> list[str]:
    return [n for n, preset in PRESETS.items() if preset.options is Config]


def _scaled(length: int, size: int, of: int) -> int:
    return -(-length * size // of)


def _numbers(name: str, text: str) -> list[int]:
    parts = program.listed(text)
    for part in parts:
        if not part.isdecimal():
            raise UserError(
                f"`{name}` must be whole numbers with commas between them. Received: "
                f"{text!r}."
            )
    return [int(part) for part in parts]


def _writable(values: flags.FlagValues) -> dict[str, pathlib.Path]:
    """The files to write; refused before anything is measured."""
    paths = {}
    for name in ("json", "chart"):
        if values[name].value:
            path = pathlib.Path(os.path.expanduser(values[name].value))
            if not path.parent.is_dir() or path.is_dir():
                raise UserError(f"`{name}` {path} is no file in a folder that exists.")
            paths[name] = path
    return paths
