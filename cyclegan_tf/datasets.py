"""The pictures of both domains: from tfds, from folders, or drawn.

Every source ends up as four `Domain`s that give a picture by its index, so that the
order of training can be a pure function of the step.
"""

import concurrent.futures
import contextlib
import dataclasses
import difflib
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Sequence

import numpy as np
import requests
from tqdm import tqdm

from cyclegan_tf import images, shapes
from cyclegan_tf.config import TFDS_CONFIGS, Config, UserError

MAX_UNREADABLE = 0.05
NETWORK_SECONDS = 15
_SPLITS = ("trainA", "trainB", "testA", "testB")
_TFDS_URL = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"


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
      test_x: Test pictures of X, at `image_size`; training pictures if there are none.
      test_y: Test pictures of Y.
      true_y: The true translations of `test_x`, where they are known.
      true_x: The true translations of `test_y`, where they are known.
    """

    train_x: Domain
    train_y: Domain
    test_x: Domain
    test_y: Domain
    true_y: Domain | None = None
    true_x: Domain | None = None


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
    if config.dataset == "shapes":
        return _load_shapes(config)
    items = _items(config)
    in_memory = _keeps_in_memory(config, len(items["trainA"]) + len(items["trainB"]))
    train_x, train_y = (
        _readable(config.dataset, split, items[split], config.load_size, in_memory)
        for split in ("trainA", "trainB")
    )
    for domain in (train_x, train_y):
        _check_covers_crop(domain, config)
    test_x, test_y = (
        _readable(
            config.dataset, split, items[split], config.image_size, in_memory=False
        )
        if items[split]
        else _resized(train, config.image_size)
        for split, train in (("testA", train_x), ("testB", train_y))
    )
    return UnpairedData(train_x, train_y, test_x, test_y)


def count(config: Config) -> tuple[int, int] | None:
    """How many training pictures X and Y have, without reading or fetching any.

    Returns:
      Two counts, or None for a tfds data set that is not prepared yet.

    Raises:
      UserError: as `load`.
    """
    name = _tfds_name(config.dataset)
    if config.dataset == "shapes":
        return shapes.NUM_TRAIN, shapes.NUM_TRAIN
    if name is None:
        files = _folder_files(config.dataset)
        return len(files["trainA"]), len(files["trainB"])
    builder = _tfds_builder(name, config.data_dir)
    if not builder.is_prepared():
        return None
    splits = builder.info.splits
    return splits["trainA"].num_examples, splits["trainB"].num_examples


def _items(config: Config) -> dict[str, dict[str, bytes | pathlib.Path]]:
    """Encoded pictures or their paths, by split and name."""
    name = _tfds_name(config.dataset)
    if name is None:
        return _folder_files(config.dataset)
    return _tfds_pictures(name, config.data_dir)


# --- Folders


def _folder_files(dataset: str) -> dict[str, dict[str, pathlib.Path]]:
    """Picture files below each split's folder, by their path in it, sorted."""
    root = pathlib.Path(dataset).expanduser()
    if not root.is_dir():
        known = ["shapes", *TFDS_CONFIGS]
        close = difflib.get_close_matches(dataset, known, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"Unknown dataset {dataset!r}: no such folder, and none of "
            f"{', '.join(known)}.{meant}"
        )
    files = {}
    for split in _SPLITS:
        found = sorted(p for p in (root / split).rglob("*") if _is_picture(p))
        files[split] = {str(p.relative_to(root / split)): p for p in found}
        if split.startswith("train") and not files[split]:
            what = "has no picture (JPEG, PNG, BMP or GIF)"
            if not (root / split).is_dir():
                what = "is missing"
            raise UserError(f"{root / split} {what}.")
    return files


def _is_picture(path: pathlib.Path) -> bool:
    # Dot files are leftovers of file managers, such as ._horse.jpg.
    return (
        path.suffix.lower() in images.ENDINGS
        and not path.name.startswith(".")
        and path.is_file()
    )


# --- tfds


def _tfds_name(dataset: str) -> str | None:
    """The tfds configuration a data set's name stands for, if it does."""
    name = dataset.removeprefix("cycle_gan/")
    return name if name in TFDS_CONFIGS else None


def _tfds_builder(name: str, data_dir: str):
    import tensorflow_datasets as tfds  # Seconds to import, and only needed here.

    directory = os.path.expanduser(data_dir) if data_dir else None
    return tfds.builder(f"cycle_gan/{name}", data_dir=directory)


