"""Writes a picture that is as large as we read: python -m helpers.large_pictures FILE.

A program, so that what it takes to make one is not measured with the reading.
"""

import sys
import zlib

import numpy as np
from PIL import Image, ImageFile

from helpers.damaged_pictures import tiff

SIDE, SIDE_OF_COPIED = 8000, 6324


def written(path: str) -> None:
    """By its name: a progressive CMYK JPEG, a PNG, a WebP, or a TIFF of 16 bits."""
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
    elif name == "rgba.png":
        image.save(path, exif=exif, compress_level=1)
    elif name == "turned.webp":
        image.save(path, exif=exif, method=0)
    else:
        strip = zlib.compress(bytes(side * side * 8), 1)
        tags = {256: (4, [side]), 257: (4, [side]), 258: (3, [16] * 4), 259: (3, [8])}
        tags |= {262: (3, [2]), 273: (4, [8]), 274: (3, [6]), 277: (3, [4])}
        tags |= {278: (4, [side]), 279: (4, [len(strip)]), 338: (3, [2])}
        with open(path, "wb") as file:
            file.write(tiff(tags, strip))


if __name__ == "__main__":
    written(sys.argv[1])
