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
from PIL import Image
from test_images import bmp32, damaged, encoded, noise, palette_picture, png, smooth

from cyclegan_tf import images, picture_bytes

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


def refusal(data: bytes, max_pixels: int = LIMIT, name: str = "image_bytes[7]") -> str:
    """What an error says, which must name the picture first."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decoder(max_pixels)(data, name)
    said = re.search(r"assertion failed: \[(.*)\]$", caught.value.message, re.M)
    assert said, caught.value.message
    assert said[1].startswith(name + " ")
    return said[1].removeprefix(name + " ")


def assert_as_pillow(data: bytes, atol: int = 0) -> None:
    decoded, expected = decode(data), images.decode(data)
    assert decoded.dtype == np.uint8
    assert decoded.shape == expected.shape
    np.testing.assert_allclose(decoded.astype(int), expected, rtol=0, atol=atol)


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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_equals_pillow(mode):
    data = encoded(Image.fromarray(noise()).convert(mode), "PNG")
    # The colour type: grey, RGB, palette, grey with alpha, RGBA.
    assert data[25] == {"1": 0, "L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}[mode]
    assert_as_pillow(data)


@pytest.mark.parametrize(
    "transparency", [3, bytes([0, 128, 255, 7])], ids=["one colour", "table"]
)
def test_palette_png_keeps_colours_where_it_is_transparent(transparency):
    image, pixels = palette_picture()
    data = encoded(image, "PNG", transparency=transparency)
    assert b"tRNS" in data
    np.testing.assert_array_equal(decode(data), pixels)


@pytest.mark.parametrize("colour_type, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_is_scaled_to_8_bits(colour_type, channels):
    pixels = np.concatenate([noise(), noise(seed=1)], axis=-1)[..., :channels]
    data = png(257 * pixels.astype(int), colour_type, bits=16)
    colours = pixels[..., :3] if channels > 2 else pixels[..., [0, 0, 0]]
    np.testing.assert_array_equal(decode(data), colours)


def test_16_bit_png_between_levels_is_within_a_level_of_pillow():
    deep = np.arange(0, 65536, 110)[:588].reshape(21, 28)
    assert_as_pillow(png(deep, colour_type=0, bits=16), atol=1)


def test_24_and_32_bit_bmp_equal_pillow():
    assert_as_pillow(encoded(Image.fromarray(noise()), "BMP"))
    assert_as_pillow(bmp32(noise()))


def test_grey_bmp_equals_pillow():
    assert_as_pillow(encoded(picture("L"), "BMP"))


def test_bmp_of_negative_height_has_its_top_row_first():
    data = bytearray(encoded(Image.fromarray(noise()), "BMP"))
    struct.pack_into("<i", data, 22, -12)
    np.testing.assert_array_equal(decode(bytes(data)), noise()[::-1])
    assert_as_pillow(bytes(data))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("interlace", [0, 1])
def test_gif_equals_pillow(mode, interlace):
    data = encoded(Image.fromarray(noise()).convert(mode), "GIF", interlace=interlace)
    assert_as_pillow(data)


@pytest.mark.parametrize("version", [b"GIF87a", b"GIF89a"])
def test_gif_by_hand_has_the_colours_of_its_table(version):
    data = version + gif(12, 10, frame())[6:]
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])
    assert_as_pillow(data)


def test_gif_with_a_local_colour_table_uses_it():
    own = noise(1, 256, seed=8)[0]
    larger = frame(noise(50, 40, seed=7)[..., 0])
    for data in (
        gif(12, 10, frame(colours=own)),
        gif(12, 10, frame(colours=own), colours=None),
        gif(12, 10, frame(colours=own), larger),
    ):
        np.testing.assert_array_equal(decode(data), own[INDICES])


def test_extensions_before_the_frame_are_passed_over():
    comment = extension(0xFE, b"made of , and ; and ! " * 40)
    short = extension(0xFE, b",,,,,,!!!!!!;;;;;;", length=1)
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    data = gif(12, 10, comment, short, loop, frame())
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_first_frame_of_an_animation_is_read():
    frames = [Image.fromarray(noise(seed=i)) for i in range(4)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 4
    assert_as_pillow(data)


def test_what_follows_the_first_frame_is_not_read():
    other = noise(50, 40, seed=7)[..., 0]
    assert other.size > LIMIT
    for rest in (frame(other), b"nonsense", frame()[:-9], extension(0xFE, b"end")):
        data = gif(12, 10, frame(), rest)
        np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_gif_may_end_with_its_first_frame():
    data = gif(12, 10, frame())[:-1]
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_first_frame_of_a_gif_may_be_larger_than_its_screen():
    data = gif(5, 4, frame())
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])
    assert_as_pillow(data)


def test_gif_keeps_colours_where_it_is_transparent():
    control = b"\x21\xf9\x04\x01\0\0" + INDICES[0, :1].tobytes() + b"\0"
    data = gif(12, 10, control, frame())
    assert "transparency" in Image.open(io.BytesIO(data)).info
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def test_palette_bmp_has_its_colours():
    data = encoded(palette_picture()[0], "BMP")
    np.testing.assert_array_equal(decode(data), images.decode(data))


@pytest.mark.parametrize("left, top", [(0, 0), (3, 4), (8, 14)])
def test_frame_smaller_than_its_screen_is_refused(left, top):
    # TensorFlow would give a picture of the frame's size, a part of it black.
    with pytest.raises(tf.errors.InvalidArgumentError, match="a part of it free"):
        decode(gif(20, 24, frame(left=left, top=top)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_within_three_levels_of_pillow(mode, options):
    assert_as_pillow(encoded(picture(mode), "JPEG", **options), atol=3)


def test_first_picture_of_mpo_is_read():
    other = Image.new("RGB", (24, 16))
    data = encoded(picture(), "MPO", save_all=True, append_images=[other])
    assert_as_pillow(data, atol=3)


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


@pytest.mark.parametrize("file_format", ["WEBP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(file_format):
    said = refusal(encoded(picture(), file_format))
    assert said == "is neither JPEG, PNG, BMP nor GIF"


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"not a picture at all", bytes(1000), b"\xff\xd8", b"B", b"GIF9"]
    + [b"\x89PNG\r\n"],
)
def test_garbage_is_refused(data):
    assert refusal(data) == "is neither JPEG, PNG, BMP nor GIF"


def test_refusal_has_the_name_that_was_given():
    assert refusal(b"text", name="image_bytes[0]") == refusal(b"text", name="picture")


@pytest.mark.parametrize(
    "start",
    [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"BM", b"GIF89a"],
    ids=FORMATS,
)
def test_start_alone_is_a_damaged_header(start):
    assert refusal(start).endswith("be decoded: its header is damaged")


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_truncation_is_refused(file_format):
    data = encoded(Image.fromarray(noise()), file_format)
    # Without its last byte a GIF still has a whole frame.
    last = len(data) - 1 - (file_format == "GIF")
    for end in (*range(16, last - 20, 11), *range(last - 20, last + 1)):
        assert "be decoded" in refusal(data[:end])


@pytest.mark.parametrize("file_format", FORMATS)
def test_half_a_file_is_cut_off(file_format):
    data = encoded(Image.fromarray(noise()), file_format)
    said = refusal(data[: -len(data) // 8])
    assert said.endswith("be decoded: it is damaged or cut off")


def test_gif_without_a_frame_is_a_damaged_header():
    for data in (gif(12, 10), gif(12, 10, extension(0xFE, b"only a comment"))):
        assert refusal(data).endswith("be decoded: its header is damaged")


def test_unknown_block_before_the_frame_is_a_damaged_header():
    said = refusal(gif(12, 10, b"\x22", frame()))
    assert said.endswith("be decoded: its header is damaged")


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
    for height, width in ((20, 30), (600, 1), (1, 600)):
        image = Image.fromarray(noise(height, width))
        assert decode(encoded(image, file_format)).shape == (height, width, 3)
    for height, width in ((601, 1), (1, 601), (25, 25)):
        said = refusal(encoded(Image.fromarray(noise(height, width)), file_format))
        assert said == f"has {width}x{height} pixels; the limit is 600"


@pytest.mark.parametrize("file_format", FORMATS)
def test_limit_is_held_against_the_header_before_decoding(file_format):
    said = refusal(claiming(file_format, 60_000, 50_000))
    assert said == "has 60000x50000 pixels; the limit is 600"


def test_limit_holds_for_bmp_of_negative_height():
    said = refusal(claiming("BMP", 31, -20))
    assert said == "has 31x20 pixels; the limit is 600"
    assert "has 4x2147483648 pixels" in refusal(claiming("BMP", 4, -(2**31)))


@pytest.mark.parametrize("side", [2**31, 2**31 - 1, 2**31 - 2**15])
def test_huge_png_does_not_overflow_the_count(side):
    for width, height in ((side, side), (side, 1), (1, side)):
        said = refusal(claiming("PNG", width, height))
        assert said == f"has {width}x{height} pixels; the limit is 600"


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (0, 0)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "BMP"])
def test_side_of_zero_is_a_damaged_header(file_format, size):
    said = refusal(claiming(file_format, *size))
    assert said.endswith("be decoded: its header is damaged")


@pytest.mark.parametrize("sides", [(2**32 - 1, 1), (2**32 - 4, 4)])
def test_png_sides_beyond_31_bits_are_refused(sides):
    assert "be decoded" in refusal(claiming("PNG", *sides))


def test_limit_holds_for_a_screen_larger_than_its_frame():
    assert refusal(gif(31, 20, frame())).startswith("has 31x20 pixels")
    assert refusal(gif(65_535, 65_535, frame())).startswith("has 65535x65535 pixels")


def test_limit_holds_for_a_frame_larger_than_its_screen():
    wide = frame(np.zeros((20, 31), np.uint8))
    assert refusal(gif(5, 5, wide)).startswith("has 31x20 pixels")
    behind_comment = gif(5, 5, extension(0xFE, b"x" * 600), wide)
    assert refusal(behind_comment).startswith("has 31x20 pixels")


def test_limit_holds_for_the_longer_sides_of_screen_and_frame():
    tall = frame(np.zeros((60, 4), np.uint8))
    assert refusal(gif(50, 4, tall)) == "has 50x60 pixels; the limit is 600"


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


def test_extension_without_blocks_is_passed_over():
    data = gif(12, 10, extension(0xFE, b""), frame())
    np.testing.assert_array_equal(decode(data), COLOURS[INDICES])


def peak_mib() -> float:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


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
