"""Reads pictures in threads, each once; later from memory or from their files.

Bad pictures are reported, and skipped or replaced by the next one.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from cyclegan_tf.data import images
from cyclegan_tf.messages import UserError, progress_bar, some_of, warn

# A large picture takes almost a gigabyte while it is decoded.
MAX_AT_ONCE = 8
MAX_BAD = 0.05
_MAX_NAMED, _MAX_LISTED = 5, 50

# An encoded picture, or its file, or the files of a pair.
Item = bytes | pathlib.Path | tuple

_decoding = threading.Semaphore(MAX_AT_ONCE)


@dataclasses.dataclass(frozen=True)
class Domain:
    """Names of pictures, and their pixels, uint8 [height, width, channels]."""

    names: Sequence[str]
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.names)


def read_all(
    items: Mapping[str, Item],
    load: Callable[[str, Item], np.ndarray],
    where: str,
    keep: str,
) -> Domain:
    """Reads all pictures once; at most MAX_AT_ONCE at a time, now and later.

    Args:
      items: Encoded pictures, or their paths, by name.
      load: From a name and an item to a picture. It raises `ImageError` for a bad
        picture, and `UserError` for one that ends the reading.
      where: The place of the pictures, for messages.
      keep: What stays in memory: "decoded" or "encoded" pictures, or "none".

    Returns:
      The good pictures (see `with_stand_ins`).

    Raises:
      UserError: `load` raised it, or more than MAX_BAD of the pictures are bad.
    """

    def read(name: str, item) -> np.ndarray:
        with _decoding:
            return load(name, item)

    def attempt(name: str):
        """What stays in memory of a picture, or the reason why it can't be read."""
        item = items[name]
        try:
            if keep == "encoded" and not isinstance(item, bytes):
                item = images.file_bytes(item)
            picture = read(name, item)
        except images.ImageError as error:
            return str(error)
        return picture if keep == "decoded" else item

    with concurrent.futures.ThreadPoolExecutor(MAX_AT_ONCE) as pool:
        progress = progress_bar(
            pool.map(attempt, items),
            total=len(items),
            desc=f"Reading {where}",
            unit="picture",
            leave=False,
            delay=2,
        )
        results = dict(zip(items, progress, strict=True))
    reasons = {n: result for n, result in results.items() if isinstance(result, str)}
    report_bad(reasons, len(items), f" in {where}", MAX_BAD)
    names = [name for name in results if name not in reasons]
    kept = [results[name] for name in names]
    if keep == "decoded":
        return Domain(names, kept.__getitem__)
    again = with_stand_ins(names, lambda i: read(names[i], kept[i]), where)
    return Domain(names, again)


# --- Memory


def choose_keep(cache: str, items: Collection[Item], load_size: int) -> str:
    """Chooses what `read_all` keeps of training pictures.

    `auto`: the first that fits in a quarter of free memory: decoded pictures (unless
    `load_size` is 0, so that their sizes are unknown), encoded ones, none.
    """
    if cache == "none":
        return "none"
    if load_size and fits(len(items) * load_size**2 * 3):
        return "decoded"
    return "encoded" if fits(sum(size_of(item) or 0 for item in items)) else "none"


def size_of(item: bytes | str | os.PathLike) -> int | None:
    """Bytes of an encoded picture or of its file; None for a missing file."""
    try:
        return len(item) if isinstance(item, bytes) else os.path.getsize(item)
    except OSError:
        return None


def fits(num_bytes: int) -> bool:
    """Whether so many bytes fit in a quarter of free memory."""
    return num_bytes < _free_memory() / 4


def _free_memory() -> int:
    """Free bytes of this machine and container, roughly; 0 if unknown."""
    if not hasattr(os, "sysconf"):
        return 0
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):
        text = pathlib.Path("/proc/meminfo").read_text()
        limits += [1024 * int(n) for n in re.findall(r"MemAvailable: +(\d+)", text)]
    with contextlib.suppress(OSError, ValueError):  # It may say "max".
        limits.append(int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits)


# --- Lost depth and frames, and bad pictures


def report_losses(losses: Iterable[images.Loss | None], where: str) -> None:
    """Warns once for all pictures of a place that were read with a loss."""
    losses = [loss for loss in losses if loss]
    if deep := [loss for loss in losses if loss.values]:
        low, high = min(d.values[0] for d in deep), max(d.values[1] for d in deep)
        dark, light = min(d.levels[0] for d in deep), max(d.levels[1] for d in deep)
        unused = light - dark < 128 or low < 0 or high > 65535
        warn(
            f"Warning: {len(deep)} pictures in {where} have more than 8 bits. Their "
            f"values, {low} to {high}, become levels {dark} to {light} of 255: 0 to "
            "65535 become 0 to 255, others are clipped."
            + " Scale them to 0 to 65535 first to use all levels."
            * unused
        )
    if frames := sum(loss.frames for loss in losses):
        warn(
            f"Warning: {frames} pictures in {where} have several frames or pages. Only "
            "the first is used."
        )


def report_bad(
    reasons: Mapping[str, str], total: int, where: str = "", most: float = 1.0
) -> None:
    """Warns of bad pictures among `total`, with their reasons by name.

    `where` is their place, such as " in horses". A `UserError` if all are bad, or more
    than the fraction `most`.
    """
    if not reasons:
        return
    number, names = len(reasons), some_of(reasons, _MAX_NAMED)
    line = f"{number} of {total} pictures{where} can't be read: {names}."
    lines = [f"{name}: {reason}" for name, reason in reasons.items()]
    if number == total or number > most * total:
        rule = f" At most {most:.0%} may be damaged." if most < 1 else ""
        raise UserError(f"{line}{rule} {lines[0]}.")
    warn(f"Skipped: {line}")
    for reason in lines[:_MAX_LISTED]:
        warn(f"  {reason}")
    if number > _MAX_LISTED:
        warn(f"  and {number - _MAX_LISTED} more")


def with_stand_ins(
    names: Sequence[str], read: Callable[[int], np.ndarray], where: str
) -> Callable[[int], np.ndarray]:
    """Replaces a picture that can't be read any more by the next one, with a warning.

    `read` may raise `ImageError`, or a `UserError` that names the picture. The new
    function raises a `UserError` if no picture is left. Thread-safe.
    """
    lost, lock = set(), threading.Lock()

    def warn_once(problems: Mapping[int, str], stand_in: int) -> None:
        with lock:
            for i in problems:
                if i not in lost:
                    warn(f"Warning: {problems[i]} {names[stand_in]} stands in for it.")
            lost.update(problems)

    def first_readable(index: int) -> np.ndarray:
        problems = {}
        for i in (*range(index, len(names)), *range(index)):
            try:
                picture = read(i)
            except images.ImageError as error:
                problems[i] = f"{names[i]} in {where} can't be read: {error}."
            except UserError as error:
                problems[i] = str(error)
            else:
                warn_once(problems, i)
                return picture
        raise UserError(
            f"None of the {len(names)} pictures in {where} can be read any more. "
            f"{problems[index]}"
        )

    return first_readable
