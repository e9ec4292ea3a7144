"""The numbers that an evaluation gives: their names, what is better, and how told.

Imports no TensorFlow.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

# Whose numbers stand beside one another: those of the model, of returning the input as
# it is, and of real pictures of the target.
MODELS = ("model", "doing_nothing", "real")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number of a direction.

    Attributes:
      text: What it is called in the table.
      better: `higher`, `lower`, or `` where neither is good for itself.
      shown: How a value is written.
      protocol: What a full name must also carry: `probe`, `features` or nothing.
    """

    text: str
    better: str
    shown: str = "{:.1f}"
    protocol: str = ""


METRICS = {
    "taken_for_target": Metric("taken for the target", "higher", "{:.0%}", "probe"),
    "log_odds_moved": Metric("log-odds moved", "higher", "{:.2f}", "probe"),
    "kernel_distance": Metric("kernel distance", "lower", "{:.4f}", "features"),
    "kernel_distance_deviation": Metric(
        "  its deviation over subsets", "", "{:.4f}", "features"
    ),
    "frechet_distance": Metric("Frechet distance", "lower", "{:.3f}", "features"),
    "cycle_error": Metric("cycle error, levels", "lower"),
    "cycle_psnr": Metric("cycle PSNR, dB", "higher"),
    "cycle_ssim": Metric("cycle SSIM", "higher", "{:.3f}"),
    "identity_error": Metric("identity error, levels", "lower"),
    "structure": Metric("structure kept", "higher", "{:.2f}"),
    "paired_error": Metric("error to the truth, levels", "lower"),
    "paired_psnr": Metric("PSNR to the truth, dB", "higher"),
    "paired_ssim": Metric("SSIM to the truth", "higher", "{:.3f}"),
    "error_inside": Metric("error where it changes", "lower"),
    "error_outside": Metric("error where it does not", "lower"),
    "changed": Metric("changed, levels", ""),
    "diversity": Metric("diversity against real", "", "{:.2f}"),
    "colour_correlation": Metric("colours kept", "", "{:.2f}"),
    "checkerboard": Metric("checkerboard against real", "lower", "{:.1f}"),
    "hidden": Metric("hidden in the fake", "lower", "{:.1f}"),
}


# What a training says of an evaluation; `evaluation.json` has all.
_TOLD = ("taken_for_target", "kernel_distance", "structure")


def full_name(direction: str, name: str, protocol: str = "") -> str:
    """The name of a number with all that it depends on.

    `A2B/kernel_distance/mobilenet_v2-1a2b3c4d-224px-bicubic/120-vs-667`: direction,
    number, network, digest of its weights, resize, and pictures on both sides.
    """
    return "/".join(part for part in (direction, name, protocol) if part)


def short_name(name: str) -> str:
    """`A2B/kernel_distance` of a full name."""
    return "/".join(name.split("/")[:2])


def value_of(metric: str, numbers: Mapping[str, float]) -> float | None:
    """One number to compare checkpoints by.

    Args:
      metric: As `keep_best` takes it: a name, for the mean of both directions, or
        `A2B/` or `B2A/` and a name.
      numbers: By full name.

    Returns:
      The number; None if it was not measured.
    """
    found = [
        value
        for name, value in numbers.items()
        if metric in (short_name(name), short_name(name).partition("/")[2])
    ]
    return float(np.mean(found)) if found else None


def higher_is_better(metric: str) -> bool:
    """Whether a number is the better the higher, by its name as `value_of` takes it."""
    return METRICS[metric.rpartition("/")[2]].better == "higher"


def needs_features(metric: str) -> bool:
    """Whether a number is measured by features; its name as `value_of` takes it."""
    return bool(METRICS[metric.rpartition("/")[2]].protocol)


def last_five(records: Sequence[Mapping]) -> tuple[dict, dict]:
    """A training's numbers: those of its last five evaluations, and the best.

    One evaluation of a GAN says little: the next may differ by a fifth.

    Args:
      records: Of the log, in order, with `step` and numbers by full name.

    Returns:
      Of each number of the last evaluation: `mean`, `deviation` and `count` of the
      last five; and of those that have a better: `value` and `step` of the best of all.
    """
    evaluations = [r for r in records if any(is_number(name) for name in r)]
    if not evaluations:
        return {}, {}
    spread, best = {}, {}
    for name in filter(is_number, evaluations[-1]):
        held = [r for r in evaluations if r.get(name) is not None]
        values = [r[name] for r in held][-5:]
        if not values:
            continue
        spread[name] = {
            "mean": float(np.mean(values)),
            "deviation": float(np.std(values)),
            "count": len(values),
        }
        better = METRICS[name.split("/")[1]].better
        if better:
            choose: Callable = max if better == "higher" else min
            record = choose(held, key=lambda r: r[name])
            best[name] = {"value": record[name], "step": record["step"]}
    return spread, best


def is_number(name: str) -> bool:
    """Whether a name of the log is the full name of a number of an evaluation."""
    parts = name.split("/")
    return len(parts) > 1 and parts[0] in ("A2B", "B2A") and parts[1] in METRICS


def table(numbers: Mapping[str, Mapping[str, float | None]]) -> str:
    """Numbers for a screen: a block a direction, a column for each of `MODELS`.

    Args:
      numbers: By full name, then by model.
    """
    lines, direction = [], None
    for name, values in numbers.items():
        if name.split("/")[0] != direction:
            direction = name.split("/")[0]
            told = "X to Y" if direction == "A2B" else "Y to X"
            heads = "".join(f"{m.replace('_', ' '):>15}" for m in MODELS)
            lines.append(f"{direction + ', ' + told:<30}{heads}")
        metric = METRICS[name.split("/")[1]]
        cells = "".join(f"{_shown(metric, values.get(m)):>15}" for m in MODELS)
        lines.append(f"  {metric.text:<28}{cells}")
    return "\n".join(lines)


def lines(numbers: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """The numbers that change most in a training, a line a direction."""
    told = {}
    for name, values in numbers.items():
        direction, short = name.split("/")[:2]
        if short in _TOLD:
            metric = METRICS[short]
            beside = ", ".join(
                f"{model.replace('_', ' ')} {_shown(metric, values[model])}"
                for model in MODELS[1:]
            )
            part = f"{metric.text} {_shown(metric, values['model'])} ({beside})"
            told.setdefault(direction, []).append(part)
    return [f"{direction}: {', '.join(parts)}" for direction, parts in told.items()]


def spread_table(spread: Mapping[str, Mapping], best: Mapping[str, Mapping]) -> str:
    """What `last_five` gave, for a screen."""
    lines = []
    for name, found in spread.items():
        metric = METRICS[name.split("/")[1]]
        if not metric.better:
            continue
        mean, deviation = (
            _shown(metric, found[part]) for part in ("mean", "deviation")
        )
        line = f"  {short_name(name):<28}{mean:>10} +- {deviation}"
        if name in best:
            shown = _shown(metric, best[name]["value"])
            line = f"{line:<52}best {shown} at step {best[name]['step']:,}"
        lines.append(line)
    return "\n".join(lines)


def _shown(metric: Metric, value: float | None) -> str:
    if value is None:
        return "-"
    return "exact" if math.isinf(value) else metric.shown.format(value)
