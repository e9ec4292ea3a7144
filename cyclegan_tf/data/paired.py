"""Pairs of pictures, A and B, that show the same: drawn, or from folders.

A pair is one picture of six channels, the input's before the truth's, so that it is
resized, cropped and flipped as one.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images, memory, shapes, unreadable
from cyclegan_tf.data.datasets import Domain
from cyclegan_tf.data.fingerprint import Sizes, size_of
from cyclegan_tf.data.input_pipeline import augment, batches_of, picture_index
from cyclegan_tf.data.picture_files import no_picture, pictures_below
from cyclegan_tf.messages import progress_bar
from cyclegan_tf.options import Pix2Pix
from cyclegan_tf.validation import UserError

# The official data sets have one of them, or both.
_TEST_PARTS = ("test", "val")

# A pair's file, or the two of A and B, by the pair's name.
_Files = dict[str, tuple[pathlib.Path, ...]]


@dataclasses.dataclass(frozen=True)
class PairedData:
    """Pairs by number, uint8 [size, size, 6] in the order of the direction.

    Attributes:
      train: Training pairs, at `load_size`.
      test: Test pairs, at `image_size`; training ones if there are none.
      has_test: Whether there are test pairs.
      sizes: What the data set is known by, none of one that is drawn.
    """

    train: Domain
    test: Domain
    has_test: bool = True
    sizes: Sizes = dataclasses.field(default_factory=dict)


def load(options: Pix2Pix) -> PairedData:
    """Loads the pairs that `options.dataset` names.

    Args:
      options: The data set, the direction and the sizes.

    Returns:
      Pairs that were all read once.

    Raises:
      UserError: a folder is missing or empty, pictures can't be read, or they do not
        make pairs; one that is at fault is named.
    """
    if options.dataset in shapes.DATASETS:
        train = _drawn(options, 0, shapes.NUM_TRAIN, options.load_size)
        test = _drawn(options, 2, shapes.NUM_TEST, options.image_size)
        return PairedData(train, test)
    train, test = _files(options.dataset)
    return PairedData(
        _readable(train, options.load_size, options),
        _readable(test or train, options.image_size, options),
        bool(test),
        {"train": _sizes(options, train), "test": _sizes(options, test)},
    )


def batches(
    train: Domain,
    options: Pix2Pix,
    strategy: tf.distribute.Strategy,
    start_step: int,
    num_steps: int,
) -> Iterator[tuple]:
    """The batches of steps `start_step` to `num_steps`, functions of seed and step.

    Each epoch walks through the pairs in a new order. The same square is cut out of
    both pictures of a pair, and both are flipped, or none.

    Args:
      train: Training pairs.
      options: The seed, the sizes and the pairs of a step.
      strategy: Each of its replicas gets its part of a batch.
      start_step: The first step, from 0.
      num_steps: The step after the last one.

    Returns:
      An iterator over (input, truth), float32 [batch_size / replicas, image_size,
      image_size, 3] in [-1, 1], distributed if there are several replicas.
    """
    number, size = options.batch_size, options.image_size

    def read(position) -> np.ndarray:
        return train.read(_index(train, options, int(position)))

    def pair(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        both = tf.numpy_function(read, [position], tf.uint8)
        both.set_shape((None, None, 6))
        seed = tf.random.fold_in((options.seed, 0), position)
        both = augment(both, size, True, seed)
        both = images.to_float(tf.ensure_shape(both, (size, size, 6)))
        return both[..., :3], both[..., 3:]

    steps = batches_of(pair, number, strategy, start_step, num_steps)
    return unreadable.with_our_errors(steps)


def names_of_step(train: Domain, options: Pix2Pix, step: int) -> list[str]:
    """Names of the pairs that a step trains on; from step 0."""
    first = step * options.batch_size
    return [
        train.names[_index(train, options, position)]
        for position in range(first, first + options.batch_size)
    ]


def _index(train: Domain, options: Pix2Pix, position: int) -> int:
    """Which pair stands at a position of training."""
    number = len(train)
    return picture_index(options.seed, 0, position, number, epoch_size=number)


def _joined(a: np.ndarray, b: np.ndarray, direction: str) -> np.ndarray:
    return np.concatenate([a, b] if direction == "a_to_b" else [b, a], axis=-1)


def _drawn(options: Pix2Pix, part: int, number: int, size: int) -> Domain:
    """Animals of a part of a drawn data set, as A and as B."""
    dataset = options.dataset
    names = [f"{dataset} {part} number {i}" for i in range(number)]
    drawn = [shapes.draw_pair((part, i), size, dataset) for i in range(number)]
    pairs = [_joined(*pair, options.direction) for pair in drawn]
    return Domain(names, pairs.__getitem__)


# --- Folders


def _files(dataset: str) -> tuple[_Files, _Files]:
    """The files of training pairs, and of test pairs, if there are any.

    Raises:
      UserError: there is no training picture, or one has no partner.
    """
    root = pathlib.Path(os.path.expanduser(dataset))
    if not root.is_dir():
        raise UserError(
            f"Unknown dataset {dataset!r}: no such folder, and none of "
            f"{', '.join(shapes.DATASETS)}."
        )
    aligned, split = root / "train", [root / "trainA", root / "trainB"]
    there = [folder for folder in split if folder.is_dir()]
    if aligned.is_dir() and there:
        raise UserError(
            f"{root} has both train/ (A beside B in each picture) and {there[0].name}/ "
            "(A and B apart); move one of them away."
        )
    if aligned.is_dir():
        found = [_aligned(root / part) for part in ("train", *_TEST_PARTS)]
    elif there:
        found = [_apart(root, part) for part in ("train", *_TEST_PARTS)]
    else:
        raise UserError(
            f"{root} has no training pictures: neither train/ (A beside B in each "
            "picture) nor trainA/ and trainB/."
        )
    train, *tests = found
    if not train:
        raise no_picture(aligned if aligned.is_dir() else split[0])
    return train, next(filter(None, tests), {})


def _aligned(folder: pathlib.Path) -> _Files:
    """Files that show A on the left and B on the right."""
    return {str(path): (path,) for path in pictures_below(folder, tell=True).values()}


def _apart(root: pathlib.Path, part: str) -> _Files:
    """Files of A and of B with the same name, whatever their endings."""
    folders = [root / f"{part}{side}" for side in "AB"]
    a, b = (_by_stem(folder) for folder in folders)
    for folder, ours, theirs in ((folders[0], a, b), (folders[1], b, a)):
        if theirs and not folder.is_dir():
            raise UserError(f"{folder} is missing.")
        if theirs and not ours:
            raise no_picture(folder)
    for ours, theirs, folder in ((a, b, folders[1]), (b, a, folders[0])):
        alone = [path for stem, path in ours.items() if stem not in theirs]
        if alone:
            more = f", nor have {len(alone) - 1} more" if len(alone) > 1 else ""
            raise UserError(f"{alone[0]} has no picture of its name in {folder}{more}.")
    return {str(path): (path, b[stem]) for stem, path in a.items()}


def _by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Picture files by their path in the folder without its ending."""
    found = {}
    for name, path in pictures_below(folder, tell=True).items():
        stem = str(pathlib.PurePath(name).with_suffix(""))
        if stem in found:
            raise UserError(f"{found[stem]} and {path} have the same name.")
        found[stem] = path
    return found


