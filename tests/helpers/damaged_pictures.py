"""Thousands of damaged picture files, the same ones for one seed.

Random damage to small pictures in every encoding, and files that are made to cost
memory or time: large sizes in small files, bombs of text, profiles, scans and tiles.
"""

import functools
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from helpers.encoded_pictures import bmp32, encoded, noise, palette_picture, png, smooth

# Of a PNG, what stands before its first chunk's end: signature and IHDR.
_PNG_HEADER = 33
_WORDS = {3: "<H", 4: "<I"}


def files(number: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Names with endings, and bytes, of at least so many files; all bombs come first.

    A damaged file may still hold a picture.
    """
    random = np.random.default_rng(seed)
    good = pictures()
    endings = ["jpg", "png", "bmp", "gif", "webp", "tif"]
    made = bombs()
    yield from made.items()
    for i in range(number - len(made)):
        name = list(good)[i % len(good)]
        damage = DAMAGES[random.integers(len(DAMAGES))]
        data = damage(good[name], random)
        stem, _, ending = name.rpartition(".")
        if random.random() < 0.2:
            ending = endings[random.integers(len(endings))]
        yield f"{i:05}_{stem}_{damage.__name__}.{ending}", data


# --- Good pictures


@functools.cache
def pictures() -> dict[str, bytes]:
    """Small whole pictures in every encoding that we read, by name with ending."""
    rgb, other = (Image.fromarray(noise(10, 14, seed)) for seed in (0, 1))
    even = Image.fromarray(smooth())
    grey, bits = rgb.convert("L"), rgb.convert("1")
    rgba = Image.merge("RGBA", [*rgb.split(), grey])
    deep = np.random.default_rng(4).integers(0, 65536, (10, 14, 4))
    palette, _ = palette_picture()
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "maker"
    frames = {"save_all": True, "append_images": [other]}
    return {
        # First, since Pillow keeps a JPEG's options in the pictures.
        "pages.tif": encoded(rgb, "TIFF", **frames),
        "plain.jpg": encoded(rgb, "JPEG"),
        "even.jpg": encoded(even, "JPEG"),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "turned.jpg": encoded(rgb, "JPEG", exif=turned),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
        "two.jpg": encoded(rgb, "MPO", **frames),
        "plain.png": encoded(rgb, "PNG"),
        "rgba.png": encoded(rgba, "PNG"),
        "turned.png": encoded(rgb, "PNG", exif=turned),
        "animated.png": encoded(rgb, "PNG", **frames),
        "bits.png": encoded(bits, "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=bytes([0, 128, 255, 7])),
        "grey16.png": png(deep[..., 0], colour_type=0, bits=16),
        "grey16_alpha.png": png(deep[..., :2], colour_type=4, bits=16),
        "rgb16.png": png(deep[..., :3], colour_type=2, bits=16),
        "plain.bmp": encoded(rgb, "BMP"),
        "bits.bmp": encoded(bits, "BMP"),
        "alpha.bmp": bmp32(noise(10, 14)),
        "runs.bmp": runs_bmp(14, 10, (b"\x0e\3\0\0") * 10 + b"\0\1"),
        "plain.gif": encoded(palette, "GIF"),
        "animated.gif": encoded(rgb, "GIF", transparency=3, comment=b"x", **frames),
        "plain.webp": encoded(rgb, "WEBP"),
        "lossless.webp": encoded(rgba, "WEBP", lossless=True, exif=turned),
        "animated.webp": encoded(rgb, "WEBP", lossless=True, **frames),
        "grey16.tif": encoded(Image.fromarray(deep[..., 0].astype(np.uint16)), "TIFF"),
        "bits.tif": encoded(bits, "TIFF", compression="group4"),
        "rgba.tif": encoded(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "cmyk.tif": encoded(rgb.convert("CMYK"), "TIFF", compression="packbits"),
        "jpeg.tif": encoded(rgb, "TIFF", compression="jpeg"),
        "turned.tif": encoded(rgb, "TIFF", exif=turned, compression="tiff_lzw"),
        "tile.tif": tile_tiff(16, zlib.compress(noise(16, 16).tobytes())),
    }


def tiff(tags: dict[int, tuple[int, list[int]]], data: bytes) -> bytes:
    """A TIFF whose data begin at byte 8; tags as (type, values) by number."""
    directory = 8 + len(data)
    far, entries = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = b"".join(struct.pack(_WORDS[kind], value) for value in values)
        if len(packed) > 4:
            place = directory + 2 + 12 * len(tags) + 4 + len(far)
            far, packed = far + packed, struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", directory) + data
    return head + struct.pack("<H", len(tags)) + entries + bytes(4) + far


def tile_tiff(side: int, data: bytes, samples: int = 3) -> bytes:
    """A TIFF of 10x10 pixels in one deflated tile of a side."""
    size, photometric, samples_tag = (3, [8] * samples), (3, [2]), (3, [samples])
    tags = {256: (4, [10]), 257: (4, [10]), 258: size, 259: (3, [8]), 262: photometric}
    tags |= {277: samples_tag, 322: (4, [side]), 323: (4, [side])}
    return tiff(tags | {324: (4, [8]), 325: (4, [len(data)])}, data)


def runs_bmp(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of 8 bits, compressed as runs of equal pixels."""
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), *[0] * 4)
    palette = bytes(range(256)) * 4
    start = 54 + len(palette)
    file = struct.pack("<IHHI", start + len(runs), 0, 0, start)
    return b"BM" + file + sizes + palette + runs


