"""Draws what runs of `pix2pix` make of test pictures, between input and truth.

`python tests/measuring/show_pairs.py PICTURE.png NAME=RUN_DIR NAME=RUN_DIR ...`: the
first four test pictures; a row a name, in which runs on several data sets, of the same
name, stand side by side.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from cyclegan_tf.models.pix2pix import Pix2PixGAN  # noqa: E402
from cyclegan_tf.run_directory import load_options  # noqa: E402
from cyclegan_tf.training.checkpoints import Checkpoints  # noqa: E402

NUMBER = 4


def main(file: str, *runs: str) -> None:
    inputs, truths, made = {}, {}, {}
    for run in runs:
        name, folder = run.split("=", 1)
        model = Pix2PixGAN(load_options(folder))
        Checkpoints(model.trained.state(), folder).restore()
        dataset, test = model.options.dataset, range(min(NUMBER, len(model.data.test)))
        inputs[dataset], outputs, truths[dataset] = model.translate(test)
        made.setdefault(name, {})[dataset] = outputs
    rows = {"input": inputs, **made, "truth": truths}
    columns = sum(len(pictures) for pictures in inputs.values())
    figure = Figure(figsize=(1.4 * columns, 1.42 * len(rows)))
    axes = figure.subplots(len(rows), 1)
    for axis, (name, parts) in zip(axes, rows.items(), strict=True):
        blocks = [np.concatenate([*parts[dataset]], axis=1) for dataset in inputs]
        axis.imshow(np.concatenate(blocks, axis=1), interpolation="nearest")
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.subplots_adjust(hspace=0.03)
    figure.savefig(file, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
