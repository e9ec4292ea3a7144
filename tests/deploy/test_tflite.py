"""TFLite files of each kind: their contract, calibration, and the norm."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import tflite_contract as contract
from helpers import tflite_samples as samples
from helpers.stack_samples import STORED
from helpers.tflite_contract import check_runs_on_phones, operations
from helpers.tflite_samples import OBLONG, SQUARE, converted, psnr, to_float, translated

from cyclegan_tf.compat import path_of
from cyclegan_tf.core.generators import resnet
from cyclegan_tf.core.layers import (
    ResizeConvolution2D,
    instance_normalization,
    is_instance_normalization,
)
from cyclegan_tf.deploy import conversion
from cyclegan_tf.deploy.conversion import convert, lean_generator
from cyclegan_tf.deploy.export_options import TFLITE_IO, TFLITE_TYPES
from cyclegan_tf.deploy.exportables import open_run
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import check_run

pytestmark = pytest.mark.filterwarnings(samples.INTERPRETER_ENDS)

# The network, the kind, and the size that a file takes; None takes any.
FILES = [
    ("resnet", "float32", OBLONG),
    ("resnet", "float16", OBLONG),
    ("resnet", "dynamic_int8", OBLONG),
    ("resnet", "int8", OBLONG),
    ("unet", "float32", None),
    ("unet", "int8", None),
    ("skip", "dynamic_int8", None),
]
MORE_FILES = [
    ("unet", "float16", None),
    ("unet", "dynamic_int8", OBLONG),
    ("skip", "float32", SQUARE),
    ("skip", "float16", None),
    ("skip", "int8", SQUARE),
]

every_network = pytest.mark.parametrize("network", samples.MULTIPLES)
every_pixel_kind = pytest.mark.parametrize("kind", ["dynamic_int8", "int8"])


# --- Files of each kind


def test_files_are_of_every_kind_and_network():
    assert set(contract.KINDS) == set(TFLITE_TYPES)
    pairs = [(network, kind) for network, kind, _ in FILES + MORE_FILES]
    assert sorted(pairs) == sorted(
        (n, k) for n in samples.MULTIPLES for k in TFLITE_TYPES
    )


@pytest.mark.parametrize(
    "network,kind,size",
    [pytest.param(*file, marks=pytest.mark.stack) for file in FILES]
    + [pytest.param(*file, marks=pytest.mark.slow) for file in MORE_FILES],
)
def test_file_keeps_the_contract(network, kind, size):
    contract.check_file(network, kind, size)


@pytest.mark.stack
def test_operations_of_a_generator_are_those_of_its_layers():
    # Six convolutions and two transposed ones; each of seven norms takes two means. The
    # two norms of the full size take them of blocks first.
    expected = {
        "ADD": 7 + 1,
        "AVERAGE_POOL_2D": 4,
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
    assert operations(converted("resnet", "float32", OBLONG)) == expected
    assert operations(converted("resnet", "dynamic_int8", OBLONG)).items() >= {
        ("AVERAGE_POOL_2D", 4),
        ("MEAN", 14),
    }
    for kind, size in (("int8", OBLONG), ("float32", None)):
        assert "AVERAGE_POOL_2D" not in operations(converted("resnet", kind, size))


def test_file_runs_in_litert_by_its_signature():
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    image = to_float(samples.drawn(OBLONG, number=1, seed=3)[0])
    content = converted("resnet", "float32", OBLONG)
    runner = litert.Interpreter(model_content=content).get_signature_runner("translate")
    made = runner(image=image)["image"]
    np.testing.assert_allclose(made, translated("resnet", image), rtol=0, atol=1e-4)


@pytest.mark.stack
def test_file_that_is_cut_off_is_refused_in_one_line():
    # On some of these the interpreter of TensorFlow 2.15 ends the process.
    content = converted("resnet", "float32", OBLONG)
    for part in (0.001, 0.1, 0.5, 0.9, 0.999):
        with pytest.raises(UserError, match="no TFLite file that runs here: .") as told:
            TFLiteGenerator(content[: int(part * len(content))])
        assert len(str(told.value).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, megabytes", [("float32", 45.5), ("float16", 22.8), ("dynamic_int8", 11.5)]
)
def test_full_network_has_the_size_it_should(kind, megabytes):
    content = convert(resnet(), 4, kind, (256, 256))
    assert len(content) / 1e6 == pytest.approx(megabytes, rel=0.01)


# --- Pixels or floats


@every_pixel_kind
def test_pixel_kinds_take_and_give_floats_if_asked(kind):
    assert set(TFLITE_IO) == {"uint8", "float32"}
    content = converted("resnet", kind, OBLONG, "float32")
    floats = TFLiteGenerator(content)
    pixels = TFLiteGenerator(converted("resnet", kind, OBLONG))
    dtypes = {tensor["dtype"] for tensor in floats.tensors().values()}
    assert dtypes == {"float32"}
    check_runs_on_phones(content, fixed_size=True)
    _, _, activations = contract.parse(content)
    assert activations == {contract.KINDS[kind].activations}
    # The result changes by rounding only.
    (picture,) = samples.drawn(OBLONG, number=1, seed=2)
    image = to_float(picture)
    if kind == "int8":
        # Its input has no level for -1: hand both what uint8 can hold.
        image = np.rint(image / (2 / 255)) * (2 / 255)
        np.testing.assert_allclose(pixels(image), floats(image), atol=1e-5)
    else:
        difference = np.abs(pixels(image) - floats(image))
        assert 1e-3 < difference.max() <= 1 / 255 + 1e-5


@pytest.mark.stack
def test_pixels_stand_for_minus_one_to_one():
    content = converted("halving", "dynamic_int8", (16, 16))
    picture = np.arange(16 * 16 * 3).reshape(1, 16, 16, 3) % 256
    made = samples.by_hand(content, picture.astype(np.uint8))
    # 127.5 is zero and stays; results are a quarter of a level from a tie.
    expected = np.rint(127.5 + 0.5 * (picture - 127.5))
    np.testing.assert_array_equal(made, expected)


# --- Calibration


@pytest.mark.stack
def test_int8_takes_black_to_white_and_learns_other_scales_from_pictures():
    pictures = [np.full((*OBLONG, 3), level, np.uint8) for level in (120, 128, 136)]
    copies, generator = np.array(pictures), samples.generator("resnet")
    weights, layers = generator.get_weights(), list(generator.layers)
    grey = convert(generator, 4, "int8", OBLONG, "uint8", pictures)
    # It leaves pictures and generator alone.
    np.testing.assert_array_equal(pictures, copies)
    for after, before in zip(generator.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(after, before)
    assert generator.layers == layers
    drawn = converted("resnet", "int8", OBLONG)
    pictures += samples.drawn(OBLONG, 16, seed=1)
    assert all(0 < picture.min() and picture.max() < 255 for picture in pictures)
    for content in (grey, drawn):
        taken = TFLiteGenerator(content).tensors()["input"]
        scale, zero_point = taken["scale"], taken["zero_point"]
        assert scale == pytest.approx(2 / 255, rel=1e-5)
        # Zero has a level of its own, so both ends lie half a level off.
        assert abs((0 - zero_point) * scale - -1) <= 0.501 * scale
        assert abs((255 - zero_point) * scale - 1) <= 0.501 * scale
    good, bad = TFLiteGenerator(drawn), TFLiteGenerator(grey)
    for picture in samples.drawn(OBLONG, number=4, seed=2):
        image = to_float(picture)
        reference = translated("resnet", image)
        assert psnr(good(image), reference) > psnr(bad(image), reference) + 6


def test_quantised_image_covers_black_to_white():
    graph, _, _ = contract.parse(converted("resnet", "int8", OBLONG, "float32"))
    (first,) = [o for o in graph.operators if graph.inputs[0] in o.inputs]
    image = graph.tensors[first.outputs[0]]
    assert image.quantization.scale == pytest.approx([2 / 255], rel=1e-4)
    assert image.quantization.zeroPoint in (-1, 0)


# --- The norm


@pytest.mark.stack
@every_network
def test_lean_generator_gives_the_same_and_shares_no_weight(network, random_images):
    generator = samples.generator(network)
    lean = lean_generator(generator)
    for shape in ((2, 8, 8, 3), (1, 24, 40, 3)):
        image = random_images(*shape)
        np.testing.assert_allclose(lean(image), generator(image), rtol=0, atol=1e-5)
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


@pytest.mark.stack
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


def sum_in_float16(values: np.ndarray) -> np.ndarray:
    """Adds along the first axis, one value after the other."""
    with np.errstate(over="ignore"):
        return np.add.accumulate(values, axis=0, dtype=np.float16)[-1]


def mean_in_float16(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means of rows x columns blocks of [height, width, channels]."""
    height, width, channels = values.shape
    block = height // rows, width // columns
    blocks = values.reshape(rows, block[0], columns, block[1], channels)
    blocks = blocks.transpose(1, 3, 0, 2, 4).reshape(block[0] * block[1], -1)
    # Not over the product, which may be infinite.
    mean = sum_in_float16(blocks) / block[0] / block[1]
    return mean.reshape(rows, columns, channels)


