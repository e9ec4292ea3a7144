"""A SavedModel as TF Serving loads it, and what its folder holds.

A fresh process without this project and without TensorFlow's Python runs it through the
C API, moved first, against the Keras model on the same pictures. One network is in the
default run; its layers are those of the others too.
"""

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
from google.protobuf import text_format
from helpers import tflite_samples as samples
from helpers.c_api import Failure
from helpers.encoded_pictures import encoded, noise, smooth
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from cyclegan_tf.core import generators
from cyclegan_tf.core.layers import is_instance_normalization
from cyclegan_tf.deploy import saved_model

MAX_PIXELS = 3000
FLOAT_TOLERANCE = 1e-5
INVALID_ARGUMENT = 3


# --- Pictures


PNG = encoded(Image.fromarray(noise()), "PNG")
JPEG = encoded(Image.fromarray(smooth()), "JPEG")
BMP = encoded(Image.fromarray(noise(10, 9)), "BMP")
ARRAYS = {
    "1x1": noise(1, 1)[None],
    "3x50": noise(3, 50)[None],
    "33x47": noise(33, 47)[None],
    "a multiple": noise(16, 24)[None],
    "a batch": np.stack([noise(13, 10, seed=i) for i in range(3)]),
}
BATCHES = {
    "of every format": [PNG, JPEG, BMP],
    "of one": [PNG],
    "of mixed sizes": [encoded(Image.fromarray(a[0]), "PNG") for a in ARRAYS.values()],
    "of the most pixels": [encoded(Image.fromarray(noise(50, 60)), "PNG")],
    "empty": [],
}
REFUSED = {
    r"image_bytes\[2\] is neither JPEG": [PNG, JPEG, b"text", PNG],
    r"image_bytes\[1\] .* cut off": [PNG, JPEG[:-20], PNG],
    r"image_bytes\[0\] has 50x61 .* 3000": [
        encoded(Image.fromarray(noise(61, 50)), "PNG")
    ],
}


def to_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(127.5) - 1


CALLS = {
    **{("translate_float", name): to_floats(a) for name, a in ARRAYS.items()},
    **{("translate", name): a for name, a in ARRAYS.items()},
    **{("serving_default", reason): batch for reason, batch in REFUSED.items()},
    # After what was refused, in the same session.
    **{("serving_default", name): batch for name, batch in BATCHES.items()},
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
        return generators.translate(self.generator, floats, self.multiple).numpy()

    def levels(self, pixels: np.ndarray) -> np.ndarray:
        """The same as 0 to 255, unrounded."""
        return np.clip((self.translated(pixels) + 1) * 127.5, 0, 255)

    def meta_graph(self):
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((self.folder / "saved_model.pb").read_bytes())
        (meta_graph,) = saved.meta_graphs
        return meta_graph

    def nodes(self) -> dict[str, list]:
        """Those of the graph and of each function of its library, by its name."""
        graph = self.meta_graph().graph_def
        functions = {f.signature.name: f.node_def for f in graph.library.function}
        return {"": graph.node, **functions}


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("skip", marks=pytest.mark.stack),
        pytest.param("unet", marks=pytest.mark.slow),
    ],
)
def exported(request, tmp_path_factory):
    """A generator of strong colours, as a SavedModel moved after it was written."""
    generator, multiple = samples.made(request.param), samples.MULTIPLES[request.param]
    random = np.random.default_rng(0)
    for layer in generator.layers:
        layer.set_weights([random.normal(0, 0.2, w.shape) for w in layer.get_weights()])
        if is_instance_normalization(layer):
            # A single pixel, mirrored, is the same all over: its norms divide by
            # epsilon alone, and 1e-5 would make colours of rounding errors.
            layer.epsilon = 1.0
    folder = tmp_path_factory.mktemp("written") / "1"
    signatures = saved_model.picture_signatures(generator, multiple, MAX_PIXELS)
    saved_model.write(folder, generator, signatures)
    saved_model.write_warmup(folder, request.param, {"image_bytes": [JPEG]})
    moved = tmp_path_factory.mktemp("moved") / request.param
    shutil.move(folder.parent, moved)
    return Exported(generator, multiple, moved / "1")


@pytest.fixture(scope="module")
def answers(exported, tmp_path_factory) -> dict:
    """What the server makes of `CALLS`, by signature and name."""
    folder = tmp_path_factory.mktemp("server")
    tensors = {
        key: [info.name for side in (s.inputs, s.outputs) for info in side.values()]
        for key, s in exported.meta_graph().signature_def.items()
    }
    sent = [(*tensors[signature], value) for (signature, _), value in CALLS.items()]
    (folder / "calls").write_bytes(pickle.dumps((str(exported.folder), sent)))
    program = "from helpers.c_api import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, folder / "calls", folder / "results"],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
        cwd=folder,
        check=True,
    )
    results = pickle.loads((folder / "results").read_bytes())
    return dict(zip(CALLS, results, strict=True))


# --- What the server answers


def assert_nearest(result: np.ndarray, levels: np.ndarray, message: str) -> None:
    """The level next to each; where two are about as near, either."""
    assert result.dtype == np.uint8
    assert result.shape == levels.shape, message
    atol = 0.5 + 127.5 * FLOAT_TOLERANCE
    np.testing.assert_allclose(result, levels, rtol=0, atol=atol, err_msg=message)


def test_floats_and_pixels_are_those_of_translate(answers, exported):
    for name, array in ARRAYS.items():
        floats, expected = answers["translate_float", name], exported.translated(array)
        assert floats.dtype == np.float32
        assert floats.shape == array.shape
        np.testing.assert_allclose(
            floats, expected, rtol=0, atol=FLOAT_TOLERANCE, err_msg=name
        )
        assert_nearest(answers["translate", name], exported.levels(array), name)
    # These pictures use the range.
    assert exported.levels(ARRAYS["33x47"]).std() > 30


