"""Draws what several runs make of the same test pictures, one row a run.

`python tests/measuring/show_runs.py PICTURE.png NAME=RUN_DIR NAME=RUN_DIR ...`: the
first four test pictures of each domain, what they ought to become where that is known,
and what the newest checkpoint of each run makes of them. All runs are on one data set.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import cyclegan_tf as cg  # noqa: E402
from cyclegan_tf.data import datasets  # noqa: E402
from cyclegan_tf.evaluation.translations import first_pictures  # noqa: E402
from cyclegan_tf.training.run_directory import load_config  # noqa: E402

NUMBER = 4


def draw(file: str, rows: dict[str, list[np.ndarray]]) -> None:
    """Writes rows of pictures, [height, width, 3] each, with a name beside each row."""
    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(1.2 * columns, 1.22 * len(rows)))
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (name, pictures) in zip(axes, rows.items(), strict=True):
        axis.imshow(np.concatenate(pictures, axis=1), interpolation="nearest")
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.subplots_adjust(hspace=0.03)
    figure.savefig(file, dpi=90, bbox_inches="tight")


def main(file: str, *runs: str) -> None:
    folders = dict(run.split("=", 1) for run in runs)
    data = datasets.load(load_config(next(iter(folders.values()))))
    x, y = first_pictures(data.test_x, NUMBER), first_pictures(data.test_y, NUMBER)
    rows = {"input": [*x, *y]}
    if data.true_y:
        rows["truth"] = [
            *first_pictures(data.true_y, NUMBER),
            *first_pictures(data.true_x, NUMBER),
        ]
    for name, folder in folders.items():
        model = cg.load(folder)
        made = model.translate(x, direction="A2B"), model.translate(y, direction="B2A")
        rows[name] = [*made[0], *made[1]]
    draw(file, rows)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
