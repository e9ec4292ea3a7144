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
from cyclegan_tf.quality.pictures import first  # noqa: E402
from cyclegan_tf.run_directory import load_config  # noqa: E402

NUMBER = 4


def main(file: str, *runs: str) -> None:
    folders = dict(run.split("=", 1) for run in runs)
    data = datasets.load(load_config(next(iter(folders.values()))))
    x, y = first(data.test_x, NUMBER), first(data.test_y, NUMBER)
    rows = {"input": (x, y)}
    if data.true_y:
        rows["truth"] = first(data.true_y, NUMBER), first(data.true_x, NUMBER)
    for name, folder in folders.items():
        model = cg.load(folder)
        made = [model.translate(p, direction=d) for p, d in ((x, "A2B"), (y, "B2A"))]
        rows[name] = made
    figure = Figure(figsize=(7.5, 0.95 * len(rows)))
    for axis, (name, pair) in zip(
        np.atleast_1d(figure.subplots(len(rows), 1)), rows.items(), strict=True
    ):
        axis.imshow(np.concatenate([*pair[0], *pair[1]], axis=1))
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.savefig(file, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
