"""SavedModels for TF Serving: signatures, decoding in the graph, warm-up, settings.

TF Serving reads the graph and the variables by name; it runs no Python. So the saved
module holds plain variables: one that holds a Keras 3 model loads in Python and fails
in the server (keras-team/keras issue 19274).
"""

import pathlib
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from cyclegan_tf.compat import as_tf_variable
from cyclegan_tf.core.generators import translate
from cyclegan_tf.data import images
from cyclegan_tf.deploy.export_options import DEFAULT_MAX_PIXELS

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.config"

# Small batches, since a picture takes long.
BATCHING_PARAMETERS = """\
max_batch_size { value: 8 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""


def write(
    folder: str | pathlib.Path, generator: keras.Model, signatures: Mapping
) -> None:
    """Writes a SavedModel of a generator's variables and some tf.functions."""
    module = tf.Module()
    module.weights = [as_tf_variable(v) for v in generator.variables]
    tf.saved_model.save(module, str(folder), signatures=dict(signatures))


def traced(function: Callable, *specs: tf.TensorSpec):
    """A tf.function with one signature."""
    return tf.function(function, input_signature=specs, autograph=False)


# --- Generators of pictures


def picture_signatures(
    generator: keras.Model, multiple: int, max_pixels: int = DEFAULT_MAX_PIXELS
) -> dict:
    """The three signatures of a generator that translates pictures of any size.

    `serving_default` maps `image_bytes`, strings [batch] of JPEG, PNG or BMP pictures
    of any sizes, to `image_bytes`, PNGs of the same sizes. `translate` maps `images`,
    uint8 [batch, height, width, 3], to `images` of the same shape; `translate_float`
    does so for float32 in [-1, 1].
    The sides of the generator's input must be multiples of `multiple`.
    `serving_default` refuses more than `max_pixels` before it decodes.
    """

    def translate_float(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": translate(generator, pictures, multiple)}

    def translate_pixels(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        floats = images.to_float(pictures)
        return {"images": images.to_uint8(translate(generator, floats, multiple))}

    def translate_bytes(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        def translate_one(index):
            name = tf.strings.format("image_bytes[{}]", index)
            picture = decode(encoded[index], name, max_pixels)
            return tf.io.encode_png(translate_pixels(picture[tf.newaxis])["images"][0])

        # One after the other needs the memory of one picture.
        pngs = tf.map_fn(
            translate_one,
            tf.range(tf.size(encoded)),
            fn_output_signature=tf.string,
            parallel_iterations=1,
        )
        return {"image_bytes": pngs}

    def spec(dtype) -> tf.TensorSpec:
        return tf.TensorSpec([None, None, None, 3], dtype, name="images")

    strings = tf.TensorSpec([None], tf.string, name="image_bytes")
    return {
        "serving_default": traced(translate_bytes, strings),
        "translate": traced(translate_pixels, spec(tf.uint8)),
        "translate_float": traced(translate_float, spec(tf.float32)),
    }


def decode(data: tf.Tensor, name: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Decodes a JPEG, a PNG, or a BMP without a palette, inside a graph.

    It reads the size from the header first, so that a small file can't fill the memory.
    Grey pictures become RGB, 16 bits become 8, alpha is dropped, and the orientation in
    a JPEG is ignored. GIFs are refused, since TensorFlow decodes all frames.

    Args:
      data: The file's bytes, a scalar string.
      name: The picture's name in errors, a scalar string.
      max_pixels: The most pixels of a picture.

    Returns:
      uint8 [height, width, 3]. The graph raises InvalidArgumentError for a picture that
      has another format, is damaged or too large.
    """
    header = tf.io.decode_raw(data, tf.uint8, fixed_length=32)
    is_jpeg = _starts_with(header, b"\xff\xd8\xff")
    # With the chunk that holds the size: another one could stand there instead.
    is_png = _starts_with(header, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    # TensorFlow decodes the indices of a palette (8 bits) as greys.
    is_bmp = _starts_with(header, b"BM") & (header[28] >= 24)
    known = is_jpeg | is_png | is_bmp
    with _require(known, name, "is neither JPEG, PNG nor BMP of 24 or 32 bits"):
        header = tf.identity(header)
    size = tf.case(
        [
            (is_jpeg, lambda: _or_default(data, _jpeg_size, tf.zeros([2], tf.int64))),
            (is_png, lambda: _integers(tf.reverse(header[16:24], [0]))[::-1]),
        ],
        # The height of a BMP is negative if its top row is first.
        default=lambda: tf.abs(_integers(header[18:26])),
    )
    valid = tf.reduce_all(size > 0)
    with _require(valid, name, "cannot be decoded: its header is damaged"):
        size = tf.identity(size)
    too_large = tf.strings.format(
        "has {}x{} pixels; the limit is {}", (size[0], size[1], max_pixels)
    )
    with _require(size[0] * size[1] <= max_pixels, name, too_large):
        data = tf.identity(data)
    image = _or_default(data, _decode_any, tf.zeros([0, 0, 3], tf.uint8))
    damaged = "cannot be decoded: it is damaged or cut off"
    with _require(tf.size(image) > 0, name, damaged):
        return tf.identity(image)


def _starts_with(header: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.reduce_all(header[: len(start)] == list(start))


def _require(condition, name, reason):
    """A context whose operations fail with a message unless the condition holds."""
    message = tf.strings.join([name, reason], " ")
    return tf.control_dependencies([tf.debugging.Assert(condition, [message])])


def _integers(content: tf.Tensor) -> tf.Tensor:
    """Two signed little-endian integers of four bytes, as int64."""
    return tf.cast(tf.bitcast(tf.reshape(content, [2, 4]), tf.int32), tf.int64)


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(data, output_type=tf.int32)
    return tf.cast(shape[1::-1], tf.int64)


def _decode_any(data: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _or_default(data: tf.Tensor, function, default: tf.Tensor) -> tf.Tensor:
    """Applies a function, or gives a default if its operations fail.

    A graph has no `try`, but a tf.data data set can leave out elements that fail.
    """
    good = tf.data.Dataset.from_tensors(data).map(function).ignore_errors()
    either = good.concatenate(tf.data.Dataset.from_tensors(default))
    return either.take(1).get_single_element()


# --- Generators of digits


def digit_signatures(generate: Callable, latent_size: int, num_classes: int) -> dict:
    """The signatures of a generator of digits.

    `serving_default` gives PNGs as `image_bytes`, strings [batch]; `generate` gives
    `images`, float32 [batch, 28, 28, 1] in [-1, 1]. Both take `latent`, float32 [batch,
    latent_size], and with labels `label`, int64 [batch]. With labels, `from_label`
    gives PNGs for `label` and `seed`, int64 [batch]: the seed draws the latent.
    `num_classes` is 0 without labels.
    """
    latents = tf.TensorSpec([None, latent_size], tf.float32, name="latent")
    labels = tf.TensorSpec([None], tf.int64, name="label")
    seeds = tf.TensorSpec([None], tf.int64, name="seed")
    specs = [latents, labels] if num_classes else [latents]

    def generate_images(latent, label=None):
        if label is None:
            return {"images": generate(latent)}
        with tf.control_dependencies(_label_checks(latent, label, num_classes)):
            return {"images": generate(tf.identity(latent), tf.identity(label))}

    def generate_pngs(latent, label=None):
        pixels = images.to_uint8(generate_images(latent, label)["images"])
        pngs = tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)
        return {"image_bytes": pngs}

    def from_label(label, seed):
        def draw(one):
            pair = tf.stack([one, tf.zeros_like(one)])
            return tf.random.stateless_normal([latent_size], pair)

        latent = tf.map_fn(draw, seed, fn_output_signature=tf.float32)
        return generate_pngs(latent, label)

    signatures = {
        "serving_default": traced(generate_pngs, *specs),
        "generate": traced(generate_images, *specs),
    }
    if num_classes:
        signatures["from_label"] = traced(from_label, labels, seeds)
    return signatures


def _label_checks(latent: tf.Tensor, label: tf.Tensor, num_classes: int) -> list:
    wrong = tf.boolean_mask(label, (label < 0) | (label >= num_classes))
    out_of_range = f"`label` must be 0 to {num_classes - 1}. Received:"
    numbers = tf.shape(latent)[0], tf.size(label)
    unequal = ["`label` must be as many as `latent`. Received:", numbers[1], numbers[0]]
    return [
        tf.debugging.Assert(tf.size(wrong) == 0, [out_of_range, wrong[:1]]),
        tf.debugging.Assert(numbers[0] == numbers[1], unequal),
    ]


# --- Files beside the graph


def write_warmup(folder: pathlib.Path, model: str, inputs: Mapping) -> None:
    """Writes the request that TF Serving runs before a version takes traffic.

    `inputs` are those of `serving_default`, arrays or lists by name.
    """
    # Imported here: TFLite and Keras files need no TF Serving package.
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    path = folder / WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


def models_config(names: list[str]) -> str:
    """The text of `models.config` for models mounted at /models."""
    models = "".join(
        f"  config {{\n    name: '{name}'\n    base_path: '/models/{name}'\n"
        "    model_platform: 'tensorflow'\n  }\n"
        for name in names
    )
    return f"model_config_list {{\n{models}}}\n"
