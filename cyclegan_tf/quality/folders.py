"""Anybody's pictures: folders of fakes, real pictures and inputs, matched by name.

A fake belongs to the input whose path in its folder is the same but for the ending, as
`translate` writes them.
"""

import os
import pathlib

import numpy as np

from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.data.folders import no_picture, pictures_below
from cyclegan_tf.validation import UserError

_MAX_SIDE = 256


def of_folder(folder: str, flag: str) -> Domain:
    """Pictures below a folder in their own sizes, named by their path without ending.

    Args:
      folder: The folder.
      flag: That named it, for messages.

    Raises:
      UserError: it is no folder, it has no picture, or two of the same name.
    """
    root = pathlib.Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise UserError(f"`{flag}`: no such folder: {root}.")
    paths = list(pictures_below(root, report=True).values())
    if not paths:
        raise no_picture(root)
    names = [str(path.relative_to(root).with_suffix("")) for path in paths]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{root} has two pictures called {sorted(twice)[0]}.")
    return Domain(names, lambda i: _read(paths[i]))


def matched(domain: Domain, others: Domain, what: str) -> Domain:
    """The pictures of `others` in the order of the names of `domain`.

    Raises:
      UserError: one has no counterpart, or one of another size.
    """
    places = {name: i for i, name in enumerate(others.names)}
    missing = [name for name in domain.names if name not in places]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(domain)} pictures have no {what} of the same "
            f"name, such as {missing[0]}."
        )
    order = [places[name] for name in domain.names]
    for i, name in enumerate(domain.names):
        ours, theirs = domain.read(i).shape, others.read(order[i]).shape
        if ours != theirs:
            raise UserError(
                f"{name} has {ours[1]}x{ours[0]} pixels, its {what} "
                f"{theirs[1]}x{theirs[0]}: pairs must have the same size."
            )
    return Domain(domain.names, lambda i: others.read(order[i]))


def paired(data: UnpairedData) -> tuple[Domain, Domain]:
    """The truth of test pictures whose names match: of X, then of Y.

    Raises:
      UserError: a test picture has no counterpart in the other domain.
    """
    x, y = (_without_endings(domain) for domain in (data.test_x, data.test_y))
    return matched(x, y, "test picture in domain Y"), matched(
        y, x, "test picture in domain X"
    )


def common_size(domain: Domain) -> int:
    """The side to evaluate pictures at: that of the first, at most 256, even by 4."""
    side = min(*domain.read(0).shape[:2], _MAX_SIDE)
    return max(side - side % 4, 16)


def _without_endings(domain: Domain) -> Domain:
    names = [str(pathlib.PurePath(name).with_suffix("")) for name in domain.names]
    return Domain(names, domain.read)


def _read(path: pathlib.Path) -> np.ndarray:
    try:
        return images.decode(path)
    except images.ImageError as error:
        raise UserError(f"{path} can't be read: {error}.") from error
