"""Operations, problems and metadata of TFLite files of small functions."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from helpers import tflite_samples as samples
from helpers.tflite_samples import OBLONG, converted
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from cyclegan_tf.exporting.tflite_files import (
    TFLiteGenerator,
    analyzer_passes,
    gpu_problems,
    operations,
    problems,
    read_metadata,
    with_metadata,
)

pytestmark = pytest.mark.filterwarnings(samples.INTERPRETER_ENDS)


def loop(image):
    """Two graphs of its own: the condition and the body."""
    condition, body = lambda i, _: i < 3, lambda i, x: (i + 1, tf.tanh(x))
    return tf.tanh(tf.while_loop(condition, body, (0, image))[1])


FUNCTIONS = {
    "tanh": tf.tanh,
    "arithmetic": lambda x: tf.tanh(x) * tf.tanh(x + 1.0) - 0.5,
    "loop": loop,
    "cumsum": lambda x: tf.cumsum(x, axis=1),
    "flex": tf.math.erf,
    "squared difference": lambda x: tf.math.squared_difference(x, 0.5),
    "floormod": lambda x: tf.math.floormod(x, 0.3),
}


@functools.cache
def lite(name: str, shape=(1, 8, 8, 3)) -> bytes:
    """A TFLite file of a function of one image."""
    module = tf.Module()
    spec = tf.TensorSpec(shape, name="image")
    module.function = tf.function(FUNCTIONS[name], input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.function.get_concrete_function()], module
    )
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    return converter.convert()


# --- Operations


def test_operations_of_every_graph_are_counted_by_name_and_sorted():
    expected = {
        "arithmetic": {"ADD": 1, "MUL": 1, "SUB": 1, "TANH": 2},
        "loop": {"ADD": 1, "LESS": 1, "TANH": 2, "WHILE": 1},
        # Its code does not fit the field that old readers know.
        "cumsum": {"CUMSUM": 1},
        "flex": {"FlexErf": 1},
    }
    assert schema.BuiltinOperator.CUMSUM > 127
    for name, counts in expected.items():
        found = operations(lite(name))
        assert found == counts, name
        assert list(found) == sorted(found)


# --- Problems


def test_operation_that_phones_may_lack_is_named():
    expected = {
        "tanh": [],
        "squared difference": ["SQUARED_DIFFERENCE"],
        "cumsum": ["CUMSUM"],
        "flex": ["FlexErf"],
        "loop": ["LESS", "WHILE"],
    }
    for name, operations_told in expected.items():
        for told in (
            problems(lite(name), fixed_size=True),
            problems(lite(name), fixed_size=False),
            gpu_problems(lite(name)),
        ):
            assert [sentence.split()[1] for sentence in told] == operations_told


def test_operation_on_shapes_is_allowed_where_the_size_is_open_only():
    (told,) = problems(lite("floormod"), fixed_size=True)
    assert "FLOOR_MOD" in told
    assert problems(lite("floormod"), fixed_size=False) == []


def test_tensor_of_five_dimensions_is_named():
    # No RESHAPE: the op is not what is wrong with this file.
    content = lite("tanh", (1, 8, 8, 3, 1))
    for fixed_size in (True, False):
        found = problems(content, fixed_size)
        assert len(found) == 2
        assert found[0].startswith("tensor serving_default_image:0 has 5 dimensions")
        assert found[1].endswith(" has 5 dimensions")


def test_open_dimension_is_a_problem_where_the_size_is_fixed_only():
    content = lite("tanh", (1, None, None, 3))
    found = problems(content, fixed_size=True)
    assert "tensor serving_default_image:0 has an open dimension" in found
    assert len(found) == 2
    assert problems(content, fixed_size=False) == []


# --- The analyzer


@pytest.mark.stack
def test_analyzer_is_believed(monkeypatch, capsys):
    assert analyzer_passes(lite("tanh")) is True
    assert capsys.readouterr().out == ""

    def analyze(model_content, gpu_compatibility):
        assert (model_content, gpu_compatibility) == (b"file", True)
        print("GPU COMPATIBILITY WARNING: Subgraph#0 has GPU delegate compatibility")

    analyzer = tf.lite.experimental.Analyzer
    monkeypatch.setattr(analyzer, "analyze", staticmethod(analyze))
    assert analyzer_passes(b"file") is False


# --- Metadata

METADATA = {
    "name": "Zebra – 斑马 ñ",
    "labels": {"input": "horse", "output": "zebra"},
    "scale": 1 / 127.5,
    "numbers": [1, 2.5, None, True],
}


@pytest.mark.stack
def test_metadata_comes_back_as_it_was_put_in_last():
    assert read_metadata(lite("tanh")) is None
    content = with_metadata(lite("tanh"), METADATA)
    assert read_metadata(content) == METADATA
    assert read_metadata(with_metadata(content, {"version": 2})) == {"version": 2}


@pytest.mark.stack
def test_metadata_of_the_converter_stays():
    content = converted("halving", "float16", OBLONG)
    before = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    after = flatbuffer_utils.convert_bytearray_to_object(
        bytearray(with_metadata(content, METADATA))
    )
    names = [entry.name for entry in before.metadata]
    assert len(names) > 1
    assert [entry.name for entry in after.metadata] == [*names, b"CYCLEGAN_TF"]
    for old, new in zip(before.metadata, after.metadata, strict=False):
        old_data, new_data = before.buffers[old.buffer], after.buffers[new.buffer]
        np.testing.assert_array_equal(old_data.data, new_data.data)


@pytest.mark.stack
def test_file_with_metadata_computes_the_same_and_is_little_larger():
    image = samples.to_float(samples.drawn(OBLONG, number=1, seed=5)[0])
    for kind in ("float16", "int8"):
        content = converted("halving", kind, OBLONG)
        described = with_metadata(content, {"text": 5000 * "x"})
        assert 5000 < len(described) - len(content) < 5500
        outputs = [TFLiteGenerator(version)(image) for version in (content, described)]
        np.testing.assert_array_equal(*outputs)
