"""A generator as a SavedModel that TF Serving loads: signatures, warm-up, settings.

TF Serving reads the graph, the variables by name, and nothing of Python. What is saved
is therefore a module that holds the bare variables: one that holds the Keras 3 model
loads in Python, and fails in the server (keras-team/keras issue 19274).
"""

import pathlib

import keras
import tensorflow as tf

from cyclegan_tf.compat import as_tf_variable
from cyclegan_tf.data import images
from cyclegan_tf.exporting import picture_bytes
from cyclegan_tf.exporting.request import DEFAULT_MAX_PIXELS
from cyclegan_tf.networks.generators import translate

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.config"


def write_saved_model(
    generator: keras.Model,
    multiple: int,
    folder: pathlib.Path,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> None:
    """Writes a generator as a SavedModel with three signatures.

    `serving_default` maps `image_bytes`, strings [batch] of JPEG, PNG, BMP or GIF
    pictures that may differ in size, to `image_bytes`, PNGs of the same sizes.
    `translate` maps `images`, uint8 [batch, height, width, 3], to the same, and
    `translate_float` does so for float32 in [-1, 1]. All take any size.

    Args:
      generator: The generator.
      multiple: What its sides must be a multiple of.
      folder: The version's folder, to be made.
      max_pixels: Larger pictures are refused by `serving_default` before decoding.
    """

    def translate_float(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": translate(generator, pictures, multiple)}

    def translate_pixels(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        floats = images.to_float(pictures)
        return {"images": images.to_uint8(translate(generator, floats, multiple))}

    def translate_bytes(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(index):
            name = tf.strings.format("image_bytes[{}]", index)
            picture = picture_bytes.decode(encoded[index], name, max_pixels)
            return tf.io.encode_png(translate_pixels(picture[tf.newaxis])["images"][0])

        indices = tf.range(tf.size(encoded))
        # One after the other: the memory is that of one picture.
        made = tf.map_fn(
            one, indices, fn_output_signature=tf.string, parallel_iterations=1
        )
        return {"image_bytes": made}

    pixels = [None, None, None, 3]
    signatures = {
        "serving_default": _traced(translate_bytes, [None], tf.string, "image_bytes"),
        "translate": _traced(translate_pixels, pixels, tf.uint8, "images"),
        "translate_float": _traced(translate_float, pixels, tf.float32, "images"),
    }
    module = tf.Module()
    module.weights = [as_tf_variable(v) for v in generator.variables]
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _traced(function, shape, dtype, name: str):
    spec = tf.TensorSpec(shape, dtype, name=name)
    return tf.function(function, input_signature=[spec], autograph=False)


def write_warmup(folder: pathlib.Path, model: str, picture: bytes) -> None:
    """Adds the request that TF Serving runs before a version takes traffic.

    Args:
      folder: The version's folder.
      model: Name of the model.
      picture: An encoded picture of the usual size.
    """
    # Imported here: TFLite and Keras files are made without it.
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([picture]))
    log = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
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


def batching_parameters() -> str:
    """The text of a batching file: small batches, since a picture is much work."""
    return (
        "max_batch_size { value: 8 }\n"
        "batch_timeout_micros { value: 2000 }\n"
        "max_enqueued_batches { value: 100 }\n"
        "num_batch_threads { value: 2 }\n"
    )
