"""SavedModels as a server loads them, against the Keras model on the same pictures.

A fresh process without this project runs them, through a session of TensorFlow 1 and
through the C API; files are moved first. Two generators, exported once.
"""

import functools
import io
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from c_api import Failure
from google.protobuf import text_format
from load_as_server import LOADERS, V1Session
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2
from test_images import bmp32, encoded, noise, palette_picture, png, smooth

from cyclegan_tf import cyclegan, generators, images, saved_models
from cyclegan_tf.layers import InstanceNormalization

FLOAT_TOLERANCE = 1e-5
MAX_PIXELS = 3000
INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9
GENERATORS = {
    "resnet": (functools.partial(generators.resnet, num_filters=4, num_blocks=1), 4),
    "unet": (functools.partial(generators.unet, num_filters=4, num_downs=3), 8),
}


# --- Pictures


def grey16() -> np.ndarray:
    return 257 * noise(9, 7, seed=3)[..., 0].astype(int)


def animation() -> bytes:
    first, second = (Image.fromarray(noise(11, 13, seed=i)) for i in (4, 5))
    return encoded(first, "GIF", save_all=True, append_images=[second])


ARRAYS = {
    "1x1": noise(1, 1)[None],
    "3x50": noise(3, 50)[None],
    "33x47": noise(33, 47)[None],
    "a multiple": noise(16, 24)[None],
    "a batch": np.stack([noise(13, 10, seed=i) for i in range(3)]),
}
KINDS = {
    "PNG": encoded(Image.fromarray(noise()), "PNG"),
    "grey PNG": encoded(Image.fromarray(noise()).convert("L"), "PNG"),
    "grey and alpha PNG": encoded(Image.fromarray(noise()).convert("LA"), "PNG"),
    "RGBA PNG": encoded(Image.fromarray(noise(8, 9)).convert("RGBA"), "PNG"),
    "palette PNG": encoded(palette_picture()[0], "PNG", transparency=2),
    "1 bit PNG": encoded(Image.fromarray(noise()).convert("1"), "PNG"),
    "16 bit PNG": png(grey16(), colour_type=0, bits=16),
    "BMP": encoded(Image.fromarray(noise(10, 9)), "BMP"),
    "32 bit BMP": bmp32(noise(10, 9)),
    "GIF": encoded(Image.fromarray(noise(7, 12)), "GIF"),
    "animated GIF": animation(),
    "JPEG": encoded(Image.fromarray(smooth()), "JPEG"),
    "grey JPEG": encoded(Image.fromarray(smooth()).convert("L"), "JPEG"),
    "CMYK JPEG": encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG"),
}
BATCHES = {
    "of every kind": list(KINDS.values()),
    "of one": [KINDS["PNG"]],
    "of mixed sizes": [encoded(Image.fromarray(a[0]), "PNG") for a in ARRAYS.values()],
    "of the most pixels": [encoded(Image.fromarray(noise(50, 60)), "PNG")],
}
REFUSED = {
    "neither": [KINDS["PNG"], KINDS["JPEG"], b"text", KINDS["PNG"]],
    "damaged": [KINDS["PNG"], KINDS["JPEG"][:-20], KINDS["PNG"]],
    "too large": [encoded(Image.fromarray(noise(61, 50)), "PNG")],
}
REASONS = {
    "neither": r"image_bytes\[2\] is neither JPEG, PNG, BMP nor GIF",
    "damaged": r"image_bytes\[1\] .* damaged or cut off",
    "too large": r"image_bytes\[0\] has 50x61 pixels; the limit is 3000",
}


def pixels_of(data: bytes) -> np.ndarray:
    """By Pillow; but two JPEG decoders differ by some levels."""
    if data.startswith(b"\xff\xd8"):
        return tf.io.decode_jpeg(data, channels=3).numpy()
    return images.decode(data)


def to_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def calls() -> dict[tuple[str, str], object]:
    """What is asked of each model, by signature and a name."""
    return {
        **{("translate_float", k): to_floats(a) for k, a in ARRAYS.items()},
        **{("translate", k): a for k, a in ARRAYS.items()},
        **{("serving_default", k): b for k, b in REFUSED.items()},
        # After what was refused, in the same session.
        **{("serving_default", k): b for k, b in BATCHES.items()},
        ("serving_default", "empty"): [],
    }


# --- Exported once