def errors_of_norms(content: bytes, image: np.ndarray) -> list[float]:
    """The largest errors of a file's means if a GPU adds in float16.

    By turns those of a norm's mean, over the deviation, and of its variance, relative.
    The other operations are in float32. SwiftShader, on which LiteRT's GPU code runs
    without a GPU, adds in float32, so it can't show these errors.
    """
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    averages, errors = {}, []
    for operation in interpreter._get_ops_details():
        source, target = operation["inputs"][0], operation["outputs"][0]
        if operation["op_name"] not in ("AVERAGE_POOL_2D", "MEAN"):
            continue
        whole, values = averages.get(source, 2 * [interpreter.get_tensor(source)[0]])
        rows, columns = interpreter.get_tensor(target).shape[1:3]
        mean = mean_in_float16(values.astype(np.float16), rows, columns)
        averages[target] = whole, mean
        if operation["op_name"] == "MEAN":
            exact = whole.mean((0, 1), dtype=np.float64)
            of_variance = len(errors) % 2
            scale = exact if of_variance else whole.std((0, 1), dtype=np.float64)
            errors.append(float(np.max(np.abs(mean - exact) / scale)))
    return errors


@pytest.mark.filterwarnings("ignore:.*invalid value")
def test_norms_survive_sums_in_float16(monkeypatch):
    run = STORED / "current" / "official"
    generator = open_run(run).load("generator_g", check_run(run))
    image = to_float(samples.drawn((256, 256), number=1, seed=2)[0])
    in_blocks = convert(generator, 4, "float32", (256, 256))
    monkeypatch.setattr(conversion, "_MOST", 256**2)
    at_once = convert(generator, 4, "float32", (256, 256))
    assert max(errors_of_norms(at_once, image)) > 0.5
    assert max(errors_of_norms(in_blocks, image)) < 0.02
