"""Decodes encoded pictures inside a graph, for a server that runs no Python.

`images.decode` is its counterpart on Pillow. Here a picture's size is read from its
header first, so that a small file can't unpack to fill the memory, and what can't be
decoded is told by its place in the batch.
"""

import tensorflow as tf

_STARTS = {
    "jpeg": b"\xff\xd8\xff",
    # With the chunk that holds the size: another one could stand there instead.
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "bmp": b"BM",
    "gif": b"GIF8",
}


def decode(data: tf.Tensor, name: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG or BMP, or the first frame of a GIF.

    Grey pictures become RGB, 16 bits become 8, alpha is dropped. The orientation that
    cameras note in a JPEG is not applied: TensorFlow's ops don't read it.

    Args:
      data: The file's bytes, a scalar string.
      name: What an error calls the picture, a scalar string.
      max_pixels: Larger pictures are refused, from their header alone.

    Returns:
      uint8 [height, width, 3].

    Raises (when the graph runs):
      InvalidArgumentError: the picture is of another format, damaged, or too large.
    """
    header = tf.io.decode_raw(data, tf.uint8, fixed_length=32)
    known = tf.reduce_any([_starts_with(header, start) for start in _STARTS.values()])
    with _refused_unless(known, name, "is neither JPEG, PNG, BMP nor GIF"):
        header = tf.identity(header)
    is_kind = {kind: _starts_with(header, start) for kind, start in _STARTS.items()}
    data = tf.cond(is_kind["gif"], lambda: _first_frame(data), lambda: data)
    size = _size(data, header, is_kind)
    pixels = size[0] * size[1]
    with _refused_unless(pixels > 0, name, "cannot be decoded: its header is damaged"):
        pixels = tf.identity(pixels)
    too_large = tf.strings.format(
        "has {}x{} pixels; the limit is {}", (size[1], size[0], max_pixels)
    )
    with _refused_unless(pixels <= max_pixels, name, too_large):
        data = tf.identity(data)
    whole = tf.cond(is_kind["gif"], lambda: _fills_its_screen(data), lambda: True)
    with _refused_unless(
        whole, name, "cannot be decoded: its first frame leaves a part of it free"
    ):
        data = tf.identity(data)
    indexed = is_kind["bmp"] & (_integer(header, 28, 2) == 8)
    nothing = tf.zeros([0, 0, 3], tf.uint8)
    image = tf.cond(
        indexed,
        lambda: _or_nothing(data, _decode_indexed_bmp, nothing),
        lambda: _or_nothing(data, _decode_whole, nothing),
    )
    damaged = "cannot be decoded: it is damaged or cut off"
    with _refused_unless(tf.size(image) > 0, name, damaged):
        return tf.identity(image)


def _size(data: tf.Tensor, header: tf.Tensor, is_kind: dict) -> tf.Tensor:
    """[height, width] that the header of a picture announces."""
    sizes = {
        "jpeg": lambda: _jpeg_size(data),
        "png": lambda: _size_at(header, (20, 4), (16, 4), big_endian=True),
        "bmp": lambda: _size_at(header, (22, 4), (18, 4)),
        "gif": lambda: _gif_size(data),
    }
    return tf.case([(is_kind[kind], sizes[kind]) for kind in sizes], exclusive=True)


def _refused_unless(condition, name, reason):
    """What is made in this context fails with a message unless the condition holds."""
    message = tf.strings.join([name, reason], " ")
    return tf.control_dependencies([tf.debugging.Assert(condition, [message])])


def _starts_with(header: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.reduce_all(header[: len(start)] == list(start))


def _decode_whole(data: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _decode_indexed_bmp(data: tf.Tensor) -> tf.Tensor:
    """A BMP of 8 bits: TensorFlow gives the places in its table of colours as greys."""
    content = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    start = 14 + _integer(content, 14, 4)
    end = _integer(content, 10, 4)
    colours = tf.reshape(content[start:end], [-1, 4])[:, 2::-1]
    indices = _decode_whole(data)[..., 0]
    return tf.cast(tf.gather(colours, tf.cast(indices, tf.int32)), tf.uint8)


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    def read(data):
        shape = tf.io.extract_jpeg_shape(data, output_type=tf.int32)
        return tf.cast(shape[:2], tf.int64)

    return _or_nothing(data, read, tf.zeros([2], tf.int64))


def _or_nothing(data: tf.Tensor, function, nothing: tf.Tensor) -> tf.Tensor:
    """What a function makes of the data, or `nothing` if its ops fail.

    A graph has no `try`, but a data set can leave out elements that fail.
    """
    good = tf.data.Dataset.from_tensors(data).map(function).ignore_errors()
    either = good.concatenate(tf.data.Dataset.from_tensors(nothing))
    return either.take(1).get_single_element()


def _size_at(header, height, width, big_endian: bool = False) -> tf.Tensor:
    """[height, width] from (place, bytes) of each; a BMP's height may be negative."""
    return tf.stack([_integer(header, *place, big_endian) for place in (height, width)])


def _integer(header, start, length: int, big_endian: bool = False) -> tf.Tensor:
    """The magnitude of a signed integer in a vector of bytes, as int64."""
    taken = tf.cast(header[start : start + length], tf.int64)
    if big_endian:
        taken = taken[::-1]
    value = tf.reduce_sum(taken * [256**i for i in range(length)])
    if length == 4:
        value = tf.where(value >= 2**31, 2**32 - value, value)
    return value


# --- GIF: TensorFlow decodes all frames even if it is asked for one.


def _first_frame(data: tf.Tensor) -> tf.Tensor:
    """A GIF's screen, colours and first frame, or what there is of that.

    Extensions are left out: TensorFlow would blacken what they make transparent, and
    reads those without blocks as longer than they are.
    """
    content = _padded(data)
    frame = _frame_start(content)
    # A descriptor of 10 bytes, its colours, a byte of code size, then the data.
    end = _after_blocks(content, frame + 10 + _colours(content, frame + 9) + 1)

    def cut():
        screen = tf.strings.substr(data, 0, 13 + _colours(content, 10))
        # A frame that is cut off stays so.
        last = tf.where(end < tf.size(content), b";", b"")
        return tf.strings.join(
            [screen, tf.strings.substr(data, frame, end - frame), last]
        )

    return tf.cond(frame > 0, cut, lambda: data)


def _gif_size(data: tf.Tensor) -> tf.Tensor:
    """[height, width] of a GIF's screen, or of its first frame where that is larger."""
    content = _padded(data)
    frame = _frame_start(content)
    largest = tf.maximum(*_screen_and_frame(content, frame))
    return tf.where(frame > 0, largest, tf.zeros_like(largest))


def _fills_its_screen(data: tf.Tensor) -> tf.Tensor:
    content = _padded(data)
    frame = _frame_start(content)
    screen, in_frame = _screen_and_frame(content, frame)
    place = _size_at(tf.pad(content, [[0, 16]]), (frame + 3, 2), (frame + 1, 2))
    return (frame == 0) | (
        tf.reduce_all(in_frame >= screen) & tf.reduce_all(place == 0)
    )


def _screen_and_frame(content, frame):
    content = tf.pad(content, [[0, 16]])
    screen = _size_at(content, (8, 2), (6, 2))
    return screen, _size_at(content, (frame + 7, 2), (frame + 5, 2))


def _frame_start(content: tf.Tensor) -> tf.Tensor:
    """Place of the first image descriptor, or 0 if there is none."""
    start = 13 + _colours(content, 10)
    start = tf.while_loop(
        lambda place: _at(content, place) == 0x21,  # An extension.
        lambda place: _after_blocks(content, place + 2),
        [start],
    )[0]
    return tf.where(_at(content, start) == 0x2C, start, 0)


def _after_blocks(content: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Place after a chain of blocks, each with its length in front, that ends in 0."""
    last = tf.while_loop(
        lambda place: _at(content, place) > 0,
        lambda place: place + 1 + _at(content, place),
        [start],
    )[0]
    return last + 1


def _colours(content: tf.Tensor, flags_at) -> tf.Tensor:
    """Bytes of the colour table that a byte of flags announces."""
    flags = _at(content, flags_at)
    table = 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
    return tf.where(flags >= 128, table, 0)


def _padded(data: tf.Tensor) -> tf.Tensor:
    """The bytes, and a 0 after them for whatever is looked up beyond the end."""
    return tf.pad(tf.io.decode_raw(data, tf.uint8), [[0, 1]])


def _at(content: tf.Tensor, place) -> tf.Tensor:
    """A byte of padded content as int32; 0 beyond the end."""
    return tf.cast(content[tf.minimum(place, tf.size(content) - 1)], tf.int32)
