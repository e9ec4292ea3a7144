import numpy as np
import pytest
import tensorflow as tf
from helpers import tflite_samples as samples
from helpers.tflite_samples import FILES, OBLONG, converted
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from cyclegan_tf import stacks
from cyclegan_tf.exporting.tflite_files import (
    analyzer_passes,
    gpu_problems,
    operations,
    problems,
    read_metadata,
    with_metadata,
)

pytestmark = pytest.mark.filterwarnings(samples.INTERPRETER_ENDS)

IMAGE = tf.TensorSpec((1, 8, 8, 3), name="image")
ANY_IMAGE = tf.TensorSpec((1, None, None, 3), name="image")


def lite(function, spec=IMAGE, select_tf_ops=False) -> bytes:
    """A TFLite file of a function of one image."""
    module = tf.Module()
    module.function = tf.function(function, input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.function.get_concrete_function()], module
    )
    if select_tf_ops:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
    return converter.convert()


def loop(image):
    """Two graphs of its own: the condition and the body."""
    condition, body = lambda i, _: i < 3, lambda i, x: (i + 1, tf.tanh(x))
    return tf.tanh(tf.while_loop(condition, body, (0, image))[1])


def flex(image):
    return tf.math.erf(image)


# --- Operations


def test_operations_are_counted_by_name_and_sorted():
    content = lite(lambda x: tf.tanh(x) * tf.tanh(x + 1.0) - 0.5)
    counts = operations(content)
    assert counts == {"ADD": 1, "MUL": 1, "SUB": 1, "TANH": 2}
    assert list(counts) == sorted(counts)


def test_operations_of_every_graph_are_counted():
    assert operations(lite(loop)) == {"ADD": 1, "LESS": 1, "TANH": 2, "WHILE": 1}


def test_operation_with_a_code_above_127_has_its_name():
    assert schema.BuiltinOperator.CUMSUM > 127
    assert operations(lite(lambda x: tf.cumsum(x, axis=1))) == {"CUMSUM": 1}


def test_flex_operation_has_its_own_name():
    assert operations(lite(flex, select_tf_ops=True)) == {"FlexErf": 1}


def test_operations_of_a_generator_are_those_of_its_layers():
    counts = operations(converted("resnet", "float32", OBLONG))
    # Six convolutions and two transposed ones; each of seven norms takes two means.
    assert counts == {
        "ADD": 7 + 1,
        "CONV_2D": 6,
        "MEAN": 14,
        "MIRROR_PAD": 4,
        "MUL": 14,
        "PAD": 2,
        "RSQRT": 7,
        "STRIDED_SLICE": 2,
        "SUB": 7,
        "TANH": 1,
        "TRANSPOSE_CONV": 2,
    }


# --- Problems


@pytest.mark.parametrize("network,kind,size", FILES)
def test_files_of_ours_have_no_problem(network, kind, size):
    assert problems(converted(network, kind, size), fixed_size=size is not None) == []


@pytest.mark.parametrize("kind", samples.PIXEL_KINDS)
def test_files_with_float_images_have_no_problem(kind):
    content = converted("resnet", kind, OBLONG, "float32")
    assert problems(content, fixed_size=True) == []


def test_small_function_has_no_problem():
    assert problems(lite(tf.tanh), fixed_size=True) == []


@pytest.mark.parametrize("fixed_size", [True, False])
@pytest.mark.parametrize(
    "name,function",
    [
        ("SQUARED_DIFFERENCE", lambda x: tf.math.squared_difference(x, 0.5)),
        ("CUMSUM", lambda x: tf.cumsum(x, axis=1)),
        ("FlexErf", flex),
    ],
)
def test_operation_that_phones_may_lack_is_named(name, function, fixed_size):
    content = lite(function, select_tf_ops=True)
    told = f"operation {name} is not in the list of those allowed"
    assert problems(content, fixed_size) == [told]


def test_operation_in_an_inner_graph_is_named():
    found = problems(lite(loop), fixed_size=False)
    assert [sentence.split()[1] for sentence in found] == ["LESS", "WHILE"]


def test_operation_on_shapes_is_allowed_where_the_size_is_open_only():
    content = lite(lambda x: tf.math.floormod(x, 0.3))
    told = "operation FLOOR_MOD is not in the list of those allowed"
    assert problems(content, fixed_size=True) == [told]
    assert problems(content, fixed_size=False) == []


