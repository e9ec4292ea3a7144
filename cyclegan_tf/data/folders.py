"""Picture files in folders: those to read or translate, and the PNGs to write."""

import collections
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import UserError, reason, some_of, warn

_MAX_COUNTED = 8


class PictureFile(NamedTuple):
    """The name of a picture in messages, its file, and the PNG to write."""

    name: str
    source: pathlib.Path
    target: pathlib.Path


def pictures_below(folder: pathlib.Path, report=False) -> dict[str, pathlib.Path]:
    """Picture files and broken links below a folder, by their path in it, sorted.

    With `report` it warns how many files of other types it leaves out.
    """
    found, others = _scan(folder)
    if report and found and others:
        warn(f"Left out of {folder}, no pictures: {_counts(others)}.")
    return found


def no_picture(folder: pathlib.Path) -> UserError:
    """The error for a folder without pictures; it counts the other files."""
    _, others = _scan(folder)
    left_out = f" Left out: {_counts(others)}." if others else ""
    return UserError(f"{folder} has no picture ({images.FORMAT_NAMES}).{left_out}")


def _scan(folder: pathlib.Path) -> tuple[dict, collections.Counter]:
    """Pictures below a folder by name, and the numbers of other files by ending."""
    found, others = {}, collections.Counter()
    for path in sorted(_walk(folder)):
        ending = path.suffix.lower()
        if ending in images.ENDINGS and (path.is_file() or not path.exists()):
            found[str(path.relative_to(folder))] = path
        elif path.is_dir():
            others["linked in a circle"] += 1
        else:
            others[ending or "without ending"] += 1
    return found, others


def _walk(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Files below a folder and in linked folders, and links that lead in a circle.

    It enters each folder once. Dot files and folders are no data, such as ._horse.jpg
    and .thumbnails/.
    """
    entered, waiting = set(), [folder]
    for top in waiting:
        for place, folders, files in os.walk(top, onerror=_refuse):
            place, real = pathlib.Path(place), pathlib.Path(place).resolve()
            folders[:] = [name for name in folders if not name.startswith(".")]
            if real in entered:
                folders.clear()
                continue
            entered.add(real)
            yield from (place / name for name in files if not name.startswith("."))
            for link in (place / name for name in folders):
                if link.is_symlink():
                    if link.resolve() in (real, *real.parents):
                        yield link
                    else:
                        waiting.append(link)


def _refuse(error: OSError) -> None:
    if isinstance(error, PermissionError):
        raise UserError(f"{error.filename} can't be read: {reason(error)}.")


def _counts(others: collections.Counter) -> str:
    counts = (f"{number} {ending}" for ending, number in others.most_common())
    return some_of(counts, _MAX_COUNTED)


def find(source: pathlib.Path, output: pathlib.Path) -> list[PictureFile]:
    """Finds pictures to translate into a folder, in the order of their paths.

    `source` is a picture, whatever its ending, or a folder. Files below `output` are
    left out: they are translations of an earlier call. A `UserError` if there is no
    picture, or if a PNG would replace an input or a folder.
    """
    if os.path.isfile(source):
        found = {source.name: source}
    elif os.path.isdir(source):
        found = pictures_below(source, report=True)
        below, above = output.resolve(), source.resolve()
        if below not in (above, *above.parents):
            found = {n: p for n, p in found.items() if below not in p.resolve().parents}
    else:
        raise UserError(f"No such file or folder: {source}.")
    if not found:
        raise no_picture(source)
    targets = target_names(list(found))
    files = [PictureFile(name, found[name], output / targets[name]) for name in found]
    _check_targets(files)
    return files


def target_names(names: list[str]) -> dict[str, str]:
    """Names PNGs: `a.png` for `a.jpg`, but `a.jpg.png` where two names would clash.

    Ignores letter case, as the disks of macOS and Windows do.
    """
    targets = {name: str(pathlib.PurePath(name).with_suffix(".png")) for name in names}
    clashing = set(names)
    while clashing:
        number = collections.Counter(target.lower() for target in targets.values())
        # A longer name may clash with another one, which then gets longer too.
        clashing = {
            name
            for name, target in targets.items()
            if number[target.lower()] > 1 and target != f"{name}.png"
        }
        targets |= {name: f"{name}.png" for name in clashing}
    return targets


def _check_targets(files: list[PictureFile]) -> None:
    """Refuses to replace an input, by whatever path, or a folder."""
    inputs = {_identity(f.source) for f in files if os.path.exists(f.source)}
    for target in (file.target for file in files):
        there = next(p for p in target.parents if os.path.exists(p))
        if not os.path.isdir(there):
            raise UserError(f"{there} is a file, but must be a folder for PNGs.")
        if os.path.isdir(target):
            raise UserError(f"{target} is a folder, but must be a PNG.")
        if os.path.exists(target) and _identity(target) in inputs:
            raise UserError(f"{target} is an input. Choose another --output.")


def _identity(path: pathlib.Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def write_png(picture: np.ndarray, path: pathlib.Path) -> None:
    """Writes uint8 [height, width, 3] as a PNG, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
    except OSError as error:
        raise UserError(f"{path} can't be written: {reason(error)}.") from error
