"""Draws what runs of `pix2pix` make of test pictures, between input and truth.

`python tests/measuring/show_pairs.py PICTURE.png NAME=RUN_DIR NAME=RUN_DIR ...`: the
first four test pictures; a row a name, in which runs on several data sets, of the same
name, stand side by side.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from measuring.show_runs import NUMBER, draw  # noqa: E402

from cyclegan_tf.family.pix2pix import Pix2PixGAN  # noqa: E402
from cyclegan_tf.training.checkpoints import Checkpoints  # noqa: E402
from cyclegan_tf.training.run_directory import load_options  # noqa: E402


def main(file: str, *runs: str) -> None:
    inputs, truths, made = {}, {}, {}
    for run in runs:
        name, folder = run.split("=", 1)
        model = Pix2PixGAN(load_options(folder))
        Checkpoints(model.trainer.state(), folder).restore()
        dataset, test = model.options.dataset, range(min(NUMBER, len(model.data.test)))
        inputs[dataset], outputs, truths[dataset] = model.translate(test)
        made.setdefault(name, {})[dataset] = outputs
    rows = {"input": inputs, **made, "truth": truths}
    draw(
        file,
        {name: [p for d in inputs for p in parts[d]] for name, parts in rows.items()},
    )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
