"""Loads the pictures of two domains: from folders, from tfds, or drawn."""

import contextlib
import dataclasses
import difflib
import functools
import os
import pathlib

import numpy as np

from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.data import images, reader, shapes, tfds
from cyclegan_tf.data.dataset_record import Sizes, size_of
from cyclegan_tf.data.folders import no_picture, pictures_below
from cyclegan_tf.data.reader import Domain
from cyclegan_tf.data.tfds import SPLITS
from cyclegan_tf.messages import UserError

# Encoded pictures or their paths, by split and name.
_Items = dict[str, dict[str, bytes | pathlib.Path]]

# The part of a drawn data set that gives a split, and which of its domains.
_DRAWN = {"trainA": (0, 0), "trainB": (1, 1), "testA": (2, 0), "testB": (3, 1)}


@dataclasses.dataclass(frozen=True)
class UnpairedData:
    """Two domains, X (A) and Y (B), without pairs.

    Training pictures have `load_size`, test pictures `picture_size`. `true_y` are the
    true translations of `test_x`, and `true_x` of `test_y`, if known. Training pictures
    replace the empty test splits `without_pictures`. `sizes` is the data set's record,
    empty for drawn data.
    """

    train_x: Domain
    train_y: Domain
    test_x: Domain
    test_y: Domain
    true_y: Domain | None = None
    true_x: Domain | None = None
    without_pictures: tuple[str, ...] = ()
    sizes: Sizes = dataclasses.field(default_factory=dict)


def load(config: Config) -> UnpairedData:
    """Loads the data set `config.dataset`, and reads each picture once.

    Raises:
      UserError: the data set is unknown, incomplete, unreadable, can't be downloaded,
        or has pictures smaller than the crop.
    """
    if config.dataset in shapes.DATASETS:
        return _load_shapes(config)
    items = _encoded(config, report=True)
    training = [*items["trainA"].values(), *items["trainB"].values()]
    keep = reader.choose_keep(config.cache, training, config.load_size)
    domains = {}
    for split in SPLITS:
        where, train = f"{config.dataset} {split}", split.startswith("train")
        if items[split]:
            size = config.load_size if train else config.picture_size
            load_picture = functools.partial(_load_picture, size, config.image_size)
            kept = keep if train else "none"
            domains[split] = reader.read_all(items[split], load_picture, where, kept)
        else:
            trained = domains[split.replace("test", "train")]
            domains[split] = resized(trained, config.picture_size)
    return UnpairedData(
        *domains.values(),
        without_pictures=tuple(split for split in SPLITS if not items[split]),
        sizes={split: _sizes(items[split], domains[split]) for split in SPLITS},
    )


def count(config: Config) -> tuple[int, int] | None:
    """Counts the training pictures of X and Y; None before a download.

    Raises:
      UserError: the data set is unknown or incomplete.
    """
    if config.dataset in shapes.DATASETS:
        return shapes.NUM_TRAIN, shapes.NUM_TRAIN
    name = tfds.configuration_name(config.dataset)
    if name:
        return tfds.count(name, config.data_dir)
    files = _folder_files(config.dataset)
    return len(files["trainA"]), len(files["trainB"])


def resized(domain: Domain, size: int) -> Domain:
    """The pictures as squares, resized after reading."""
    return Domain(domain.names, lambda i: images.resize(domain.read(i), size))


def draw(dataset: str, part: int, number: int, size: int) -> tuple[Domain, Domain]:
    """Draws animals of a data set of `shapes`, as X and as Y; parts share none."""
    names = [f"{dataset} {part} number {i}" for i in range(number)]
    pairs = [shapes.draw_pair((part, i), size, dataset) for i in range(number)]
    x, y = zip(*pairs, strict=True)
    return Domain(names, x.__getitem__), Domain(names, y.__getitem__)


