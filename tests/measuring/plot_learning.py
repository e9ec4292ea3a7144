"""Plots what runs learned against the minutes they trained: curves on the same axes.

`python tests/measuring/plot_learning.py PLOT.png NAME=RUN_DIR NAME=RUN_DIR ...`: of
runs that imagenet_distance.py measured, the kernel distance over doing nothing's; of
others, on `shapes`, the error to the truth over doing nothing's, from the log. Runs of
one NAME are seeds of one recipe and share a colour. Minutes are of steps alone;
evaluations and start-up are left out.
"""

import json
import pathlib
import sys

from matplotlib.figure import Figure

DIRECTIONS = {"A2B": "X to Y", "B2A": "Y to X"}
# What doing nothing has on `shapes`, in levels of 255.
SHAPES = {"A2B": ("error_x_to_y", 29.0), "B2A": ("error_y_to_x", 27.2)}


def main(plot: str, *runs: str) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = {}
    for run in runs:
        name, _, folder = run.partition("=")
        label = name if name not in colours else None
        colour = colours.setdefault(name, f"C{len(colours)}")
        for axis, direction in zip(axes, DIRECTIONS, strict=True):
            what, minutes, ratios = curve(pathlib.Path(folder), direction)
            axis.plot(minutes, ratios, "o-", ms=3, color=colour, label=label)
            for minute, ratio in zip(minutes, ratios, strict=True):
                print(f"{name} {direction}: {ratio:.2f} after {minute:.1f} min")
    for axis, title in zip(axes, DIRECTIONS.values(), strict=True):
        axis.axhline(1, color="grey", linestyle="--", label="doing nothing")
        axis.set(title=title, xlabel="minutes")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"{what} over doing nothing's")
    axes[0].legend(fontsize=8)
    figure.savefig(plot, dpi=120)


def curve(run_dir: pathlib.Path, direction: str) -> tuple[str, list, list]:
    """What was measured of a run, after how many minutes, over doing nothing's."""
    measured = run_dir / "imagenet.jsonl"
    if measured.exists():
        records = lines_of(measured)
        ratios = [record[direction]["ratio"] for record in records]
        return "kernel distance", [record["minutes"] for record in records], ratios
    (field, nothing), log = SHAPES[direction], lines_of(run_dir / "log.jsonl")
    records = [record for record in log if field in record]
    ratios = [record[field] / nothing for record in records]
    return "error to the truth", [minutes(log, r["step"]) for r in records], ratios


def lines_of(file: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def minutes(log: list[dict], step: int) -> float:
    """Minutes that the steps took, by a run's log; start-up is left out."""
    seconds, last = 0.0, 0
    for record in log:
        if "steps_per_second" in record and record["step"] <= step:
            seconds += (record["step"] - last) / record["steps_per_second"]
            last = record["step"]
    return seconds / 60


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