def _sizes(options: Pix2Pix, files: _Files) -> dict[str, int | None]:
    root = os.path.expanduser(options.dataset)
    return {
        os.path.relpath(path, root): size_of(path)
        for pair in files.values()
        for path in pair
    }


def _readable(files: _Files, size: int, options: Pix2Pix) -> Domain:
    """The pairs of some files, resized to squares, having read each once."""
    in_memory = memory.fits(memory.decoded_bytes(2 * len(files), size))
    kept = list(files.values())

    def read(index: int) -> np.ndarray:
        a, b = (images.resize(side, size) for side in _sides(kept[index]))
        return _joined(a, b, options.direction)

    def attempt(index: int) -> np.ndarray | None:
        pair = read(index)
        return pair if in_memory else None

    with concurrent.futures.ThreadPoolExecutor() as pool:
        pairs = list(
            progress_bar(
                pool.map(attempt, range(len(kept))),
                total=len(kept),
                desc="Reading",
                unit="pair",
                leave=False,
                delay=2,
            )
        )
    names = list(files)
    if in_memory:
        return Domain(names, pairs.__getitem__)
    return Domain(names, unreadable.with_stand_ins(names, read, options.dataset))


def _sides(paths: tuple[pathlib.Path, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A and B of one file or of two.

    Raises:
      UserError: a file can't be read, or its sides differ in size.
    """
    pictures = []
    for path in paths:
        try:
            pictures.append(images.decode(path))
        except images.ImageError as error:
            raise UserError(f"{path} can't be read: {error}.") from error
    if len(pictures) == 1:
        (picture,) = pictures
        height, width = picture.shape[:2]
        if width % 2:
            raise UserError(
                f"{paths[0]} has {width}x{height} pixels; A beside B needs an even "
                "width."
            )
        return picture[:, : width // 2], picture[:, width // 2 :]
    a, b = pictures
    if a.shape != b.shape:
        sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in pictures]
        raise UserError(
            f"{paths[0]} has {sizes[0]} pixels and {paths[1]} has {sizes[1]}; a pair "
            "needs one size."
        )
    return a, b
