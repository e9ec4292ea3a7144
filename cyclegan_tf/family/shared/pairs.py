"""Pairs of pictures, A and B, of the same scene: drawn, or from folders.

A pair is one picture of six channels, the input before the truth, so that both get the
same resize, crop and flip.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from cyclegan_tf.data import datasets, images, pipeline, reader, shapes
from cyclegan_tf.data.datasets import Sizes
from cyclegan_tf.data.folders import no_picture, pictures_below
from cyclegan_tf.data.reader import Domain, size_of
from cyclegan_tf.family.shared.options import Pix2Pix
from cyclegan_tf.messages import UserError

# The official data sets have one of these parts, or both.
_TEST_PARTS = ("test", "val")
# The file of a pair, or the two files of A and B, by the pair's name.
_Files = dict[str, tuple[pathlib.Path, ...]]


@dataclasses.dataclass(frozen=True)
class PairedData:
    """Pairs, uint8 [size, size, 6] in the order of the direction.

    Training pairs have `load_size`, test pairs `image_size`; training pairs replace
    missing test pairs. `sizes` is the data set's record, empty for drawn data.
    """

    train: Domain
    test: Domain
    has_test: bool = True
    sizes: Sizes = dataclasses.field(default_factory=dict)


def load(options: Pix2Pix) -> PairedData:
    """Loads the pairs of `options.dataset`, and reads each once.

    Raises:
      UserError: a folder is missing or empty, a picture can't be read, or pictures do
        not form pairs.
    """
    if options.dataset in shapes.DATASETS:
        datasets.warn_of_folder(options.dataset)
        train = _draw(options, 0, shapes.NUM_TRAIN, options.load_size)
        test = _draw(options, 2, shapes.NUM_TEST, options.image_size)
        return PairedData(train, test)
    (train, test), losses = _files(options.dataset), {}
    data = PairedData(
        _read(train, options.load_size, options, losses),
        _read(test or train, options.image_size, options, losses),
        bool(test),
        {"train": _sizes(options, train), "test": _sizes(options, test)},
    )
    reader.report_losses(losses.values(), options.dataset)
    return data


def batches(
    train: Domain,
    options: Pix2Pix,
    strategy: tf.distribute.Strategy,
    start_step: int,
    num_steps: int,
) -> Iterator[tuple]:
    """The batches of the steps from `start_step`, from 0, to before `num_steps`.

    Each epoch goes through the pairs in a new order. Both pictures of a pair get the
    same crop and flip.

    Returns:
      An iterator over (input, truth), float32 [batch_size / replicas, image_size,
      image_size, 3] in [-1, 1]; see `pipeline.batches_of`.
    """
    sample = pipeline.sampler([train], options, len(train), flip=True, channels=6)

    def pair(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        (both,) = sample(position)
        return both[..., :3], both[..., 3:]

    return pipeline.with_user_errors(
        pipeline.batches_of(pair, options.batch_size, strategy, start_step, num_steps)
    )


def names_of_step(train: Domain, options: Pix2Pix, step: int) -> list[str]:
    """Names of the pairs of a step, from 0."""
    return pipeline.names_at([train], options, len(train), step)


def _join(a: np.ndarray, b: np.ndarray, direction: str) -> np.ndarray:
    return np.concatenate([a, b] if direction == "a_to_b" else [b, a], axis=-1)


def _draw(options: Pix2Pix, part: int, number: int, size: int) -> Domain:
    a, b = datasets.draw(options.dataset, part, number, size)
    return Domain(a.names, lambda i: _join(a.read(i), b.read(i), options.direction))


# --- Folders


def _files(dataset: str) -> tuple[_Files, _Files]:
    """The files of training pairs, and of test pairs if there are any."""
    root = datasets.find_folder(dataset, list(shapes.DATASETS))
    aligned = (root / "train").is_dir()
    apart = [side for side in ("trainA", "trainB") if (root / side).is_dir()]
    if aligned and apart:
        raise UserError(
            f"{root} has both train/ (A beside B in each picture) and {apart[0]}/ (A "
            "and B in two folders); move one of them away."
        )
    if not aligned and not apart:
        raise UserError(
            f"{root} has no training pictures: neither train/ (A beside B in each "
            "picture) nor trainA/ and trainB/. "
            + datasets.describe_folder(root, "train", "trainA")
        )
    find = _aligned if aligned else _apart
    train, *tests = (find(root, part) for part in ("train", *_TEST_PARTS))
    if not train:
        raise no_picture(root / ("train" if aligned else "trainA"))
    return train, next(filter(None, tests), {})


def _aligned(root: pathlib.Path, part: str) -> _Files:
    """Files with A on the left and B on the right."""
    found = pictures_below(root / part, report=True)
    return {str(path): (path,) for path in found.values()}


def _apart(root: pathlib.Path, part: str) -> _Files:
    """Files of A and of B with the same name, whatever their endings."""
    folder_a, folder_b = (root / f"{part}{side}" for side in "AB")
    a, b = _by_stem(folder_a), _by_stem(folder_b)
    for ours, theirs, folder in ((a, b, folder_b), (b, a, folder_a)):
        alone = [path for stem, path in ours.items() if stem not in theirs]
        if alone:
            more = f", nor have {len(alone) - 1} more" if len(alone) > 1 else ""
            raise UserError(f"{alone[0]} has no picture of its name in {folder}{more}.")
    return {str(path): (path, b[stem]) for stem, path in a.items()}


def _by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Picture files by their path in the folder, without ending."""
    found = {}
    for name, path in pictures_below(folder, report=True).items():
        stem = str(pathlib.PurePath(name).with_suffix(""))
        if stem in found:
            raise UserError(f"{found[stem]} and {path} have the same name.")
        found[stem] = path
    return found


def _sizes(options: Pix2Pix, files: _Files) -> dict[str, int | None]:
    root = os.path.expanduser(options.dataset)
    paths = [path for pair in files.values() for path in pair]
    return {os.path.relpath(path, root): size_of(path) for path in paths}


def _read(files: _Files, size: int, options: Pix2Pix, losses: dict) -> Domain:
    """Reads pairs and resizes them to squares; one that can't be read is an error."""

    def load_pair(name: str, paths: tuple[pathlib.Path, ...]) -> np.ndarray:
        a, b = (images.resize(side, size) for side in _sides(paths, losses))
        return _join(a, b, options.direction)

    keep = "decoded" if reader.fits(len(files) * size**2 * 6) else "none"
    return reader.read_all(files, load_pair, options.dataset, keep)


def _sides(paths: tuple[pathlib.Path, ...], losses: dict) -> tuple:
    """A and B from one file or from two."""
    pictures = []
    for path in paths:
        try:
            picture, losses[path] = images.read(path)
            pictures.append(picture)
        except images.ImageError as error:
            raise UserError(f"{path} can't be read: {error}.") from error
    sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in pictures]
    if len(pictures) == 1:
        half, odd = divmod(pictures[0].shape[1], 2)
        if odd:
            raise UserError(
                f"{paths[0]} has {sizes[0]} pixels; A beside B needs an even width."
            )
        return pictures[0][:, :half], pictures[0][:, half:]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{paths[0]} has {sizes[0]} pixels and {paths[1]} has {sizes[1]}; a pair "
            "needs one size."
        )
    return tuple(pictures)
