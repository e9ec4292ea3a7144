"""Loads the pictures of two domains: from folders, from tfds, or drawn.

A run directory keeps a record of the pictures: names and sizes, not bytes.
"""

import contextlib
import dataclasses
import difflib
import functools
import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.data import images, reader, shapes, tfds
from cyclegan_tf.data.folders import no_picture, pictures_below
from cyclegan_tf.data.reader import Domain, size_of
from cyclegan_tf.data.tfds import SPLITS
from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import UserError, some_of, warn

DATA_FILE = "data.json"

# Bytes by split and name; None for a picture that can't be read. Empty for drawn data.
Sizes = Mapping[str, Mapping[str, int | None]]

# Encoded pictures or their paths, by split and name.
_Items = dict[str, dict[str, bytes | pathlib.Path]]

# For each split, its part of a drawn data set and the place of its domain.
_DRAWN = {"trainA": (0, 0), "trainB": (1, 1), "testA": (2, 0), "testB": (3, 1)}


@dataclasses.dataclass(frozen=True)
class UnpairedData:
    """Two domains, X (A) and Y (B), without pairs.

    Training pictures have `load_size`, test pictures `picture_size`. `true_y` are the
    true translations of `test_x`, and `true_x` of `test_y`, if known. Training pictures
    replace the empty test splits `without_pictures`. `sizes` is the record.
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
    warn_of_folder(config.dataset)
    if config.dataset in shapes.DATASETS:
        return _load_shapes(config)
    items = _encoded(config, report=True)
    training = [*items["trainA"].values(), *items["trainB"].values()]
    keep = reader.choose_keep(config.cache, training, config.load_size)
    domains = {}
    for split in SPLITS:
        is_train = split.startswith("train")
        if items[split]:
            size = config.load_size if is_train else config.picture_size
            losses, where = {}, f"{config.dataset} {split}"
            load_picture = functools.partial(
                _load_picture, size, config.image_size, losses
            )
            kept = keep if is_train else "none"
            domains[split] = reader.read_all(items[split], load_picture, where, kept)
            reader.report_losses(losses.values(), where)
        else:
            training_pictures = domains[split.replace("test", "train")]
            domains[split] = resized(training_pictures, config.picture_size)
    return UnpairedData(
        *domains.values(),
        without_pictures=tuple(split for split in SPLITS if not items[split]),
        sizes={split: _sizes(items[split], domains[split]) for split in SPLITS},
    )


def count(config: Config) -> tuple[int, int] | None:
    """Counts the training pictures of X and Y; None before a download."""
    warn_of_folder(config.dataset)
    if config.dataset in shapes.DATASETS:
        return shapes.NUM_TRAIN, shapes.NUM_TRAIN
    if name := tfds.configuration_name(config.dataset):
        return tfds.count(name, config.data_dir)
    files = _folder_files(config.dataset)
    return len(files["trainA"]), len(files["trainB"])


def resized(domain: Domain, size: int) -> Domain:
    """Resizes pictures to squares after they are read."""
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


def _load_picture(size: int, crop: int, losses: dict, name: str, item) -> np.ndarray:
    image, losses[name] = images.read(item)
    height, width = image.shape[:2]
    if not size and min(height, width) < crop:
        raise UserError(
            f"{name} has {width}x{height} pixels, fewer than the crop of "
            f"`image_size` {crop}. Set --load_size to resize."
        )
    return images.resize(image, size) if size else image


# --- Encoded pictures


def _encoded(config: Config, report: bool = False) -> _Items:
    if name := tfds.configuration_name(config.dataset):
        return tfds.encoded_pictures(name, config.data_dir)
    return _folder_files(config.dataset, report)


def _folder_files(dataset: str, report: bool = False) -> _Items:
    root = find_folder(dataset, [*shapes.DATASETS, *TFDS_CONFIGS])
    files = {split: pictures_below(root / split, report) for split in SPLITS}
    for split in ("trainA", "trainB"):
        if not files[split]:
            if (root / split).is_dir():
                raise no_picture(root / split)
            raise UserError(
                f"{root / split} is missing. {describe_folder(root, split)}"
            )
    return files


def find_folder(dataset: str, known: list[str]) -> pathlib.Path:
    """Finds the folder of a data set; the `UserError` names the `known` data sets."""
    root = pathlib.Path(os.path.expanduser(dataset))
    if not root.is_dir():
        close = difflib.get_close_matches(dataset, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        found = "a file, no such folder" if root.is_file() else "no such folder"
        raise UserError(
            f"Unknown dataset {dataset!r}: {found}, and none of {', '.join(known)}."
            f"{hint}"
        )
    return root


def warn_of_folder(dataset: str) -> None:
    """Warns if a folder has the name of a built-in data set, which wins."""
    built_in = dataset in shapes.DATASETS or tfds.configuration_name(dataset)
    if built_in and os.path.isdir(dataset):
        warn(
            f"Warning: --dataset {dataset} is the built-in data set, not the folder "
            f"{os.path.abspath(dataset)}. For the folder, type ./{dataset}."
        )


def describe_folder(root: pathlib.Path, *parts: str) -> str:
    """Names folders with parts of a data set near a folder, or what it holds."""
    near = [root.parent / part for part in parts]
    near += [path for part in parts for path in root.glob(f"*/{part}")]
    near += [path for part in parts for path in root.glob(f"*/*/{part}")]
    if near := [str(path.parent) for path in near if path.is_dir()]:
        return f"There is one in {some_of(near, 3)}: give that folder to --dataset."
    paths = sorted(root.glob("[!.]*"))
    names = [path.name + "/" * path.is_dir() for path in paths]
    return (
        f"{root} holds {some_of(names, 8) or 'nothing'}. Name the folders of the two "
        "domains trainA and trainB."
    )


# --- A few pictures, to calibrate and to test exported models


def sample_split(config: Config, split: str, number: int) -> list[np.ndarray]:
    """Reads at most `number` pictures, spread evenly over a split of a data set.

    They are uint8 [height, width, 3] in their own sizes. Training pictures replace
    missing test pictures; bad pictures are left out.
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
    return _sample(items[split], number, f"{config.dataset} {split}")


