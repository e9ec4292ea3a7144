"""The last grids of runs beside one another, each under a title.

`python tests/measuring/last_grids.py PICTURE.png "TITLE=RUN_DIR" "TITLE=RUN_DIR" ...`
"""

import pathlib
import sys

from matplotlib.figure import Figure
from PIL import Image


def main(file: str, *titled: str) -> None:
    named = [text.rpartition("=") for text in titled]
    grids = [Image.open(newest(pathlib.Path(run))) for _, _, run in named]
    widths, height = [grid.width for grid in grids], max(grid.height for grid in grids)
    figure = Figure(figsize=(sum(widths) / 80, height / 80 + 0.3))
    axes = figure.subplots(1, len(grids), width_ratios=widths, squeeze=False)
    for place, grid, (title, _, _) in zip(axes[0], grids, named, strict=True):
        place.imshow(grid)
        place.set_title(title, fontsize=9)
        place.set_axis_off()
    figure.savefig(file, dpi=110, bbox_inches="tight")
    print(f"{len(grids)} grids in {file}")


def newest(run: pathlib.Path) -> pathlib.Path:
    """The grid that was written last."""
    return max((run / "grids").glob("*.png"), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in text for text in sys.argv[2:]):
        sys.exit(__doc__)
    main(*sys.argv[1:])
