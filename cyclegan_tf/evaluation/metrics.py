"""The numbers of an evaluation: their names, which direction is better, their tables.

Imports no TensorFlow.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

# The columns of a table: the model, a model that returns its input, and real pictures
# of the target domain.
MODELS = ("model", "doing_nothing", "real")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number of one direction.

    Attributes:
      text: Its name in the table.
      better: `higher`, `lower`, or empty where neither is better.
      format: Formats a value.
      protocol: The full name also contains this: `probe`, `features` or nothing.
    """

    text: str
    better: str
    format: str = "{:.1f}"
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

# Training prints these; `evaluation.json` has all.
_PRINTED = ("taken_for_target", "kernel_distance", "structure")


def full_name(direction: str, name: str, protocol: str = "") -> str:
    """The name of a number with everything that it depends on.

    `A2B/kernel_distance/mobilenet_v2-1a2b3c4d-224px-bicubic/120-vs-667`: direction,
    number, network, digest of its weights, resize, and pictures on both sides.
    """
    return "/".join(part for part in (direction, name, protocol) if part)


def short_name(name: str) -> str:
    """`A2B/kernel_distance` of a full name."""
    return "/".join(name.split("/")[:2])


def value_of(metric: str, numbers: Mapping[str, float]) -> float | None:
    """The number for `keep_best`, such as `structure` or `A2B/structure`.

    Without a direction it is the mean of both; None if it was not measured.
    """
    found = [
        value
        for name, value in numbers.items()
        if metric in (short_name(name), name.split("/")[1])
    ]
    return float(np.mean(found)) if found else None


def higher_is_better(metric: str) -> bool:
    """Whether a higher number is better; takes the same names as `value_of`."""
    return METRICS[metric.rpartition("/")[2]].better == "higher"


def needs_features(metric: str) -> bool:
    """Whether a number needs features; takes the same names as `value_of`."""
    return bool(METRICS[metric.rpartition("/")[2]].protocol)


def last_five(records: Sequence[Mapping]) -> tuple[dict, dict]:
    """Summarizes the evaluations in a training's log: the last five, and the best.

    One evaluation of a GAN says little: the next may differ by a fifth.

    Returns:
      By full name, `mean`, `deviation` and `count` over the last five; and `value` and
      `step` of the best, for numbers with a better direction.
    """
    evaluations = [r for r in records if any(map(_is_number, r))]
    spread, best = {}, {}
    for name in filter(_is_number, evaluations[-1] if evaluations else ()):
        measured = [r for r in evaluations if r.get(name) is not None]
        values = [r[name] for r in measured][-5:]
        if not values:
            continue
        spread[name] = {
            "mean": float(np.mean(values)),
            "deviation": float(np.std(values)),
            "count": len(values),
        }
        better = METRICS[name.split("/")[1]].better
        if better:
            choose = max if better == "higher" else min
            record = choose(measured, key=lambda r: r[name])
            best[name] = {"value": record[name], "step": record["step"]}
    return spread, best


def _is_number(name: str) -> bool:
    """Whether a key of the log is the full name of a number."""
    direction, _, rest = name.partition("/")
    return direction in ("A2B", "B2A") and rest.split("/")[0] in METRICS


def table(numbers: Mapping[str, Mapping[str, float | None]]) -> str:
    """Formats numbers as a table: a block a direction, the columns of `MODELS`."""
    lines, direction = [], None
    for name, values in numbers.items():
        if name.split("/")[0] != direction:
            direction = name.split("/")[0]
            title = f"{direction}, {'X to Y' if direction == 'A2B' else 'Y to X'}"
            heads = "".join(f"{m.replace('_', ' '):>15}" for m in MODELS)
            lines.append(f"{title:<30}{heads}")
        metric = METRICS[name.split("/")[1]]
        cells = "".join(f"{_format(metric, values.get(m)):>15}" for m in MODELS)
        lines.append(f"  {metric.text:<28}{cells}")
    return "\n".join(lines)


def lines(numbers: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Formats the most useful numbers during training, a line a direction."""
    parts = {}
    for name, values in numbers.items():
        direction, short = name.split("/")[:2]
        if short in _PRINTED:
            metric = METRICS[short]
            model, nothing, real = (_format(metric, values[m]) for m in MODELS)
            part = f"{metric.text} {model} (doing nothing {nothing}, real {real})"
            parts.setdefault(direction, []).append(part)
    return [f"{direction}: {', '.join(found)}" for direction, found in parts.items()]


def spread_table(spread: Mapping[str, Mapping], best: Mapping[str, Mapping]) -> str:
    """Formats the result of `last_five` as a table."""
    lines = []
    for name, record in best.items():
        numbers = spread[name]["mean"], spread[name]["deviation"], record["value"]
        metric = METRICS[name.split("/")[1]]
        mean, deviation, value = (_format(metric, number) for number in numbers)
        line = f"  {short_name(name):<28}{mean:>10} +- {deviation}"
        lines.append(f"{line:<52}best {value} at step {record['step']:,}")
    return "\n".join(lines)


def _format(metric: Metric, value: float | None) -> str:
    if value is None:
        return "-"
    return "exact" if math.isinf(value) else metric.format.format(value)
