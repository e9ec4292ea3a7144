"""Times training steps beside plainer steps and what the machine can do at best.

    python tests/benchmarks/benchmark.py --preset horse2zebra64

Prints Markdown: a table for each configuration, and last the rows of the page's table
of presets.
"""

import argparse
import dataclasses
import importlib.metadata
import itertools
import math
import os
import pathlib
import platform
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cyclegan_tf.compat import num_cores  # noqa: E402
from cyclegan_tf.config import PRECISIONS, Config  # noqa: E402
from cyclegan_tf.messages import (  # noqa: E402
    UserError,
    check_choice,
    without_native_messages,  # noqa: E402
)
from cyclegan_tf.training.presets import PRESETS  # noqa: E402

BESIDE = ("plain", "tutorial", "generator")
# Training pictures of the longer domain of horse2zebra.
_EPOCH_PICTURES = 1334


def parser() -> argparse.ArgumentParser:
    """The options. Lists have commas between their items."""

    def items(text: str) -> list[str]:
        return [item.strip() for item in text.split(",") if item.strip()]

    def sizes(text: str) -> list[int]:
        return [int(item) for item in items(text)]

    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    add("--preset", type=items, default=["horse2zebra64"], help="presets of CycleGAN")
    add("--sizes", type=sizes, help="sides of the pictures; default: the preset's")
    add("--precisions", type=items, help=f"{', '.join(PRECISIONS)}; the preset's")
    add("--identity_every_steps", type=int, default=1, help="as `train` has it")
    add("--jit_compile", action="store_true", help="compile the step with XLA")
    add("--recompute", action="store_true", help="less memory, more time")
    text = f"what takes turns with the step: {', '.join(BESIDE)}; default: all"
    add("--beside", type=items, default=[*BESIDE], help=text)
    add("--rounds", type=int, default=10, help="timed rounds; default: 10")
    return found


def configurations(options: argparse.Namespace) -> list[tuple[str, Config]]:
    """Every combination of presets, sizes and precisions, with the preset's name.

    Raises:
      UserError: a preset is unknown or is not a CycleGAN, or a value does not fit.
    """
    for name in options.beside:
        check_choice("beside", name, BESIDE)
    if options.rounds < 1:
        raise UserError(f"`rounds` must be at least 1. Received: {options.rounds}.")
    names = [n for n, preset in PRESETS.items() if preset.options is Config]
    found = []
    for preset in options.preset:
        check_choice("preset", preset, names)
        base = PRESETS[preset].config
        sizes = options.sizes or [base.image_size]
        precisions = options.precisions or [base.precision]
        for size, precision in itertools.product(sizes, precisions):
            fields = {
                "image_size": size,
                "load_size": math.ceil(base.load_size * size / base.image_size),
                "test_size": math.ceil(base.test_size * size / base.image_size),
                "precision": precision,
                "identity_every_steps": options.identity_every_steps,
                "jit_compile": options.jit_compile,
                "recompute": options.recompute,
                "strategy": "single",
            }
            found.append((preset, dataclasses.replace(base, **fields)))
    return found


def main(arguments: list[str]) -> None:
    """Measures each configuration and prints what it found."""
    options = parser().parse_args(arguments)
    try:
        cases = configurations(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    with without_native_messages():
        import tensorflow as tf

        from benchmarks.inputs import fresh_run, pictures_per_second
        from benchmarks.measure import measure
        from cyclegan_tf.training.devices import describe_devices, share_cores

        # Both as `train` does.
        share_cores()
        tf.config.optimizer.set_experimental_options({"remapping": False})
        print(f"{describe_devices()}; {_machine()}", flush=True)
    rows = []
    for preset, config in cases:
        print(f"\n`{preset}`, {title(config)}:\n", flush=True)
        found = measure(config, options.rounds, options.beside)
        print(table(found), flush=True)
        decoded, cached = (pictures_per_second(config, c) for c in ("none", "auto"))
        print(
            f"Input alone: {decoded:.0f} pictures/s from JPEG files, {cached:.0f} from "
            f"memory; the step takes {2 * config.batch_size / found.mean_step:.1f}."
        )
        first, memory = fresh_run(config)
        print(
            f"In a process of its own: {first:.1f} s from the start of `train` to the "
            f"end of the first step, {memory:.1f} GB."
        )
        if tf.config.list_physical_devices("GPU"):
            memory = found.peak_gigabytes
        rows.append(row(preset, found, memory))
    print("\n" + "\n".join(rows))


def title(config: Config) -> str:
    """The fields that differ between measurements, such as `256 px, float32`."""
    parts = [f"{config.image_size} px", f"batch {config.batch_size}", config.precision]
    parts += [name for name in ("jit_compile", "recompute") if getattr(config, name)]
    if config.identity_every_steps > 1:
        parts.append(f"identity every {config.identity_every_steps} steps")
    return ", ".join(parts)


def table(found) -> str:
    """A Markdown table of a `Measured`, and a line about graph, tracing and memory."""
    lines = [
        "| what | median | fastest | slowest | of the step | GFLOP | GFLOP/s | of the "
        "matrix product |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, seconds in found.seconds.items():
        median, share = found.median(name), found.share(name)
        flops = found.flops[name] / 1e9
        times = map(_time, (median, min(seconds), max(seconds)))
        lines.append(
            f"| {name} | {' | '.join(times)} | "
            f"{found.ratio(name, of='step'):.2f} | "
            f"{flops:.3g} | {flops / median:.0f} | {share:.0%} |"
        )
    return "\n".join(lines) + (
        f"\n\n{found.operations:,} operations in the step's optimized graph; the first "
        f"step takes {found.tracing_seconds:.1f} s more. {found.peak_gigabytes:.1f} GB "
        "at most until two steps were done.\n"
    )


def row(preset: str, found, memory: float) -> str:
    """A row of the page's table of presets."""
    config, seconds = found.config, found.mean_step
    steps = config.total_epochs * math.ceil(_EPOCH_PICTURES / config.batch_size)
    return (
        f"| `{preset}` | {title(config)} | {_time(seconds)} a step | "
        f"{2 * config.batch_size / seconds:.3g} pictures/s | {memory:.1f} GB | "
        f"{steps * seconds / 3600:.3g} h for {steps:,} steps on horse2zebra |"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _machine() -> str:
    path, processor = pathlib.Path("/proc/cpuinfo"), platform.processor()
    if path.exists() and (model := re.search("model name.*: (.*)", path.read_text())):
        processor = model[1]
    versions = [f"{x} {importlib.metadata.version(x)}" for x in ("tensorflow", "keras")]
    python = f"Python {platform.python_version()}"
    return "; ".join([f"{num_cores()} x {processor}", python, *versions])


if __name__ == "__main__":
    main(sys.argv[1:])