@pytest.mark.parametrize("fixed_size", [True, False])
def test_tensor_of_five_dimensions_is_named(fixed_size):
    # No RESHAPE: the op is not what is wrong with this file.
    content = lite(tf.tanh, tf.TensorSpec((1, 8, 8, 3, 1), name="image"))
    found = problems(content, fixed_size)
    assert len(found) == 2
    assert found[0].startswith("tensor serving_default_image:0 has 5 dimensions")
    assert found[1].endswith(" has 5 dimensions")


def test_instance_norm_of_keras_has_tensors_of_five_dimensions():
    norm = tf.keras.layers.GroupNormalization(-1, scale=False, center=False)
    norm.build((1, 8, 8, 3))
    found = problems(lite(norm), fixed_size=True)
    assert any(sentence.endswith("has 5 dimensions") for sentence in found)


def test_open_dimension_is_a_problem_where_the_size_is_fixed_only():
    content = lite(tf.tanh, ANY_IMAGE)
    found = problems(content, fixed_size=True)
    assert "tensor serving_default_image:0 has an open dimension" in found
    assert len(found) == 2
    assert problems(content, fixed_size=False) == []


@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_generator_for_any_size_is_none_of_a_fixed_size(network):
    found = problems(converted(network, "float32", None), fixed_size=True)
    assert "operation GATHER is not in the list of those allowed" in found
    assert any(sentence.endswith("has an open dimension") for sentence in found)


# --- The analyzer


# That of TensorFlow 2.15 looks at each operation, and does not know the weights of
# float16 files; that of 2.21 passes everything.
IT_LOOKS = stacks.addons() is not None


@pytest.mark.parametrize("network,kind,size", FILES)
def test_analyzer_passes_files_of_ours(network, kind, size, capsys):
    passes = not IT_LOOKS or (kind in ("float32", "int8") and size is not None)
    assert analyzer_passes(converted(network, kind, size)) is passes
    assert capsys.readouterr().out == ""


def test_files_for_the_gpu_have_no_problem_there():
    for network in ("resnet", "unet"):
        for kind in ("float32", "float16"):
            assert gpu_problems(converted(network, kind, OBLONG)) == []


def test_what_keeps_files_off_the_gpu_is_told():
    told = gpu_problems(converted("resnet", "dynamic_int8", OBLONG))
    assert told == [
        f"operation {name} is not in the list of those allowed"
        for name in ("CAST", "MINIMUM", "ROUND")
    ]
    (told,) = gpu_problems(converted("resnet", "int16x8", OBLONG))
    assert told.endswith("is of int16")
    told = gpu_problems(converted("resnet", "float32", None))
    assert any("has an open dimension" in sentence for sentence in told)
    assert "operation GATHER is not in the list of those allowed" in told


def test_analyzer_of_this_tensorflow_passes_even_a_flex_operation():
    # When this fails, the analyzer has its check back: `gpu_problems` may lean on it.
    assert analyzer_passes(lite(flex, select_tf_ops=True)) is not IT_LOOKS


def test_warning_of_the_analyzer_is_believed(monkeypatch):
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


def test_file_without_metadata_has_none():
    assert read_metadata(lite(tf.tanh)) is None


def test_metadata_comes_back_as_it_was_put_in():
    assert read_metadata(with_metadata(lite(tf.tanh), METADATA)) == METADATA


def test_metadata_of_the_converter_stays():
    content = converted("resnet", "float16", OBLONG)
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


def test_metadata_costs_its_own_bytes_and_few_more():
    content = converted("resnet", "int8", OBLONG)
    added = len(with_metadata(content, {"text": 5000 * "x"})) - len(content)
    assert 5000 < added < 5500


@pytest.mark.parametrize("runtime", ["tensorflow.lite", "ai_edge_litert"])
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_file_with_metadata_computes_the_same(kind, runtime):
    interpreter = tf.lite.Interpreter
    if runtime == "ai_edge_litert":
        interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    content = converted("resnet", kind, OBLONG)
    outputs = []
    for version in (content, with_metadata(content, METADATA)):
        runner = interpreter(model_content=version).get_signature_runner("translate")
        (picture,) = samples.drawn(OBLONG, number=1, seed=5)
        taken = runner.get_input_details()["image"]["dtype"]
        image = picture[np.newaxis]
        image = image if taken == np.uint8 else samples.to_float(picture)
        outputs.append(runner(image=image)["image"])
    np.testing.assert_array_equal(*outputs)


def test_metadata_put_in_again_takes_the_place_of_the_first():
    once = with_metadata(lite(tf.tanh), {"version": 1})
    assert read_metadata(with_metadata(once, {"version": 2})) == {"version": 2}