class Exported(NamedTuple):
    """A generator, what its sides must be a multiple of, and its version's folder."""

    generator: keras.Model
    multiple: int
    folder: pathlib.Path

    def translated(self, pixels: np.ndarray) -> np.ndarray:
        """By Keras: uint8 [batch, height, width, 3] to floats."""
        floats = to_floats(pixels)
        return cyclegan.translate(self.generator, floats, self.multiple).numpy()

    def levels(self, pixels: np.ndarray) -> np.ndarray:
        """The same as 0 to 255, unrounded."""
        return np.clip((self.translated(pixels) + 1) * 127.5, 0, 255)


def made(name: str) -> tuple[keras.Model, int]:
    """A generator that gives strong colours, and the multiple of its sides."""
    random = np.random.default_rng(0)
    build, multiple = GENERATORS[name]
    generator = build()
    for layer in generator.layers:
        layer.set_weights([random.normal(0, 0.2, w.shape) for w in layer.get_weights()])
        if isinstance(layer, InstanceNormalization):
            # A single pixel, mirrored, is the same all over: its norms divide by
            # epsilon alone, and 1e-5 would make colours of rounding errors.
            layer.epsilon = 1.0
    return generator, multiple


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The generators by name, as SavedModels moved after they were written."""
    written, moved = (tmp_path_factory.mktemp(name) for name in ("written", "moved"))
    models = {}
    for name in GENERATORS:
        generator, multiple = made(name)
        folder = written / name / "1"
        saved_models.write_saved_model(generator, multiple, folder, MAX_PIXELS)
        saved_models.write_warmup(folder, name, KINDS["JPEG"])
        shutil.move(written / name, moved)
        models[name] = Exported(generator, multiple, moved / name / "1")
    shutil.rmtree(written)
    return models


@pytest.fixture(scope="module")
def unservable(tmp_path_factory):
    """The SavedModel of a module that holds the Keras model, not its variables."""
    folder = tmp_path_factory.mktemp("unservable") / "1"
    generator, multiple = made("resnet")
    module = tf.Module()
    module.generator = generator
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
    signature = tf.function(
        lambda floats: {"images": cyclegan.translate(generator, floats, multiple)},
        input_signature=[spec],
    )
    tf.saved_model.save(module, str(folder), signatures={"translate_float": signature})
    return folder


@pytest.fixture(scope="module")
def served(exported, unservable, tmp_path_factory):
    """What each loader makes of the calls: [loader][model][signature, name]."""
    asked = {name: (model.folder, calls()) for name, model in exported.items()}
    asked["unservable"] = (
        unservable,
        {
            call: value
            for call, value in calls().items()
            if call[0] == "translate_float"
        },
    )
    return {how: run_as_server(how, asked, tmp_path_factory) for how in LOADERS}


def run_as_server(how: str, asked, tmp_path_factory):
    folder = tmp_path_factory.mktemp(how)
    sent = {
        name: (str(path), [(signature, x) for (signature, _), x in values.items()])
        for name, (path, values) in asked.items()
    }
    (folder / "calls").write_bytes(pickle.dumps(sent))
    script = pathlib.Path(__file__).with_name("load_as_server.py")
    subprocess.run(
        [sys.executable, script, how, folder / "calls", folder / "results"],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        cwd=folder,
        check=True,
    )
    results = pickle.loads((folder / "results").read_bytes())
    return {
        name: dict(zip(values, results[name], strict=True))
        for name, (_, values) in asked.items()
    }


every_loader = pytest.mark.parametrize("how", LOADERS)
every_model = pytest.mark.parametrize("name", GENERATORS)


# --- What the server answers


@every_loader
@every_model
@pytest.mark.parametrize("pictures", ARRAYS)
def test_floats_equal_translate(served, exported, how, name, pictures):
    result = served[how][name]["translate_float", pictures]
    expected = exported[name].translated(ARRAYS[pictures])
    assert result.dtype == np.float32
    assert result.shape == ARRAYS[pictures].shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=FLOAT_TOLERANCE)


@every_loader
@every_model
@pytest.mark.parametrize("pictures", ARRAYS)
def test_pixels_are_the_nearest_to_translate(served, exported, how, name, pictures):
    result = served[how][name]["translate", pictures]
    assert result.dtype == np.uint8
    assert_nearest(result, exported[name].levels(ARRAYS[pictures]))


def assert_nearest(result: np.ndarray, levels: np.ndarray) -> None:
    """The level next to each; where two are about as near, either."""
    assert result.shape == levels.shape
    atol = 0.5 + 127.5 * FLOAT_TOLERANCE
    np.testing.assert_allclose(result, levels, rtol=0, atol=atol)


@every_loader
@every_model
@pytest.mark.parametrize("batch", BATCHES)
def test_bytes_become_pngs_of_the_levels_nearest_to_translate(
    served, exported, how, name, batch
):
    results = served[how][name]["serving_default", batch]
    assert len(results) == len(BATCHES[batch])
    for source, result in zip(BATCHES[batch], results, strict=True):
        with Image.open(io.BytesIO(result)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            pixels = np.asarray(image)
        (levels,) = exported[name].levels(pixels_of(source)[None])
        assert_nearest(pixels, levels)


def test_every_generator_is_served():
    assert set(GENERATORS) == set(generators.GENERATORS)


def test_pictures_of_the_tests_use_the_range(exported):
    for model in exported.values():
        assert model.levels(ARRAYS["33x47"]).std() > 30


@every_model
@pytest.mark.parametrize("batch", BATCHES)
def test_loaders_give_the_same_png_bytes(served, name, batch):
    session, c_api = (served[how][name]["serving_default", batch] for how in LOADERS)
    assert session == c_api


@every_loader
@every_model
def test_empty_batch_gives_an_empty_batch(served, how, name):
    assert served[how][name]["serving_default", "empty"] == []


@every_loader
@every_model
@pytest.mark.parametrize("batch", REFUSED)
def test_refusal_is_an_invalid_argument_that_names_the_element(
    served, how, name, batch
):
    failure = served[how][name]["serving_default", batch]
    assert isinstance(failure, Failure)
    assert failure.code == INVALID_ARGUMENT
    assert re.search(REASONS[batch], failure.message)


@every_loader
def test_module_that_holds_the_keras_model_fails(served, how):
    # Loads in Python, not in the server: what `write_saved_model` must not do.
    for failure in served[how]["unservable"].values():
        assert isinstance(failure, Failure)
        assert failure.code == FAILED_PRECONDITION
        assert "Could not find variable" in failure.message


# --- What is in the files


def meta_graph(model: Exported):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((model.folder / "saved_model.pb").read_bytes())
    (meta_graph,) = saved.meta_graphs
    return meta_graph


def graphs(model: Exported) -> list:
    """The nodes of the graph and of each function of its library, by its name."""
    graph = meta_graph(model).graph_def
    functions = {f.signature.name: f.node_def for f in graph.library.function}
    return {"": graph.node, **functions}


@every_model
def test_signatures_are_as_documented(exported, name):
    signatures = dict(meta_graph(exported[name]).signature_def)
    del signatures["__saved_model_init_op"]
    pixels = [-1, -1, -1, 3]
    assert {key: described(s) for key, s in signatures.items()} == {
        "serving_default": {"image_bytes": (tf.string, [-1])},
        "translate": {"images": (tf.uint8, pixels)},
        "translate_float": {"images": (tf.float32, pixels)},
    }


def described(signature) -> dict:
    """Name, type and shape of what goes in and of what comes out, which are alike."""
    assert signature.method_name == "tensorflow/serving/predict"
    inputs, outputs = (
        {
            key: (tf.as_dtype(info.dtype), [d.size for d in info.tensor_shape.dim])
            for key, info in side.items()
        }
        for side in (signature.inputs, signature.outputs)
    )
    assert inputs == outputs
    return inputs


@every_model
def test_server_finds_the_graph_by_its_tag(exported, name):
    assert list(meta_graph(exported[name]).meta_info_def.tags) == ["serve"]


@every_model
def test_weights_are_stored_once(exported, name):
    model = exported[name]
    num_bytes = 4 * model.generator.count_params()
    variables = model.folder / "variables"
    stored = sum(path.stat().st_size for path in variables.iterdir())
    assert num_bytes < stored < num_bytes + 3000
    graph = (model.folder / "saved_model.pb").read_bytes()
    for weights in model.generator.get_weights():
        if weights.size > 100:
            assert weights.tobytes() not in graph
    files = {path.name for path in model.folder.rglob("*") if path.is_file()}
    assert files == {
        "saved_model.pb",
        "fingerprint.pb",
        "variables.index",
        "variables.data-00000-of-00001",
        "tf_serving_warmup_requests",
    }


@every_model
def test_graph_needs_no_python_and_no_ops_but_tensorflows(exported, name):
    functions = graphs(exported[name])
    ops = {node.op for nodes in functions.values() for node in nodes}
    assert not {op for op in ops if "Py" in op or "Numpy" in op}
    assert all(op_def_registry.get(op) for op in ops - set(functions))
    assert {"DecodeImage", "EncodePng", "Conv2D"} <= ops


@every_model
def test_graph_keeps_no_state_but_its_variables(exported, name):
    nodes = [n for nodes in graphs(exported[name]).values() for n in nodes]
    stateful = {n.op for n in nodes if op_def_registry.get(n.op).is_stateful}
    variables = {"VarHandleOp", "ReadVariableOp", "AssignVariableOp"}
    files = {"RestoreV2", "SaveV2", "MergeV2Checkpoints", "DisableCopyOnRead"}
    flow = {"StatefulPartitionedCall", "While", "If", "Assert"}
    data_sets = {"TensorDataset", "DatasetToSingleElement"}
    assert stateful <= variables | files | flow | data_sets


@every_model
def test_pictures_of_a_batch_are_made_one_after_the_other(exported, name):
    functions = graphs(exported[name])
    makers = {
        f for f, nodes in functions.items() if any(n.op == "EncodePng" for n in nodes)
    }
    (loop,) = (
        node
        for nodes in functions.values()
        for node in nodes
        if node.op == "While" and node.attr["body"].func.name in makers
    )
    assert loop.attr["parallel_iterations"].i == 1


def test_pixels_are_limited_by_default(exported, tmp_path):
    generator, multiple, _ = exported["resnet"]
    saved_models.write_saved_model(generator, multiple, tmp_path / "1")
    session = V1Session(str(tmp_path / "1"))
    picture = bytearray(encoded(Image.fromarray(noise(4, 4)), "BMP"))
    # Headers of 4096x4096 and of one row more.
    picture[18:26] = b"\0\x10\0\0\0\x10\0\0"
    with pytest.raises(Failure, match="damaged or cut off"):
        session.run("serving_default", [bytes(picture)])
    picture[22] = 1
    with pytest.raises(Failure, match="has 4096x4097 pixels; the limit is 16777216"):
        session.run("serving_default", [bytes(picture)])


# --- Warm-up and settings


@every_model
def test_warmup_file_holds_a_request_that_the_model_answers(exported, name):
    path = exported[name].folder / "assets.extra/tf_serving_warmup_requests"
    (record,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    log = prediction_log_pb2.PredictionLog.FromString(record)
    assert log.WhichOneof("log_type") == "predict_log"
    request = log.predict_log.request
    assert request.model_spec.name == name
    assert request.model_spec.signature_name == "serving_default"
    assert list(request.inputs) == ["image_bytes"]
    sent = tf.make_ndarray(request.inputs["image_bytes"])
    assert sent.tolist() == [KINDS["JPEG"]]

    session = V1Session(str(exported[name].folder))
    (result,) = session.run(request.model_spec.signature_name, sent.tolist())
    (levels,) = exported[name].levels(pixels_of(KINDS["JPEG"])[None])
    assert_nearest(images.decode(result), levels)


def test_models_config_names_each_model_and_its_mount():
    text = saved_models.models_config(["horse2zebra", "zebra2horse"])
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    found = [
        (model.name, model.base_path, model.model_platform)
        for model in config.model_config_list.config
    ]
    assert found == [
        ("horse2zebra", "/models/horse2zebra", "tensorflow"),
        ("zebra2horse", "/models/zebra2horse", "tensorflow"),
    ]


def test_models_config_of_no_models_is_an_empty_list():
    text = saved_models.models_config([])
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert config.HasField("model_config_list")
    assert not config.model_config_list.config


def test_batching_parameters_are_fields_of_the_servers_settings():
    # The message, BatchingParameters, is in no wheel: wrapped numbers, one a line.
    text = saved_models.batching_parameters()
    lines = [re.fullmatch(r"(\w+) \{ value: (\d+) \}", x) for x in text.splitlines()]
    assert {line[1]: int(line[2]) for line in lines} == {
        "max_batch_size": 8,
        "batch_timeout_micros": 2000,
        "max_enqueued_batches": 100,
        "num_batch_threads": 2,
    }
