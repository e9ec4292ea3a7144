"""What a SavedModel's folder holds."""

import re

import pytest
import tensorflow as tf
from google.protobuf import text_format
from helpers.c_api import Failure
from helpers.encoded_pictures import encoded, noise
from helpers.load_as_server import V1Session
from helpers.saved_model_cases import (
    KINDS,
    Exported,
    assert_nearest,
    every_model,
    pixels_of,
)
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from cyclegan_tf.data import images
from cyclegan_tf.exporting import saved_model


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


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
    saved_model.write_saved_model(generator, multiple, tmp_path / "1")
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
    text = saved_model.models_config(["horse2zebra", "zebra2horse"])
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
    text = saved_model.models_config([])
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert config.HasField("model_config_list")
    assert not config.model_config_list.config


def test_batching_parameters_are_fields_of_the_servers_settings():
    # The message, BatchingParameters, is in no wheel: wrapped numbers, one a line.
    text = saved_model.batching_parameters()
    lines = [re.fullmatch(r"(\w+) \{ value: (\d+) \}", x) for x in text.splitlines()]
    assert {line[1]: int(line[2]) for line in lines} == {
        "max_batch_size": 8,
        "batch_timeout_micros": 2000,
        "max_enqueued_batches": 100,
        "num_batch_threads": 2,
    }
