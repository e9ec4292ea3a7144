"""Plots what runs learned against the minutes they trained: curves on the same axes.

`python tests/measuring/plot_learning.py PLOT.png NAME=RUN_DIR NAME=RUN_DIR ...`: the
kernel distance over that of doing nothing, of runs trained with
--evaluate_every_epochs. Runs of one NAME are seeds of one recipe and share a colour.
Minutes are of steps alone, from the log; evaluations and start-up are left out.
"""

import json
import pathlib
import sys

from matplotlib.figure import Figure

NUMBER = "kernel_distance"
DIRECTIONS = {"A2B": "X to Y", "B2A": "Y to X"}


def main(plot: str, *runs: str) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    colours = {}
    for run in runs:
        name, _, folder = run.partition("=")
        label = name if name not in colours else None
        colour = colours.setdefault(name, f"C{len(colours)}")
        for axis, direction in zip(axes, DIRECTIONS, strict=True):
            minutes, ratios = curve(pathlib.Path(folder), direction)
            axis.plot(minutes, ratios, "o-", color=colour, label=label)
            for minute, ratio in zip(minutes, ratios, strict=True):
                print(f"{name} {direction}: {ratio:.2f} after {minute:.1f} min")
    for axis, title in zip(axes, DIRECTIONS.values(), strict=True):
        axis.axhline(1, color="grey", linestyle="--", label="doing nothing")
        axis.set(title=title, xlabel="minutes", yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("kernel distance over doing nothing's")
    axes[0].legend(fontsize=8)
    figure.savefig(plot, dpi=150)


def curve(run_dir: pathlib.Path, direction: str) -> tuple[list[float], list[float]]:
    """Minutes of a run's evaluations, and the distances over doing nothing's."""
    numbers = json.loads((run_dir / "evaluation.json").read_text())["numbers"]
    (field,) = (n for n in numbers if n.startswith(f"{direction}/{NUMBER}/"))
    nothing = numbers[field]["doing_nothing"]
    seconds, last, minutes, ratios = 0.0, 0, [], []
    for line in (run_dir / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "steps_per_second" in record:
            seconds += (record["step"] - last) / record["steps_per_second"]
            last = record["step"]
        if field in record:
            minutes.append(seconds / 60)
            ratios.append(max(record[field], 1e-3) / nothing)
    return minutes, ratios


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
