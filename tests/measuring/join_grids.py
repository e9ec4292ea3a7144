"""Joins grids that runs wrote while they trained: a row a run, from left to right.

`python tests/measuring/join_grids.py PICTURE.png RUN_DIR RUN_DIR ...`: of each run the
grids of the first step, of a tenth, a quarter and a half of the way, and of the end.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

PARTS = (0, 0.1, 0.25, 0.5, 1)
WIDTH = 190


def main(file: str, *runs: str) -> None:
    rows = []
    for run in runs:
        grids = sorted(pathlib.Path(run, "grids").glob("epoch_*.png"))
        chosen = [grids[round(part * (len(grids) - 1))] for part in PARTS]
        rows.append(np.concatenate([shrunk(grid) for grid in chosen], axis=1))
    Image.fromarray(np.concatenate(rows)).save(file, optimize=True)
    print(f"{len(runs)} runs, {len(PARTS)} grids each, in {file}")


def shrunk(grid: pathlib.Path) -> np.ndarray:
    with Image.open(grid) as image:
        size = WIDTH, round(WIDTH * image.height / image.width)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
