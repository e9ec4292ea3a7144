"""What decoding takes of memory: python -m helpers.large_pictures FOLDER NAME...

Each name is that of a picture as large as we read, or a number of damaged ones. A
process of its own makes it and another one reads it, so that nothing else is measured.
"""

import json
import multiprocessing
import pathlib
import re
import resource
import sys
import zlib

import numpy as np
from PIL import Image, ImageFile

from cyclegan_tf.data import images
from helpers import damaged_pictures
from helpers.damaged_pictures import tiff

SIDE, SIDE_OF_COPIED = 8000, 6324


def written(path: str) -> None:
    """By its name: a progressive CMYK JPEG, a PNG, a WebP, or a TIFF of 16 bits."""
    if path.rpartition("/")[2].isdigit():
        return
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.MAXBLOCK = 2**28
    exif = Image.Exif()
    exif[0x0112] = 6
    name = path.rpartition("/")[2]
    side = SIDE_OF_COPIED if name.endswith(("webp", "tif")) else SIDE
    random = np.random.default_rng(0)
    tile = np.tile(random.integers(0, 256, (80, 80, 4), np.uint8), (100, 100, 1))
    image = Image.fromarray(tile[:side, :side])
    if name == "cmyk.jpg":
        options = {"progressive": True, "subsampling": 0}
        image.convert("CMYK").save(path, exif=exif, **options)
    elif name == "grey16.png":
        image = Image.fromarray(random.integers(0, 65536, (side, side), np.uint16))
        image.save(path, exif=exif, compress_level=0)
    elif name == "turned.webp":
        image.save(path, exif=exif, method=0)
    else:
        strip = zlib.compress(bytes(side * side * 8), 1)
        tags = {256: (4, [side]), 257: (4, [side]), 258: (3, [16] * 4), 259: (3, [8])}
        tags |= {262: (3, [2]), 273: (4, [8]), 274: (3, [6]), 277: (3, [4])}
        tags |= {278: (4, [side]), 279: (4, [len(strip)]), 338: (3, [2])}
        with open(path, "wb") as file:
            file.write(tiff(tags, strip))


def peak() -> int:
    """The most kilobytes that this process has held; at its start, what it holds."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+([0-9]+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def taken(path: str) -> float:
    """By how many megabytes this process grows at most while it decodes."""
    name = path.rpartition("/")[2]
    files = [pathlib.Path(path)]
    if name.isdigit():
        files = [data for _, data in damaged_pictures.files(int(name))]
    before = peak()
    for file in files:
        try:
            images.decode(file)
        except images.ImageError:
            assert name.isdigit(), name
    return (peak() - before) / 1000


if __name__ == "__main__":
    paths = [f"{sys.argv[1]}/{name}" for name in sys.argv[2:]]
    # Each task has a new process, a copy of this one, which has decoded nothing.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        pool.map(written, paths, chunksize=1)
        found = pool.map(taken, paths, chunksize=1)
    print(json.dumps(dict(zip(sys.argv[2:], found, strict=True))))
