"""Picture files below a folder, those to translate, and the PNGs that they become."""

import collections
import os
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.files import written_whole
from cyclegan_tf.validation import UserError


class PictureFile(NamedTuple):
    """A picture's name for messages, its file, and the PNG it is to become."""

    name: str
    source: pathlib.Path
    target: pathlib.Path


def pictures_below(folder: pathlib.Path, tell: bool = False) -> dict[str, pathlib.Path]:
    """Picture files in a folder and below, by their path in it, sorted.

    Links to nowhere are pictures that can't be read.

    Args:
      folder: The folder.
      tell: Whether to say on stderr how many files of other endings are left out.
    """
    found, others = _sorted_out(folder)
    if tell and found and others:
        told = f"Left out of {folder}, no pictures: {_numbers(others)}."
        print(told, file=sys.stderr)
    return found


def no_picture(folder: pathlib.Path) -> UserError:
    """The error that a folder has no picture; it tells what is there instead."""
    _, others = _sorted_out(folder)
    told = f" Left out: {_numbers(others)}." if others else ""
    return UserError(f"{folder} has no picture ({images.FORMAT_NAMES}).{told}")


def _sorted_out(folder: pathlib.Path) -> tuple[dict, collections.Counter]:
    """Picture files by their path, and how many others there are by ending."""
    found, others = {}, collections.Counter()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        # Dot files and folders are leftovers, such as ._horse.jpg and .thumbnails/.
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or not (path.is_file() or _leads_nowhere(path)):
            continue
        ending = path.suffix.lower()
        if ending in images.ENDINGS:
            found[str(name)] = path
        else:
            others[ending or "without ending"] += 1
    return found, others


def _numbers(others: collections.Counter) -> str:
    told = ", ".join(f"{n} {ending}" for ending, n in others.most_common(8))
    return told + (" and others" if len(others) > 8 else "")


def _leads_nowhere(path: pathlib.Path) -> bool:
    return path.is_symlink() and not path.exists()


def find(source: pathlib.Path, output: pathlib.Path) -> list[PictureFile]:
    """A picture, or those below a folder in the order of their paths.

    Args:
      source: A picture's file, whatever its ending, or a folder. What lies below
        `output` is left out: translations of an earlier call are no inputs.
      output: The folder to write to.

    Raises:
      UserError: there is no picture, or a PNG would take the place of an input.
    """
    if os.path.isfile(source):
        found = {source.name: source}
    elif os.path.isdir(source):
        found = _below(source, output)
    else:
        raise UserError(f"No such file or folder: {source}.")
    if not found:
        raise no_picture(source)
    targets = target_names(list(found))
    files = [PictureFile(name, found[name], output / targets[name]) for name in found]
    _check_targets(files)
    return files


def _below(source: pathlib.Path, output: pathlib.Path) -> dict[str, pathlib.Path]:
    found = pictures_below(source, tell=True)
    made = output.resolve()
    if source.resolve() not in made.parents:
        return found
    return {n: path for n, path in found.items() if made not in path.resolve().parents}


def target_names(names: list[str]) -> dict[str, str]:
    """Names of the PNGs: `a.png` for `a.jpg`, but `a.jpg.png` where two would clash.

    Letter case makes no difference, as on the disks of macOS and Windows.
    """
    targets = {name: str(pathlib.PurePath(name).with_suffix(".png")) for name in names}
    clashing = set(names)
    while clashing:
        number = collections.Counter(target.lower() for target in targets.values())
        # A name made longer may clash with another one, which is then made longer too.
        clashing = {
            name
            for name, target in targets.items()
            if number[target.lower()] > 1 and target != f"{name}.png"
        }
        targets |= {name: f"{name}.png" for name in clashing}
    return targets


def _check_targets(files: list[PictureFile]) -> None:
    """Refuses to write over an input, by whatever path, or in place of a folder."""
    inputs = {_identity(f.source) for f in files if not _leads_nowhere(f.source)}
    for file in files:
        _check_folder(file.target.parent)
        if os.path.isdir(file.target):
            raise UserError(f"{file.target} is a folder; a PNG is to be written there.")
        if os.path.exists(file.target) and _identity(file.target) in inputs:
            raise UserError(
                f"{file.target} is an input and would be written over. Name another "
                "--output."
            )


def _identity(path: pathlib.Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _check_folder(folder: pathlib.Path) -> None:
    """Refuses a folder that can't be made, since a file is in its way."""
    there = next(p for p in (folder, *folder.parents) if os.path.exists(p))
    if not os.path.isdir(there):
        raise UserError(f"{there} is a file; a folder is to be written there.")


def write_png(picture: np.ndarray, path: pathlib.Path) -> None:
    """Writes a PNG, whole or not at all, with the folders it needs.

    Args:
      picture: uint8 [height, width, 3].
      path: The file; replaced if it exists.

    Raises:
      UserError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} can't be written: {reason}.") from error
