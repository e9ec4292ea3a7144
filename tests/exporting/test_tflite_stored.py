"""What TFLite files hold: types, scales, calibration and the norm."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tflite_samples as samples
from helpers.tflite_cases import details, psnr
from helpers.tflite_samples import (
    CASES,
    FILES,
    OBLONG,
    SQUARE,
    converted,
    to_float,
    translated,
)
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from cyclegan_tf.exporting.tflite import (
    KINDS,
    PIXEL_KINDS,
    convert,
    lean_generator,
)
from cyclegan_tf.exporting.tflite_files import TFLiteGenerator, operations
from cyclegan_tf.networks.generators import resnet
from cyclegan_tf.networks.layers import (
    ResizeConvolution2D,
    TransposedConvolution2D,
)
from cyclegan_tf.networks.norms import (
    instance_normalization,
    is_instance_normalization,
)
from cyclegan_tf.stacks import path_of

pytestmark = pytest.mark.filterwarnings(samples.INTERPRETER_ENDS)


TYPE_NAMES = {v: k for k, v in vars(schema.TensorType).items() if k.isupper()}


BYTES = {"FLOAT32": 4, "FLOAT16": 2, "INT8": 1}


# The converter leaves smaller arrays in float, where only weights are quantised.
SMALLEST_DYNAMIC = 1024


def parse(content: bytes):
    """The only graph of a file, and its buffers."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    (graph,) = model.subgraphs
    return graph, model.buffers


def constants(content: bytes) -> list:
    """Pairs of a tensor and its values as they are stored."""
    graph, buffers = parse(content)
    found = []
    for tensor in graph.tensors:
        data = buffers[tensor.buffer].data
        if data is not None and len(data):
            dtype = np.dtype(TYPE_NAMES[tensor.type].lower())
            shape = [] if tensor.shape is None else tensor.shape
            found.append((tensor, np.frombuffer(bytes(data), dtype).reshape(shape)))
    return found


def activation_types(content: bytes) -> set[str]:
    """Types of what is computed between the image taken and the image given."""
    graph, buffers = parse(content)
    ends = {*graph.inputs, *graph.outputs}
    return {
        TYPE_NAMES[tensor.type]
        for i, tensor in enumerate(graph.tensors)
        if buffers[tensor.buffer].data is None and i not in ends
    }


def kernels(network: str) -> list[np.ndarray]:
    """Kernels as TFLite orders them: [filters, height, width, channels]."""
    found = []
    for layer in samples.generator(network).layers:
        if isinstance(layer, TransposedConvolution2D):
            found.append(layer.get_weights()[0].transpose(2, 0, 1, 3))
        elif isinstance(layer, ResizeConvolution2D):
            found.append(layer.transposed_kernel().numpy().transpose(2, 0, 1, 3))
        elif isinstance(layer, keras.layers.Conv2D):
            found.append(layer.get_weights()[0].transpose(3, 0, 1, 2))
    return found


def stored_type(kind: str, kernel: np.ndarray) -> str:
    if kind == "dynamic_int8" and kernel.size < SMALLEST_DYNAMIC:
        return "FLOAT32"
    return {"float32": "FLOAT32", "float16": "FLOAT16"}.get(kind, "INT8")


