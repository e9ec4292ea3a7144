"""The pictures of both domains: from tfds, from folders, or drawn.

Every source ends up as four `Domain`s that give a picture by its index, so that the
order of training can be a pure function of the step.
"""

import concurrent.futures
import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.data import images, memory, shapes, unreadable
from cyclegan_tf.data.fingerprint import Sizes, size_of
from cyclegan_tf.data.picture_files import no_picture, pictures_below
from cyclegan_tf.data.tfds_pictures import (
    SPLITS,
    builder_of,
    configuration_name,
    encoded_pictures,
)
from cyclegan_tf.messages import progress_bar
from cyclegan_tf.validation import UserError

MAX_UNREADABLE = 0.05


@dataclasses.dataclass(frozen=True)
class Domain:
    """Pictures of one domain.

    Attributes:
      names: What messages call each picture.
      read: From an index to uint8 [height, width, 3].
    """

    names: Sequence[str]
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.names)


@dataclasses.dataclass(frozen=True)
class UnpairedData:
    """Two domains, X (A) and Y (B), with nothing to say which pictures belong together.

    Attributes:
      train_x: Training pictures of X, at `load_size`.
      train_y: Training pictures of Y.
      test_x: Test pictures of X, at `picture_size`; training ones if there are none.
      test_y: Test pictures of Y.
      true_y: The true translations of `test_x`, where they are known.
      true_x: The true translations of `test_y`, where they are known.
      without_pictures: Test splits that training pictures stand in for.
      sizes: What the data set is known by, none of one that is drawn.
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
    """Loads the data set that `config.dataset` names.

    Args:
      config: Its data fields are read.

    Returns:
      Domains whose pictures were all read once.

    Raises:
      UserError: the data set is unknown, incomplete, unreadable, can't be fetched, or
        has pictures smaller than the crop.
    """
    if config.dataset in shapes.DATASETS:
        return _load_shapes(config)
    items = encoded(config, tell=True)
    both = [*items["trainA"].values(), *items["trainB"].values()]
    kept_as = memory.kept_as(config, both)
    train_x, train_y = (
        _readable(config, split, items[split], config.load_size, kept_as)
        for split in ("trainA", "trainB")
    )
    test_x, test_y = (
        _readable(config, split, items[split], config.picture_size, kept_as="none")
        if items[split]
        else resized(train, config.picture_size)
        for split, train in (("testA", train_x), ("testB", train_y))
    )
    empty = tuple(split for split in ("testA", "testB") if not items[split])
    domains = dict(zip(SPLITS, (train_x, train_y, test_x, test_y), strict=True))
    sizes = {split: _sizes(items[split], domains[split]) for split in SPLITS}
    return UnpairedData(
        train_x, train_y, test_x, test_y, without_pictures=empty, sizes=sizes
    )


def count(config: Config) -> tuple[int, int] | None:
    """How many training pictures X and Y have, without reading or fetching any.

    Returns:
      Two counts, or None for a tfds data set that is not prepared yet.

    Raises:
      UserError: as `load`.
    """
    name = configuration_name(config.dataset)
    if config.dataset in shapes.DATASETS:
        return shapes.NUM_TRAIN, shapes.NUM_TRAIN
    if name is None:
        files = _folder_files(config.dataset)
        return len(files["trainA"]), len(files["trainB"])
    builder = builder_of(name, config.data_dir)
    if not builder.is_prepared():
        return None
    splits = builder.info.splits
    return splits["trainA"].num_examples, splits["trainB"].num_examples


def encoded(
    config: Config, tell: bool = False
) -> dict[str, dict[str, bytes | pathlib.Path]]:
    """The pictures of a data set that is not drawn, still encoded.

    Args:
      config: Its data fields are read.
      tell: Whether to say on stderr which files of a folder are no pictures.

    Returns:
      Their bytes or paths, by split and name.

    Raises:
      UserError: as `load`.
    """
    name = configuration_name(config.dataset)
    if name is None:
        return _folder_files(config.dataset, tell)
    return encoded_pictures(name, config.data_dir)


# --- Folders


def _folder_files(
    dataset: str, tell: bool = False
) -> dict[str, dict[str, pathlib.Path]]:
    """Picture files below each split's folder, by their path in it, sorted."""
    root = pathlib.Path(os.path.expanduser(dataset))
    if not root.is_dir():
        known = [*shapes.DATASETS, *TFDS_CONFIGS]
        close = difflib.get_close_matches(dataset, known, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"Unknown dataset {dataset!r}: no such folder, and none of "
            f"{', '.join(known)}.{meant}"
        )
    files = {}
    for split in SPLITS:
        files[split] = pictures_below(root / split, tell)
        if split.startswith("train") and not files[split]:
            if (root / split).is_dir():
                raise no_picture(root / split)
            raise UserError(f"{root / split} is missing.")
    return files


