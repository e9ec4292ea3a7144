"""How many pictures a second the input pipeline gives, by itself."""

import dataclasses
import pathlib
import tempfile
import time

import tensorflow as tf
from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.data import datasets, shapes
from cyclegan_tf.data.pipeline import training_batches

_FILES, _DRAWN, _PICTURES = 8, 64, 400
_QUALITY = 90


def pictures_a_second(config: Config) -> dict[str, float]:
    """Pictures of both domains that are ready to train on, a second.

    Args:
      config: Sizes and augmentation; the pictures are drawn, of `image_size`.

    Returns:
      `jpeg_files`: read, decoded, resized, cut and mirrored each time; `memory`: cut
      and mirrored alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_folder(pathlib.Path(folder), config.image_size)
        fields = {
            "dataset": folder,
            "batch_size": 1,
            "max_steps": 0,
            "num_epochs": 10**6,
        }
        config = dataclasses.replace(config, **fields)
        return {
            "jpeg_files": _rate(dataclasses.replace(config, cache="none")),
            "memory": _rate(dataclasses.replace(config, cache="auto")),
        }


def write_folder(folder: pathlib.Path, size: int) -> None:
    """Makes a data set of a few JPEG files.

    Args:
      folder: Gets the folders of the four splits.
      size: Side of the pictures, which are drawn small and then resized.
    """
    for split in ("trainA", "trainB", "testA", "testB"):
        (folder / split).mkdir()
        for seed in range(_FILES):
            x, y = shapes.draw_pair((seed,), _DRAWN)
            picture = Image.fromarray(x if split.endswith("A") else y)
            path = folder / split / f"{seed}.jpg"
            picture.resize((size, size)).save(path, quality=_QUALITY)


def _rate(config: Config) -> float:
    data = datasets.load(config)
    number = config.batch_size
    steps = -(-_PICTURES // (2 * number))
    batches = iter(
        training_batches(data, config, tf.distribute.get_strategy(), 0, 2 * steps)
    )
    for _ in range(steps):  # Fills the memory and the buffers.
        next(batches)
    start = time.perf_counter()
    for _ in range(steps // 2):
        next(batches)
    return steps // 2 * 2 * number / (time.perf_counter() - start)