def stands_for(tensor, values, kind: str, kernel: np.ndarray) -> bool:
    """Whether a constant is a kernel, in the type and with the scales of a kind."""
    name = stored_type(kind, kernel)
    if values.shape != kernel.shape or TYPE_NAMES[tensor.type] != name:
        return False
    if name != "INT8":
        return np.array_equal(values, kernel.astype(name.lower()))
    scales = tensor.quantization.scale
    largest = np.abs(kernel).max(axis=(1, 2, 3))
    return (
        len(scales) == len(kernel)
        and tensor.quantization.quantizedDimension == 0
        and not np.any(tensor.quantization.zeroPoint)
        and np.allclose(scales, largest / 127, rtol=1e-3)
        and np.all(
            np.abs(values * scales[:, None, None, None] - kernel)
            <= 0.501 * scales[:, None, None, None]
        )
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_kernels_are_stored_in_the_claimed_type(network, kind):
    stored = constants(converted(network, kind, OBLONG))
    for kernel in kernels(network):
        found = [1 for t, values in stored if stands_for(t, values, kind, kernel)]
        assert len(found) == 1, kernel.shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_constants_take_the_bytes_of_the_weights_and_little_more(network, kind):
    content = converted(network, kind, OBLONG)
    expected = sum(BYTES[stored_type(kind, k)] * k.size for k in kernels(network))
    total = sum(values.nbytes for _, values in constants(content))
    # Biases of 4 or 8 bytes, zeros where Keras has no bias, shapes and epsilon.
    assert expected < total < expected + 1500
    parameters = lean_generator(samples.generator(network)).count_params()
    shares = {"float32": 4, "float16": 2, "int8": 1, "int16x8": 1}
    if kind in shares:
        assert expected == pytest.approx(shares[kind] * parameters, rel=0.01)
    else:
        assert parameters < expected < 2.1 * parameters


@pytest.mark.parametrize(
    "kind,types",
    [
        ("float32", {"FLOAT32"}),
        ("float16", {"FLOAT32"}),
        ("dynamic_int8", {"FLOAT32"}),
        ("int8", {"INT8"}),
        ("int16x8", {"INT16"}),
    ],
)
@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_activations_have_the_claimed_type(network, kind, types):
    assert activation_types(converted(network, kind, OBLONG)) == types


@pytest.mark.parametrize("kind", PIXEL_KINDS)
def test_type_of_pixels_leaves_the_activations(kind):
    expected = {"dynamic_int8": {"FLOAT32"}, "int8": {"INT8"}}[kind]
    assert activation_types(converted("resnet", kind, OBLONG, "float32")) == expected


@pytest.mark.parametrize("network,kind,size", FILES)
def test_file_holds_no_op_that_phones_lack(network, kind, size):
    names = operations(converted(network, kind, size))
    assert {"CONV_2D", "TRANSPOSE_CONV", "RSQRT"} <= set(names)
    assert "TANH" in names and ("ABS" in names) == (network == "skip")
    assert not {"REVERSE_V2", "TRANSPOSE"} & set(names)
    assert "SQUARED_DIFFERENCE" not in names
    assert all(hasattr(schema.BuiltinOperator, name) for name in names)
    assert not [n for n in names if "VAR" in n or "VARIABLE" in n or "CUSTOM" in n]


@pytest.mark.parametrize("network,kind,size", FILES)
def test_tensors_have_four_dimensions_at_most(network, kind, size):
    graph, _ = parse(converted(network, kind, size))
    ranks = {0 if t.shape is None else len(t.shape) for t in graph.tensors}
    assert max(ranks) == 4


# --- Calibration


@pytest.mark.parametrize("calibrated_on", ["drawn", "grey"])
def test_int8_input_covers_black_to_white_whatever_it_was_calibrated_on(calibrated_on):
    pictures = samples.drawn(SQUARE, 8, seed=1), samples.grey(SQUARE)
    assert all(0 < p.min() and p.max() < 255 for group in pictures for p in group)
    content = converted("resnet", "int8", OBLONG, calibrated_on=calibrated_on)
    scale, zero_point = details(content)[0]["quantization"]
    assert scale == pytest.approx(2 / 255, rel=1e-5)
    # Zero has a level of its own, so both ends lie half a level off.
    assert abs((0 - zero_point) * scale - -1) <= 0.501 * scale
    assert abs((255 - zero_point) * scale - 1) <= 0.501 * scale


@pytest.mark.parametrize(
    "io,kind,steps", [("float32", "int8", 255), ("uint8", "int16x8", 65534)]
)
def test_quantised_image_covers_black_to_white(io, kind, steps):
    graph, _ = parse(converted("resnet", kind, OBLONG, io))
    (first,) = [o for o in graph.operators if graph.inputs[0] in o.inputs]
    image = graph.tensors[first.outputs[0]]
    assert image.quantization.scale == pytest.approx([2 / steps], rel=1e-4)
    assert image.quantization.zeroPoint in (-1, 0)


@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_int8_calibrated_on_pictures_beats_int8_calibrated_on_grey(network):
    good, bad = (
        TFLiteGenerator(converted(network, "int8", OBLONG, calibrated_on=name))
        for name in ("drawn", "grey")
    )
    for picture in samples.drawn(OBLONG, number=4, seed=2):
        image = to_float(picture)
        reference = translated(network, image)
        assert psnr(good(image), reference) > psnr(bad(image), reference) + 6


def test_convert_leaves_pictures_and_generator_alone():
    generator = samples.generator("resnet")
    weights, layers = generator.get_weights(), list(generator.layers)
    pictures = samples.drawn(SQUARE, number=2, seed=1)
    copies = [picture.copy() for picture in pictures]
    convert(generator, 4, "int8", SQUARE, "float32", pictures)
    for picture, copy in zip(pictures, copies, strict=True):
        np.testing.assert_array_equal(picture, copy)
    for after, before in zip(generator.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(after, before)
    assert generator.layers == layers


# --- The norm


@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_lean_norm_gives_what_the_generator_gives(network, random_images):
    generator = samples.generator(network)
    lean = lean_generator(generator)
    for shape in ((2, 8, 8, 3), (1, 24, 40, 3)):
        image = random_images(*shape)
        np.testing.assert_allclose(lean(image), generator(image), rtol=0, atol=1e-5)


def test_lean_norm_keeps_epsilon_and_ends_the_old_norm(random_images):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, instance_normalization("norm", 0.5)(inputs))
    image = random_images(1, 8, 8, 3)
    lean = lean_generator(model)
    centred = image - np.mean(image, axis=(1, 2), keepdims=True)
    expected = centred / np.sqrt(np.var(image, axis=(1, 2), keepdims=True) + 0.5)
    np.testing.assert_allclose(lean(image), expected, atol=1e-6)
    assert not any(map(is_instance_normalization, lean.layers))
    # Large means cancel before the square, not after it.
    shifted = lean(image + 1000.0)
    np.testing.assert_allclose(shifted, expected, atol=1e-3)


@pytest.mark.parametrize("network", samples.MULTIPLES)
def test_lean_generator_has_every_weight_and_shares_none(network):
    generator = samples.generator(network)
    lean = lean_generator(generator)
    before = generator.get_weights()
    names = [[path_of(v) for v in model.variables] for model in (lean, generator)]
    assert names[0] == names[1]
    for layer in generator.layers:
        expected = layer.get_weights()
        if isinstance(layer, ResizeConvolution2D):
            expected[0] = layer.transposed_kernel()
        found = lean.get_layer(layer.name).get_weights() if expected else []
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for variable in lean.variables:
        variable.assign_add(tf.ones(variable.shape))
    for after, kept in zip(generator.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, kept)


def test_without_the_lean_norm_squared_difference_would_be_in_the_file():
    inputs = keras.Input((8, 8, 3), batch_size=1)
    model = keras.Model(inputs, instance_normalization("norm")(inputs))
    function = tf.function(model, input_signature=[tf.TensorSpec((1, 8, 8, 3))])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], model
    )
    assert "SQUARED_DIFFERENCE" in operations(converter.convert())


def test_cases_cover_every_kind_and_network():
    assert {kind for _, kind, _ in FILES} == set(KINDS)
    assert {network for network, _ in CASES} == set(samples.MULTIPLES)


@pytest.mark.parametrize("kind", ["int8", "int16x8"])
@pytest.mark.parametrize(
    "shapes", [[], [(16, 16)], [(24, 40), (40, 24)]], ids=["none", "small", "mixed"]
)
def test_calibration_pictures_of_another_size_are_refused(kind, shapes):
    pictures = [np.zeros((*shape, 3), np.uint8) for shape in shapes]
    with pytest.raises(ValueError, match="`calibration` must hold pictures of one"):
        convert(resnet(4, 1), 4, kind, (24, 40), "uint8", pictures)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, megabytes", [("float32", 45.5), ("float16", 22.8), ("dynamic_int8", 11.5)]
)
def test_full_network_has_the_size_it_should(kind, megabytes):
    content = convert(resnet(), 4, kind, (256, 256))
    assert len(content) / 1e6 == pytest.approx(megabytes, rel=0.01)