def test_bytes_become_pngs_of_the_levels_nearest_to_translate(answers, exported):
    for name, batch in BATCHES.items():
        results = answers["serving_default", name]
        assert len(results) == len(batch), name
        for source, result in zip(batch, results, strict=True):
            with Image.open(io.BytesIO(result)) as image:
                assert (image.format, image.mode) == ("PNG", "RGB")
                pixels = np.asarray(image)
            picture = tf.io.decode_image(source, channels=3, expand_animations=False)
            (levels,) = exported.levels(picture.numpy()[None])
            assert_nearest(pixels, levels, name)


def test_refusal_is_an_invalid_argument_that_names_the_element(answers):
    for reason in REFUSED:
        failure = answers["serving_default", reason]
        assert isinstance(failure, Failure), reason
        code, message = failure.args
        assert code == INVALID_ARGUMENT
        assert re.search(reason, message)


# --- What the folder holds


def test_signatures_are_as_documented_and_found_by_their_tag(exported):
    meta_graph = exported.meta_graph()
    assert list(meta_graph.meta_info_def.tags) == ["serve"]
    found, signatures = {}, dict(meta_graph.signature_def)
    del signatures["__saved_model_init_op"]
    for key, signature in signatures.items():
        assert signature.method_name == "tensorflow/serving/predict"
        inputs, found[key] = (
            {
                name: (tf.as_dtype(info.dtype), [d.size for d in info.tensor_shape.dim])
                for name, info in side.items()
            }
            for side in (signature.inputs, signature.outputs)
        )
        assert inputs == found[key]
    pixels = [-1, -1, -1, 3]
    assert found == {
        "serving_default": {"image_bytes": (tf.string, [-1])},
        "translate": {"images": (tf.uint8, pixels)},
        "translate_float": {"images": (tf.float32, pixels)},
    }


def test_weights_are_stored_once(exported):
    num_bytes = 4 * exported.generator.count_params()
    variables = exported.folder / "variables"
    stored = sum(path.stat().st_size for path in variables.iterdir())
    assert num_bytes < stored < num_bytes + 3000
    graph = (exported.folder / "saved_model.pb").read_bytes()
    for weights in exported.generator.get_weights():
        if weights.size > 100:
            assert weights.tobytes() not in graph
    files = {path.name for path in exported.folder.rglob("*") if path.is_file()}
    assert files == {
        "saved_model.pb",
        "fingerprint.pb",
        "variables.index",
        "variables.data-00000-of-00001",
        "tf_serving_warmup_requests",
    }


def test_graph_needs_no_python_and_keeps_no_state_but_its_variables(exported):
    functions = exported.nodes()
    ops = {node.op for nodes in functions.values() for node in nodes}
    assert not {op for op in ops if "Py" in op or "Numpy" in op}
    assert {"DecodeImage", "EncodePng", "Conv2D"} <= ops
    definitions = {op: op_def_registry.get(op) for op in ops - set(functions)}
    assert all(definitions.values())
    stateful = {op for op, definition in definitions.items() if definition.is_stateful}
    variables = {"VarHandleOp", "ReadVariableOp", "AssignVariableOp"}
    files = {"RestoreV2", "SaveV2", "MergeV2Checkpoints", "DisableCopyOnRead"}
    flow = {"StatefulPartitionedCall", "While", "If", "Assert"}
    data_sets = {"TensorDataset", "DatasetToSingleElement"}
    assert stateful <= variables | files | flow | data_sets


def test_pictures_of_a_batch_are_made_one_after_the_other(exported):
    functions = exported.nodes()
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


def test_pixels_are_limited_by_default(monkeypatch):
    limits = []
    monkeypatch.setattr(
        saved_model,
        "decode",
        lambda data, name, limit: limits.append(limit) or tf.zeros([4, 4, 3], tf.uint8),
    )
    image = keras.Input((None, None, 3))
    signatures = saved_model.picture_signatures(keras.Model(image, -image), 1)
    signatures["serving_default"].get_concrete_function()
    assert set(limits) == {4096 * 4096}


# --- Warm-up and settings


def test_warmup_file_holds_a_request_for_bytes(exported):
    path = exported.folder / "assets.extra/tf_serving_warmup_requests"
    (record,) = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    log = prediction_log_pb2.PredictionLog.FromString(record)
    assert log.WhichOneof("log_type") == "predict_log"
    request = log.predict_log.request
    assert request.model_spec.name == exported.folder.parent.name
    # What it is answered is in the batch of every format.
    assert request.model_spec.signature_name == "serving_default"
    assert list(request.inputs) == ["image_bytes"]
    assert tf.make_ndarray(request.inputs["image_bytes"]).tolist() == [JPEG]


def test_models_config_names_each_model_and_its_mount():
    for names in (["horse2zebra", "zebra2horse"], []):
        text = saved_model.models_config(names)
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        assert config.HasField("model_config_list")
        found = [
            (model.name, model.base_path, model.model_platform)
            for model in config.model_config_list.config
        ]
        assert found == [(name, f"/models/{name}", "tensorflow") for name in names]


def test_batching_parameters_are_fields_of_the_servers_settings():
    # The message, BatchingParameters, is in no wheel: wrapped numbers, one a line.
    text = saved_model.BATCHING_PARAMETERS
    lines = [re.fullmatch(r"(\w+) \{ value: (\d+) \}", x) for x in text.splitlines()]
    assert {line[1]: int(line[2]) for line in lines} == {
        "max_batch_size": 8,
        "batch_timeout_micros": 2000,
        "max_enqueued_batches": 100,
        "num_batch_threads": 2,
    }