# --- Reading


def _readable(config: Config, split: str, items, size: int, kept_as: str) -> Domain:
    """The pictures of a split that can be read, having read each once.

    Raises:
      UserError: more than MAX_UNREADABLE of them can't be read, or one is too small.
    """

    def read(name: str, item: bytes | pathlib.Path) -> np.ndarray:
        image = images.decode(item)
        if size:
            return images.resize(image, size)
        _check_covers_crop(name, image, config.image_size)
        return image

    def attempt(name: str):
        """What is kept of a picture, or why it can't be read."""
        item = items[name]
        try:
            if kept_as == "encoded" and not isinstance(item, bytes):
                item = images.file_bytes(item)
            image = read(name, item)
        except images.ImageError as error:
            return str(error)
        return image if kept_as == "memory" else item

    with concurrent.futures.ThreadPoolExecutor() as pool:
        progress = progress_bar(
            pool.map(attempt, items),
            total=len(items),
            desc=f"Reading {split}",
            unit="picture",
            leave=False,
            delay=2,
        )
        results = dict(zip(items, progress, strict=True))
    where = f"{config.dataset} {split}"
    reasons = {n: result for n, result in results.items() if isinstance(result, str)}
    _report_unreadable(where, reasons, len(items))
    names = [name for name in results if name not in reasons]
    kept = [results[name] for name in names]
    if kept_as == "memory":
        return Domain(names, kept.__getitem__)
    reads = unreadable.with_stand_ins(names, lambda i: read(names[i], kept[i]), where)
    return Domain(names, reads)


def _report_unreadable(where: str, reasons: dict[str, str], total: int) -> None:
    if not reasons:
        return
    message = unreadable.told(reasons, total, f" in {where}")
    if len(reasons) > MAX_UNREADABLE * total:
        raise UserError(
            f"{message} At most {MAX_UNREADABLE:.0%} may be damaged. "
            f"{unreadable.first_reason(reasons)}"
        )
    unreadable.tell_skipped(message, reasons)


def _check_covers_crop(name: str, image: np.ndarray, crop: int) -> None:
    """With `load_size` 0 pictures keep their sizes: each must hold a crop."""
    height, width = image.shape[:2]
    if min(height, width) < crop:
        raise UserError(
            f"{name} has {width}x{height} pixels, fewer than the crop of "
            f"`image_size` {crop}. Set --load_size to resize."
        )


def resized(domain: Domain, size: int) -> Domain:
    """The same pictures as squares, resized when they are read."""
    return Domain(domain.names, lambda i: images.resize(domain.read(i), size))


def _sizes(items, domain: Domain) -> dict[str, int | None]:
    """Bytes of a split's pictures, None of those that can't be read."""
    read = set(domain.names)
    return {k: size_of(item) if k in read else None for k, item in items.items()}


# --- shapes


def _load_shapes(config: Config) -> UnpairedData:
    """Draws a built-in data set: always the same pictures, whatever the seed."""

    def draw(part: int, number: int, size: int) -> tuple[Domain, Domain]:
        names = [f"{config.dataset} {part} number {i}" for i in range(number)]
        pairs = [
            shapes.draw_pair((part, i), size, config.dataset) for i in range(number)
        ]
        plain, striped = zip(*pairs, strict=True)
        return Domain(names, plain.__getitem__), Domain(names, striped.__getitem__)

    train_size = config.load_size or config.image_size
    train_x, _ = draw(0, shapes.NUM_TRAIN, train_size)
    _, train_y = draw(1, shapes.NUM_TRAIN, train_size)
    test_x, true_y = draw(2, shapes.NUM_TEST, config.picture_size)
    true_x, test_y = draw(3, shapes.NUM_TEST, config.picture_size)
    return UnpairedData(train_x, train_y, test_x, test_y, true_y, true_x)