def _tfds_pictures(name: str, data_dir: str) -> dict[str, dict[str, bytes]]:
    """The encoded pictures of a tfds configuration, fetched first if need be."""
    import tensorflow_datasets as tfds

    builder = _tfds_builder(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    keep_encoded = {"image": tfds.decode.SkipDecoding()}
    return {
        split: {
            f"{name} {split} number {i}": example["image"]
            for i, example in enumerate(
                builder.as_dataset(
                    split=split, decoders=keep_encoded, shuffle_files=False
                ).as_numpy_iterator()
            )
        }
        for split in _SPLITS
    }


def _prepare(builder, name: str) -> None:
    """Downloads and prepares, having made sure that the server answers."""
    import tensorflow_datasets as tfds

    root = pathlib.Path(builder.data_dir).parents[2]
    archive = root / "downloads" / "manual" / f"{name}.zip"
    instead = (
        f"Use --data_dir with a prepared copy, put {name}.zip into {archive.parent}, "
        "or give --dataset a folder with trainA/ and trainB/."
    )
    if not archive.exists():
        problem = _unreachable(f"{_TFDS_URL}{name}.zip")
        if problem:
            raise UserError(f"{name} can't be downloaded: {problem}. {instead}")
    try:
        with _removed_if_failed(root, builder):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except requests.exceptions.RequestException as error:
        reason = type(error).__name__
        raise UserError(
            f"The download of {name} failed: {reason}. {instead}"
        ) from error
    except tfds.download.DownloadError as error:
        raise UserError(f"The download of {name} failed: {error}. {instead}") from error
    except OSError as error:
        raise UserError(f"{name} can't be prepared in {root}: {error}.") from error


def _unreachable(url: str) -> str:
    """Why a server can't be reached, or an empty string, within NETWORK_SECONDS."""
    problem = [f"no answer within {NETWORK_SECONDS} s"]

    def ask() -> None:
        try:
            answer = requests.head(url, timeout=NETWORK_SECONDS, allow_redirects=True)
            problem[0] = "" if answer.ok else f"the server says {answer.status_code}"
        except requests.exceptions.RequestException as error:
            problem[0] = f"no network ({type(error).__name__})"

    # A thread, since looking up a name has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return problem[0]


@contextlib.contextmanager
def _removed_if_failed(root: pathlib.Path, builder):
    """Leaves no `*.incomplete*` folder of this data set behind a failure."""
    import shutil

    try:
        yield
    except BaseException:
        parent = pathlib.Path(builder.data_dir).parent
        for folder in parent.glob("*incomplete*"):
            shutil.rmtree(folder, ignore_errors=True)
        raise


# --- Reading


def _keeps_in_memory(config: Config, num_pictures: int) -> bool:
    """What `cache` says; `auto` can only tell where all pictures get one size."""
    if config.cache != "auto":
        return config.cache == "memory"
    if not config.load_size or not hasattr(os, "sysconf"):
        return False
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return num_pictures * config.load_size**2 * 3 < memory / 4


def _readable(dataset, split, items, size: int, in_memory: bool) -> Domain:
    """The pictures of a split that can be read, having read each once.

    Raises:
      UserError: more than MAX_UNREADABLE of them can't be read.
    """

    def read(item) -> np.ndarray:
        image = images.decode(item)
        return images.resize(image, size) if size else image

    def attempt(item):
        try:
            image = read(item)
        except images.ImageError:
            return None
        return image if in_memory else True

    with concurrent.futures.ThreadPoolExecutor() as pool:
        progress = tqdm(
            pool.map(attempt, items.values()),
            total=len(items),
            desc=f"Reading {split}",
            unit="picture",
            leave=False,
            delay=2,
        )
        results = dict(zip(items, progress, strict=True))
    bad = [name for name, result in results.items() if result is None]
    _report_unreadable(f"{dataset} {split}", bad, len(items))
    good = {name: r for name, r in results.items() if r is not None}
    if in_memory:
        return Domain(list(good), list(good.values()).__getitem__)
    kept = [items[name] for name in good]
    return Domain(list(good), lambda i: read(kept[i]))


def _report_unreadable(where: str, bad: list[str], total: int) -> None:
    if not bad:
        return
    more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    names = ", ".join(bad[:5]) + more
    message = f"{len(bad)} of {total} pictures in {where} can't be read: {names}."
    if len(bad) > MAX_UNREADABLE * total:
        raise UserError(f"{message} At most {MAX_UNREADABLE:.0%} may be damaged.")
    print(f"Skipped: {message}", file=sys.stderr)


def _check_covers_crop(domain: Domain, config: Config) -> None:
    """With `load_size` 0 pictures keep their sizes: each must hold a crop."""
    if config.load_size:
        return
    for i, name in enumerate(domain.names):
        height, width = domain.read(i).shape[:2]
        if min(height, width) < config.image_size:
            raise UserError(
                f"{name} has {width}x{height} pixels, fewer than the crop of "
                f"`image_size` {config.image_size}. Set --load_size to resize."
            )


def _resized(domain: Domain, size: int) -> Domain:
    return Domain(domain.names, lambda i: images.resize(domain.read(i), size))


# --- shapes


def _load_shapes(config: Config) -> UnpairedData:
    """Draws the built-in data set: always the same pictures, whatever the seed."""

    def draw(part: int, number: int, size: int) -> tuple[Domain, Domain]:
        names = [f"shapes {part} number {i}" for i in range(number)]
        pairs = [shapes.draw_pair((part, i), size) for i in range(number)]
        plain, striped = zip(*pairs, strict=True)
        return Domain(names, plain.__getitem__), Domain(names, striped.__getitem__)

    train_size = config.load_size or config.image_size
    train_x, _ = draw(0, shapes.NUM_TRAIN, train_size)
    _, train_y = draw(1, shapes.NUM_TRAIN, train_size)
    test_x, true_y = draw(2, shapes.NUM_TEST, config.image_size)
    true_x, test_y = draw(3, shapes.NUM_TEST, config.image_size)
    return UnpairedData(train_x, train_y, test_x, test_y, true_y, true_x)
