"""A few pictures, to calibrate and to try out exported models on."""

import os
import pathlib
from collections.abc import Iterable

import numpy as np

from cyclegan_tf.config import Config
from cyclegan_tf.data import datasets, images, shapes
from cyclegan_tf.data.picture_files import pictures_below
from cyclegan_tf.validation import UserError

# Of a drawn pair, the part of the data set it belongs to and which of the two it is.
_DRAWN = {"trainA": (0, 0), "trainB": (1, 1), "testA": (2, 0), "testB": (3, 1)}


def of_split(config: Config, split: str, number: int) -> list[np.ndarray]:
    """Pictures spread evenly over a split of a run's data set.

    Args:
      config: Of the run.
      split: `trainA`, `trainB`, `testA` or `testB`; training pictures stand in for
        test pictures where there are none.
      number: How many, at most.

    Returns:
      uint8 pictures [height, width, 3] in their own sizes; those that can't be read
      are left out.

    Raises:
      UserError: the data set can't be read, or has no such picture.
    """
    if config.dataset in shapes.DATASETS:
        part, which = _DRAWN[split]
        size = max(config.load_size, config.picture_size)
        indices = range(min(number, shapes.NUM_TEST))
        if split.startswith("train"):
            indices = range(min(number, shapes.NUM_TRAIN))
        pairs = [shapes.draw_pair((part, i), size, config.dataset) for i in indices]
        return [pair[which] for pair in pairs]
    items = datasets.encoded(config)
    of_this = items[split] or items[split.replace("test", "train")]
    found = _decoded(list(of_this.values()), number)
    if not found:
        where = split if items[split] else split.replace("test", "train")
        raise UserError(f"{config.dataset} {where} has no picture that can be read.")
    return found


def of_folder(folder: str, number: int) -> list[np.ndarray]:
    """Pictures spread evenly over a folder and those below it; as `of_split`.

    Raises:
      UserError: there is no such folder, or no picture in it that can be read.
    """
    root = pathlib.Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise UserError(f"No such folder: {root}.")
    found = _decoded(list(pictures_below(root).values()), number)
    if not found:
        raise UserError(f"{root} has no picture ({images.FORMAT_NAMES}) we can read.")
    return found


def _decoded(items: list, number: int) -> list[np.ndarray]:
    chosen = np.unique(np.linspace(0, len(items) - 1, min(number, len(items))).round())
    return list(_readable(items[int(i)] for i in chosen))


def _readable(items: Iterable) -> Iterable[np.ndarray]:
    for item in items:
        try:
            yield images.decode(item)
        except images.ImageError:
            continue