# --- Damage


def cut_off(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(len(data))]


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    """A few bits, anywhere or, more often than by chance, in the header."""
    broken = bytearray(data)
    end = len(data) if random.random() < 0.5 else min(len(data), 64)
    for place in random.integers(end, size=random.integers(1, 9)):
        broken[place] ^= 1 << random.integers(8)
    return bytes(broken)


def replaced(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes are others, gone, there twice, or begin another file's rest."""
    start, length = random.integers(len(data)), random.integers(1, 40)
    others = list(pictures().values())
    other = others[random.integers(len(others))]
    end = start + length
    return [
        data[:start] + bytes(length) + data[end:],
        data[:start] + b"\xff" * length + data[end:],
        data[:start] + random.bytes(length) + data[end:],
        data[:start] + data[end:],
        data[:end] + data[start:],
        data[:start] + other[random.integers(len(other)) :],
    ][random.integers(6)]


DAMAGES = (cut_off, flipped, replaced, replaced, replaced)


# --- Bombs


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return (
        struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
    )


def with_chunks(chunks: bytes) -> bytes:
    """A small PNG with chunks before its pixels."""
    whole = encoded(Image.new("RGB", (8, 8)), "PNG")
    return whole[:_PNG_HEADER] + chunks + whole[_PNG_HEADER:]


def put(data: bytes, place: int, kind: str, *values: int) -> bytes:
    packed = struct.pack(kind, *values)
    return data[:place] + packed + data[place + len(packed) :]


def with_size(width: int, height: int) -> dict[str, bytes]:
    """Small files of every format whose headers tell that size."""
    small = Image.new("RGB", (8, 8))
    whole, jpeg, gif, bmp, lossy = (
        encoded(small, kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP")
    )
    lossless = encoded(small, "WEBP", lossless=True)
    frames = {"save_all": True, "append_images": [Image.new("RGB", (8, 8), "red")]}
    animated = encoded(small, "WEBP", **frames)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    short = min(width, 16383), min(height, 16383)
    packed = (short[0] - 1) | (short[1] - 1) << 14
    canvas = (width - 1 | height - 1 << 24).to_bytes(6, "little")
    screen = put(gif, 6, "<HH", width, height)
    zeros = zlib.compress(bytes(1000))
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8] * 3), 259: (3, [8])}
    tags |= {262: (3, [2]), 273: (4, [8]), 277: (3, [3]), 278: (4, [height])}
    return {
        "size.png": whole[:8] + png_chunk(b"IHDR", header) + whole[_PNG_HEADER:],
        "size.jpg": put(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", height, width),
        "size.gif": put(screen, gif.index(b",") + 5, "<HH", width, height),
        "size.bmp": put(bmp, 18, "<ii", width, height),
        "size_runs.bmp": runs_bmp(width, height, b"\0\2\xff\xff" * 3),
        "size_lossy.webp": put(lossy, 26, "<HH", *short),
        "size_lossless.webp": put(lossless, 21, "<I", packed),
        "size_animated.webp": animated[:24] + canvas + animated[30:],
        "size.tif": tiff(tags | {279: (4, [len(zeros)])}, zeros),
    }


def many_scans(side: int = 512, number: int = 2000) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    once = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = once[once.rindex(b"\xff\xda") : -2]
    return once[:-2] + number * last + once[-2:]


def looped_exif() -> bytes:
    """EXIF whose directories follow one another in a circle."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)


def bombs() -> dict[str, bytes]:
    """Files that ask for much, or that are not what their names say."""
    zeros = zlib.compress(bytes(100_000_000), 9)
    text = zlib.compress(bytes(900_000), 9)
    texts = b"".join(png_chunk(b"zTXt", b"k%d\0\0" % i + text) for i in range(300))
    comment = encoded(Image.new("P", (8, 8)), "GIF", comment=b"x")
    blocks = b"\xff" + b"x" * 255
    found = {
        "nothing.jpg": b"",
        "byte.png": b"\0",
        "words.gif": b"not a picture at all",
        "zeros.tif": bytes(1000),
        "text.png": with_chunks(png_chunk(b"zTXt", b"k\0\0" + zeros)),
        "texts.png": with_chunks(texts),
        "long_text.png": with_chunks(png_chunk(b"iTXt", b"k\0\1\0\0\0" + zeros)),
        "profile.png": with_chunks(png_chunk(b"iCCP", b"k\0\0" + zeros)),
        "exif.png": with_chunks(png_chunk(b"eXIf", looped_exif()[6:])),
        "exif.jpg": encoded(Image.new("RGB", (8, 8)), "JPEG", exif=looped_exif()),
        "scans.jpg": many_scans(),
        "tile.tif": tile_tiff(26_000, zlib.compress(bytes(1000))),
        "samples.tif": tile_tiff(16, zlib.compress(bytes(3000)), samples=9),
        "comment.gif": comment.replace(b"\xfe", b"\xfe" + 1000 * blocks),
    }
    for width, height in ((60_000, 60_000), (9000, 9000), (60_000, 1)):
        for name, data in with_size(width, height).items():
            found[f"{width}x{height}_{name}"] = data
    return found