def _load_shapes(config: Config) -> UnpairedData:
    name, train_size = config.dataset, config.load_size or config.image_size
    train_x, _ = draw(name, 0, shapes.NUM_TRAIN, train_size)
    _, train_y = draw(name, 1, shapes.NUM_TRAIN, train_size)
    test_x, true_y = draw(name, 2, shapes.NUM_TEST, config.picture_size)
    true_x, test_y = draw(name, 3, shapes.NUM_TEST, config.picture_size)
    return UnpairedData(train_x, train_y, test_x, test_y, true_y, true_x)


def _load_picture(size: int, crop: int, name: str, item) -> np.ndarray:
    image = images.decode(item)
    height, width = image.shape[:2]
    if not size and min(height, width) < crop:
        raise UserError(
            f"{name} has {width}x{height} pixels, fewer than the crop of "
            f"`image_size` {crop}. Set --load_size to resize."
        )
    return images.resize(image, size) if size else image


def _sizes(items, domain: Domain) -> dict[str, int | None]:
    readable = set(domain.names)
    return {k: size_of(item) if k in readable else None for k, item in items.items()}


# --- Encoded pictures


def _encoded(config: Config, report: bool = False) -> _Items:
    name = tfds.configuration_name(config.dataset)
    if name:
        return tfds.encoded_pictures(name, config.data_dir)
    return _folder_files(config.dataset, report)


def _folder_files(dataset: str, report: bool = False) -> _Items:
    root = find_folder(dataset, [*shapes.DATASETS, *TFDS_CONFIGS])
    files = {split: pictures_below(root / split, report) for split in SPLITS}
    for split in ("trainA", "trainB"):
        if not files[split]:
            if (root / split).is_dir():
                raise no_picture(root / split)
            raise UserError(f"{root / split} is missing.")
    return files


def find_folder(dataset: str, known: list[str]) -> pathlib.Path:
    """The folder of a data set that is none of the known ones, or a `UserError`."""
    root = pathlib.Path(os.path.expanduser(dataset))
    if not root.is_dir():
        close = difflib.get_close_matches(dataset, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"Unknown dataset {dataset!r}: no such folder, and none of "
            f"{', '.join(known)}.{hint}"
        )
    return root


# --- A few pictures, to calibrate and to test exported models


def sample_split(config: Config, split: str, number: int) -> list[np.ndarray]:
    """Reads at most `number` pictures, spread evenly over a split of a data set.

    Training pictures replace missing test pictures; bad pictures are left out.

    Returns:
      uint8 pictures [height, width, 3] in their own sizes.

    Raises:
      UserError: the data set can't be read, or has no such picture.
    """
    if config.dataset in shapes.DATASETS:
        part, which = _DRAWN[split]
        most = shapes.NUM_TRAIN if split.startswith("train") else shapes.NUM_TEST
        size = max(config.load_size, config.picture_size)
        drawn = draw(config.dataset, part, min(number, most), size)[which]
        return [drawn.read(i) for i in range(len(drawn))]
    items = _encoded(config)
    if not items[split]:
        split = split.replace("test", "train")
    found = _sample(list(items[split].values()), number)
    if not found:
        raise UserError(f"{config.dataset} {split} has no picture that can be read.")
    return found


def sample_folder(folder: str, number: int) -> list[np.ndarray]:
    """Reads pictures spread evenly over a folder and below it; see `sample_split`."""
    root = pathlib.Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise UserError(f"No such folder: {root}.")
    found = _sample(list(pictures_below(root).values()), number)
    if not found:
        raise UserError(f"{root} has no picture ({images.FORMAT_NAMES}) we can read.")
    return found


def _sample(items: list, number: int) -> list[np.ndarray]:
    chosen = np.unique(np.linspace(0, len(items) - 1, min(number, len(items))).round())
    found = []
    for i in chosen.astype(int):
        with contextlib.suppress(images.ImageError):
            found.append(images.decode(items[i]))
    return found
