"""How a data set's training pictures are kept: decoded, encoded or in their files."""

import os
import pathlib
from collections.abc import Sequence

from cyclegan_tf.config import Config
from cyclegan_tf.data.fingerprint import size_of


def kept_as(config: Config, items: Sequence[bytes | pathlib.Path]) -> str:
    """How to keep training pictures.

    Args:
      config: Says so in `cache`. `auto`: decoded if all fit a quarter of the memory
        that is there, else encoded if those do, else in their files.
      items: The pictures' bytes or paths.

    Returns:
      `memory`, `encoded` or `none`.
    """
    if config.cache != "auto":
        return config.cache
    # Pictures that keep their own sizes have sides that nobody knows yet.
    if config.load_size and fits(decoded_bytes(len(items), config.load_size)):
        return "memory"
    return "encoded" if fits(sum(size_of(item) or 0 for item in items)) else "none"


def decoded_bytes(number: int, size: int) -> int:
    """Bytes of so many pictures, squares of a side."""
    return number * size**2 * 3


def fits(number: int) -> bool:
    """Whether so many bytes are less than a quarter of the memory that is there."""
    return number < _available() / 4


def _available() -> int:
    """Bytes that this process can still have, about; 0 where that is unknown."""
    if not hasattr(os, "sysconf"):
        return 0
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # What others use of it, and a container's share.
    limits = [total]
    meminfo = pathlib.Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(1024 * int(line.split()[1]))
    container = pathlib.Path("/sys/fs/cgroup/memory.max")
    if container.exists() and (text := container.read_text().strip()).isdigit():
        limits.append(int(text))
    return min(limits)
