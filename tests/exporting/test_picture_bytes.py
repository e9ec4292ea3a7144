"""Decoding in a graph, against Pillow, and everything that it must refuse."""

import functools
import io
import re
import resource
import struct
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.encoded_pictures import (
    bmp32,
    damaged,
    encoded,
    noise,
    palette_picture,
    png,
    smooth,
)
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.exporting import picture_bytes

FORMATS = ("JPEG", "PNG", "BMP", "GIF")
LIMIT = 600


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


@functools.cache
def decoder(max_pixels: int):
    scalar = tf.TensorSpec([], tf.string)
    return tf.function(
        lambda data, name: picture_bytes.decode(data, name, max_pixels),
        input_signature=[scalar, scalar],
        autograph=False,
    )


def decode(data: bytes, max_pixels: int = LIMIT) -> np.ndarray:
    return decoder(max_pixels)(data, "image_bytes[7]").numpy()


def refusal(data: bytes, name: str = "image_bytes[7]") -> str:
    """What an error says, which must name the picture first."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decoder(LIMIT)(data, name)
    said = re.search(r"assertion failed: \[(.*)\]$", caught.value.message, re.M)
    assert said, caught.value.message
    assert said[1].startswith(name + " ")
    return said[1].removeprefix(name + " ")


def assert_as_pillow(data: bytes, atol: int = 0, message="") -> None:
    decoded, expected = decode(data), images.decode(data)
    assert decoded.dtype == np.uint8
    assert decoded.shape == expected.shape, message
    difference = np.abs(decoded.astype(int) - expected)
    assert difference.max() <= atol, message


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(smooth()).convert(mode)


# --- GIFs by hand

COLOURS = noise(1, 256, seed=5)[0]
INDICES = noise(10, 12, seed=6)[..., 0]


def gif(width: int, height: int, *blocks: bytes, colours=COLOURS) -> bytes:
    flags, table = (0, b"") if colours is None else (0xF7, colours.tobytes())
    screen = struct.pack("<HHBBB", width, height, flags, 0, 0)
    return b"GIF89a" + screen + table + b"".join(blocks) + b";"


def frame(indices: np.ndarray = INDICES, left=0, top=0, colours=None) -> bytes:
    """An image descriptor, its colours, and codes of 9 bits that compress nothing."""
    height, width = indices.shape
    flags, table = (0, b"") if colours is None else (0x87, colours.tobytes())
    # A decoder that is told to clear its table often enough stays at 9 bits.
    codes = [256]
    for i, index in enumerate(indices.ravel().tolist(), 1):
        codes += [index] + [256] * (i % 100 == 0)
    bits = "".join(f"{code:09b}"[::-1] for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    descriptor = struct.pack("<BHHHHB", 0x2C, left, top, width, height, flags)
    return descriptor + table + b"\x08" + blocks_of(data)


def blocks_of(data: bytes, length: int = 255) -> bytes:
    parts = [data[i : i + length] for i in range(0, len(data), length)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def extension(label: int, data: bytes, length: int = 255) -> bytes:
    return bytes([0x21, label]) + blocks_of(data, length)


# --- What is read


@pytest.mark.stack
def test_png_equals_pillow():
    # The colour type: grey, RGB, palette, grey with alpha, RGBA.
    types = {"1": 0, "L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}
    for mode, colour_type in types.items():
        data = encoded(Image.fromarray(noise()).convert(mode), "PNG")
        assert data[25] == colour_type
        assert_as_pillow(data, message=mode)


@pytest.mark.stack
def test_palette_png_keeps_colours_where_it_is_transparent():
    image, pixels = palette_picture()
    for transparency in (3, bytes([0, 128, 255, 7])):  # One colour; a table.
        data = encoded(image, "PNG", transparency=transparency)
        assert b"tRNS" in data
        np.testing.assert_array_equal(decode(data), pixels)


@pytest.mark.stack
def test_16_bit_png_is_scaled_to_8_bits():
    for colour_type, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        pixels = np.concatenate([noise(), noise(seed=1)], axis=-1)[..., :channels]
        data = png(257 * pixels.astype(int), colour_type, bits=16)
        colours = pixels[..., :3] if channels > 2 else pixels[..., [0, 0, 0]]
        np.testing.assert_array_equal(decode(data), colours)
    between_levels = np.arange(0, 65536, 110)[:588].reshape(21, 28)
    assert_as_pillow(png(between_levels, colour_type=0, bits=16), atol=1)


@pytest.mark.stack
def test_bmp_and_gif_equal_pillow():
    for image in (Image.fromarray(noise()), picture("L"), palette_picture()[0]):
        assert_as_pillow(encoded(image, "BMP"), message=image.mode)
    assert_as_pillow(bmp32(noise()))
    for mode in ("1", "L", "P", "RGB"):
        image = Image.fromarray(noise()).convert(mode)
        for interlace in (0, 1):
            data = encoded(image, "GIF", interlace=interlace)
            assert_as_pillow(data, message=(mode, interlace))
    frames = [Image.fromarray(noise(seed=i)) for i in range(4)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 4
    assert_as_pillow(data, message="the first frame")


@pytest.mark.stack
def test_bmp_of_negative_height_has_its_top_row_first():
    data = bytearray(encoded(Image.fromarray(noise()), "BMP"))
    struct.pack_into("<i", data, 22, -12)
    np.testing.assert_array_equal(decode(bytes(data)), noise()[::-1])
    assert_as_pillow(bytes(data))


@pytest.mark.stack
def test_gif_by_hand_has_the_colours_of_its_table():
    other = noise(50, 40, seed=7)[..., 0]
    assert other.size > LIMIT
    comment = extension(0xFE, b"made of , and ; and ! " * 40)
    short = extension(0xFE, b",,,,,,!!!!!!;;;;;;", length=1)
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    control = b"\x21\xf9\x04\x01\0\0" + INDICES[0, :1].tobytes() + b"\0"
    files = {
        "as it should be": gif(12, 10, frame()),
        "87a": b"GIF87a" + gif(12, 10, frame())[6:],
        "extensions before the frame": gif(12, 10, comment, short, loop, frame()),
        "extension without blocks": gif(12, 10, extension(0xFE, b""), frame()),
        "too large a frame behind": gif(12, 10, frame(), frame(other)),
        "nonsense behind": gif(12, 10, frame(), b"nonsense"),
        "cut off frame behind": gif(12, 10, frame(), frame()[:-9]),
        "extension behind": gif(12, 10, frame(), extension(0xFE, b"end")),
        "no end": gif(12, 10, frame())[:-1],
        "frame larger than its screen": gif(5, 4, frame()),
        "a colour is transparent": gif(12, 10, control, frame()),
    }
    for name, data in files.items():
        np.testing.assert_array_equal(decode(data), COLOURS[INDICES], name)
    for name in ("as it should be", "87a", "frame larger than its screen"):
        assert_as_pillow(files[name], message=name)
    transparent = files["a colour is transparent"]
    assert "transparency" in Image.open(io.BytesIO(transparent)).info


def test_gif_with_a_local_colour_table_uses_it():
    own = noise(1, 256, seed=8)[0]
    larger = frame(noise(50, 40, seed=7)[..., 0])
    for data in (
        gif(12, 10, frame(colours=own)),
        gif(12, 10, frame(colours=own), colours=None),
        gif(12, 10, frame(colours=own), larger),
    ):
        np.testing.assert_array_equal(decode(data), own[INDICES])


@pytest.mark.stack
def test_jpeg_is_within_three_levels_of_pillow():
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"subsampling": 0}):
            data = encoded(picture(mode), "JPEG", **options)
            assert_as_pillow(data, atol=3, message=(mode, options))
    # Of several pictures in a file, the first one.
    others = {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}
    assert_as_pillow(encoded(picture(), "MPO", **others), atol=3)


def test_orientation_in_a_jpeg_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(), "JPEG", exif=exif)
    assert images.decode(data).shape == (24, 16, 3)
    np.testing.assert_array_equal(decode(data), decode(encoded(picture(), "JPEG")))


def test_result_has_three_channels_before_it_runs():
    result = decoder(LIMIT).get_concrete_function().output_shapes
    assert result.as_list() == [None, None, 3]


# --- What is refused


def test_what_is_no_picture_is_refused_by_its_name():
    others = [encoded(picture(), name) for name in ("WEBP", "TIFF", "PPM", "ICO")]
    starts = [b"", b"\0", b"\xff\xd8", b"B", b"GIF9", b"\x89PNG\r\n"]
    for data in (*others, *starts, b"not a picture at all", bytes(1000)):
        assert "neither JPEG" in refusal(data), data
    assert refusal(b"text", name="image_bytes[0]") == refusal(b"text", name="picture")


@pytest.mark.stack
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_truncation_is_refused(file_format):
    data = encoded(Image.fromarray(noise()), file_format)
    # Without its last byte a GIF still has a whole frame.
    last = len(data) - 1 - (file_format == "GIF")
    for end in (*range(16, last - 20, 11), *range(last - 20, last + 1)):
        assert "be decoded" in refusal(data[:end])
    assert "cut off" in refusal(data[: -len(data) // 8])


def test_frame_smaller_than_its_screen_is_refused():
    # TensorFlow would give a picture of the frame's size, a part of it black.
    for left, top in ((0, 0), (3, 4), (8, 14)):
        assert "a part of it free" in refusal(gif(20, 24, frame(left=left, top=top)))
    # As large as the screen, but beside it.
    for place in ({"left": 1}, {"top": 1}):
        assert "a part of it free" in refusal(gif(12, 10, frame(**place)))


# --- Sizes


def claiming(file_format: str, width: int, height: int) -> bytes:
    """A small file whose header tells another size."""
    data = bytearray(encoded(Image.fromarray(noise(4, 4)), file_format))
    if file_format == "PNG":
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif file_format == "BMP":
        struct.pack_into("<ii", data, 18, width, height)
    elif file_format == "GIF":
        struct.pack_into("<HH", data, 6, width, height)
    else:
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("file_format", FORMATS)
def test_limit_is_the_most_pixels_that_pass(file_format):
    for height, width in ((20, 30), (600, 1), (1, 600), (1, 1)):
        image = Image.fromarray(noise(height, width))
        assert decode(encoded(image, file_format)).shape == (height, width, 3)
    for height, width in ((601, 1), (1, 601), (25, 25)):
        image = Image.fromarray(noise(height, width))
        assert_too_large(encoded(image, file_format), width, height)
    # By the header, before anything is decoded.
    assert_too_large(claiming(file_format, 60_000, 50_000), 60_000, 50_000)


def assert_too_large(data: bytes, width: int, height: int) -> None:
    assert refusal(data) == f"has {width}x{height} pixels; the limit is {LIMIT}"


def test_limit_holds_for_negative_and_huge_sides():
    assert_too_large(claiming("BMP", 31, -20), 31, 20)
    assert_too_large(claiming("BMP", 4, -(2**31)), 4, 2**31)
    for side in (2**31, 2**31 - 1, 2**31 - 2**15):
        for size in ((side, side), (side, 1), (1, side)):
            assert_too_large(claiming("PNG", *size), *size)
    for size in ((2**32 - 1, 1), (2**32 - 4, 4)):
        assert "be decoded" in refusal(claiming("PNG", *size))


def test_limit_holds_for_the_longer_sides_of_screen_and_frame():
    wide, tall = (frame(np.zeros(s, np.uint8)) for s in ((20, 31), (60, 4)))
    comment = extension(0xFE, b"x" * 600)
    assert_too_large(gif(31, 20, frame()), 31, 20)
    assert_too_large(gif(65_535, 65_535, frame()), 65_535, 65_535)
    assert_too_large(gif(5, 5, wide), 31, 20)
    assert_too_large(gif(5, 5, comment, wide), 31, 20)
    assert_too_large(gif(50, 4, tall), 50, 60)


def test_header_without_a_size_is_damaged():
    comment = extension(0xFE, b"only a comment")
    starts = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"BM", b"GIF89a"]
    frameless = [gif(12, 10), gif(12, 10, comment), gif(12, 10, b"\x22", frame())]
    zero_sides = [
        claiming(file_format, *size)
        for file_format in ("JPEG", "PNG", "BMP")
        for size in ((0, 4), (4, 0), (0, 0))
    ]
    for data in (*starts, *frameless, *zero_sides):
        assert "header is damaged" in refusal(data), data


def test_limit_holds_where_another_chunk_is_before_the_header():
    data = encoded(Image.fromarray(noise(50, 40)), "PNG")
    chunk = b"abCd" + struct.pack(">II", 5, 5)
    first = struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk))
    refusal(data[:8] + first + data[8:])


@pytest.mark.parametrize("whole", [True, False])
def test_limit_holds_behind_an_extension_without_blocks(whole):
    larger = encoded(Image.new("P", (40, 50)), "GIF")
    larger = larger[larger.index(b",", 13) : -1]
    # The decoder takes the comma after the extension for a length: 44 bytes of text.
    # Then it finds a second descriptor in what the first one calls its data.
    hidden = bytes(33) + b"\0" + larger
    length, end = (45, b"") if whole else (255, b";")
    small = struct.pack("<BHHHHBBB", 0x2C, 0, 0, 5, 5, 0, 8, length)
    data = gif(5, 5, extension(0xFE, b""), small + hidden + end)
    try:
        assert decode(data).shape == (5, 5, 3)
    except tf.errors.InvalidArgumentError:
        pass


def peak_mib() -> float:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@pytest.mark.stack
def test_animated_bomb_takes_the_memory_of_one_frame():
    side, num_frames = 1000, 300
    data = encoded(Image.new("P", (side, side)), "GIF")
    table_end = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    bomb = data[:-1] + data[table_end:-1] * (num_frames - 1) + b";"
    assert Image.open(io.BytesIO(bomb)).n_frames == num_frames
    decode(data, side**2)  # What tracing takes.
    before = peak_mib()
    assert decode(bomb, side**2).shape == (side, side, 3)
    # All frames are 860 MiB.
    assert peak_mib() - before < 100


def test_loops_over_the_blocks_of_a_gif_copy_no_data():
    # With a copy for each block, time grows with the square of the file.
    graph = decoder(LIMIT).get_concrete_function().graph.as_graph_def()
    loops = [f for f in graph.library.function if "while" in f.signature.name]
    assert loops
    ops = {node.op for loop in loops for node in loop.node_def}
    assert not ops & {"Pad", "PadV2", "ConcatV2", "DecodeRaw"}


# --- Damage


def fuzzed_files() -> dict[str, bytes]:
    image = Image.fromarray(noise(10, 14))
    more = Image.fromarray(noise(10, 14, seed=1))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "JPEG": encoded(image, "JPEG", exif=exif),
        "progressive JPEG": encoded(image, "JPEG", progressive=True),
        "PNG": encoded(image, "PNG"),
        "palette PNG": encoded(palette_picture()[0], "PNG", transparency=3),
        "BMP": encoded(image, "BMP"),
        "32 bit BMP": bmp32(noise(10, 14)),
        "GIF": encoded(image, "GIF", save_all=True, append_images=[more]),
        "GIF with extensions": gif(
            12, 10, extension(0xFE, b"text" * 99), frame(colours=COLOURS), frame()
        ),
    }


def headers_damaged(data: bytes, random: np.random.Generator) -> bytes:
    """One or two of the first bytes replaced, where sizes and tables are told."""
    broken = np.frombuffer(data, np.uint8).copy()
    places = random.integers(0, 40, random.integers(1, 3))
    broken[places] = random.choice([0, 1, 127, 128, 255], places.size)
    return broken.tobytes()


@pytest.mark.stack
@pytest.mark.parametrize("kind", fuzzed_files())
def test_damaged_file_is_refused_by_name_or_gives_a_picture(kind):
    data, refused = fuzzed_files()[kind], []
    random = np.random.default_rng(0)
    for damage in (damaged, headers_damaged):
        for _ in range(45):
            try:
                pixels = decode(damage(data, random))
            except tf.errors.InvalidArgumentError as error:
                refused.append(error.message)
                continue
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3 and pixels.shape[2] == 3
            assert 0 < pixels.shape[0] * pixels.shape[1] <= LIMIT
    assert 10 < len(refused) <= 90
    assert all("assertion failed: [image_bytes[7] " in message for message in refused)
