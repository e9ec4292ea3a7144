"""What a benchmark found: lines, Markdown, JSON and a chart."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow as tf

from cyclegan_tf.files import written_whole
from cyclegan_tf.speed.benchmark import STEP, Measured, mean_step

# Training pictures of horse2zebra's longer domain.
_EPOCH_PICTURES = 1334


def title(config) -> str:
    """What tells a configuration from others, such as `256 px, batch 1, float32`."""
    parts = [f"{config.image_size} px", f"batch {config.batch_size}", config.precision]
    for name in ("jit_compile", "recompute"):
        parts += [name] if getattr(config, name) else []
    if config.identity_every_steps > 1:
        parts.append(f"identity every {config.identity_every_steps} steps")
    return ", ".join(parts)


def lines(measured: Measured, more: Mapping[str, float]) -> list[str]:
    """A Markdown table of the times, and a sentence about the rest.

    Args:
      measured: Of a configuration.
      more: What a fresh process and the input pipeline gave, by name; may be empty.
    """
    told = [
        f"{title(measured.config)}:",
        "",
        "| what | median | fastest | slowest | of the step | GFLOP | GFLOP/s | of the "
        "matrix product |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    step = measured.times[STEP]
    for name, times in measured.times.items():
        flops = measured.calls[name].flops
        counted = ["", "", ""]
        if flops:
            rate, share = measured.rate(name), measured.share(name)
            counted = [f"{flops / 1e9:.3g}", f"{rate / 1e9:.0f}", f"{share:.0%}"]
        cells = [
            name,
            *map(_time, (times.median, min(times.seconds), max(times.seconds))),
            f"{step.ratio(times):.2f}",
            *counted,
        ]
        told.append("| " + " | ".join(cells) + " |")
    told += [
        "",
        f"{measured.operations:,} operations in the step's optimised graph; the first "
        f"step takes {measured.tracing_seconds:.1f} s more. "
        f"{measured.peak_gigabytes:.1f} GB at most until two steps were done.",
    ]
    if "first_step_seconds" in more:
        told.append(
            f"In a process of its own: {more['first_step_seconds']:.1f} s from the "
            f"start to the end of the first step, {more['peak_gigabytes']:.1f} GB."
        )
    if "jpeg_files" in more:
        told.append(
            f"Input alone: {more['jpeg_files']:.0f} pictures/s from JPEG files, "
            f"{more['memory']:.0f} from memory; the step takes {_needed(measured):.1f}."
        )
    return told


def row(preset: str, measured: Measured, more: Mapping[str, float]) -> str:
    """A row of the page's table of presets, in Markdown."""
    config, seconds = measured.config, mean_step(measured)
    steps = config.total_epochs * -(-_EPOCH_PICTURES // config.batch_size)
    memory = measured.peak_gigabytes
    if not tf.config.list_physical_devices("GPU"):
        memory = more.get("peak_gigabytes", memory)
    cells = [
        f"`{preset}`",
        title(config),
        f"{_time(seconds)} a step",
        f"{2 * config.batch_size / seconds:.3g} pictures/s",
        f"{memory:.1f} GB",
        f"{steps * seconds / 3600:.3g} h for {steps:,} steps on horse2zebra",
    ]
    return "| " + " | ".join(cells) + " |"


def as_json(preset: str, measured: Measured, more: Mapping[str, float]) -> dict:
    """All of it, for programs."""
    return {
        "preset": preset,
        "config": dataclasses.asdict(measured.config),
        "seconds": {name: times.seconds for name, times in measured.times.items()},
        "flops": {n: call.flops for n, call in measured.calls.items() if call.flops},
        "share": {n: measured.share(n) for n, c in measured.calls.items() if c.flops},
        "operations": measured.operations,
        "tracing_seconds": measured.tracing_seconds,
        "peak_gigabytes_of_two_steps": measured.peak_gigabytes,
        **more,
    }


def write_json(path: pathlib.Path, machine: Mapping, cases: Sequence[dict]) -> None:
    """Writes what `as_json` gave of all configurations."""
    with written_whole(path) as temporary:
        text = json.dumps({"machine": dict(machine), "cases": list(cases)}, indent=2)
        temporary.write_text(text + "\n")


def write_chart(path: pathlib.Path, measured: Mapping[str, Measured]) -> None:
    """Draws the median of each call as a bar, a panel a configuration.

    Args:
      path: A PNG.
      measured: By title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 2.2 * len(measured)), layout="constrained")
    panels = figure.subplots(len(measured), 1, squeeze=False)[:, 0]
    for axes, (name, one) in zip(panels, measured.items(), strict=True):
        names = list(one.times)[::-1]
        medians = [one.times[n].median for n in names]
        least = [one.times[n].median - min(one.times[n].seconds) for n in names]
        most = [max(one.times[n].seconds) - one.times[n].median for n in names]
        axes.barh(names, medians, xerr=[least, most], color="#4878a8", capsize=3)
        axes.set_title(name, loc="left")
        axes.set_xlabel("seconds; whiskers: fastest and slowest round")
        axes.set_xlim(left=0)
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _needed(measured: Measured) -> float:
    return 2 * measured.config.batch_size / mean_step(measured)