def sample_folder(folder: str, number: int) -> list[np.ndarray]:
    """Reads pictures spread evenly over a folder and below it; see `sample_split`."""
    root = pathlib.Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise UserError(f"No such folder: {root}.")
    return _sample(pictures_below(root), number, str(root))


def _sample(items: Mapping, number: int, where: str) -> list[np.ndarray]:
    chosen = np.linspace(0, len(items) - 1, min(number, len(items))).round()
    found, items = [], list(items.values())
    for i in chosen.astype(int):
        with contextlib.suppress(images.ImageError):
            found.append(images.decode(items[i]))
    if not found:
        raise UserError(f"{where} has no picture ({images.FORMAT_NAMES}) we can read.")
    return found


# --- The record of a run's data set


def _sizes(items: Mapping, domain: Domain) -> dict[str, int | None]:
    readable = set(domain.names)
    return {k: size_of(item) if k in readable else None for k, item in items.items()}


def check_unchanged(run_dir: str | os.PathLike, sizes: Sizes, allowed: bool) -> str:
    """Returns the changes since the record in a run directory; empty without any.

    Raises:
      UserError: there are changes, or the record is damaged, and `allowed` is false.
    """
    path = pathlib.Path(run_dir) / DATA_FILE
    if not path.exists():
        return ""
    try:
        changes = _changes(json.loads(path.read_text(encoding="utf-8")), sizes)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        changes = f"{path} can't be read: {error}"
    if changes and not allowed:
        raise UserError(
            f"The data set of {run_dir} has changed ({changes}). Restore it, or pass "
            "--allow_changed_data to train on it as it is now."
        )
    return changes


def save_record(run_dir: str | os.PathLike, sizes: Sizes) -> None:
    """Writes the record; drawn data have none."""
    if sizes:
        with written_whole(pathlib.Path(run_dir) / DATA_FILE) as temporary:
            temporary.write_text(json.dumps(sizes, indent=0) + "\n", encoding="utf-8")


def _changes(before: Sizes, now: Sizes) -> str:
    old, new = (
        {
            f"{split}/{name}": part[name]
            for split, part in sizes.items()
            for name in part
        }
        for sizes in (before, now)
    )
    kinds = {
        "gone": old.keys() - new.keys(),
        "new": new.keys() - old.keys(),
        "with another size": {n for n in old.keys() & new.keys() if old[n] != new[n]},
    }
    return "; ".join(
        f"{len(names)} {kind} ({some_of(sorted(names), 3)})"
        for kind, names in kinds.items()
        if names
    )
