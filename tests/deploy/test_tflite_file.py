"""Values, interfaces and damage of TFLite files of small functions."""

import functools
import pathlib
import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers import tflite_samples as samples
from helpers.tflite_samples import OBLONG, SQUARE, by_hand, converted, to_float

from cyclegan_tf.deploy.tflite_file import TFLiteGenerator
from cyclegan_tf.messages import UserError

pytestmark = pytest.mark.filterwarnings(samples.INTERPRETER_ENDS)


FUNCTIONS = {
    "tanh": tf.tanh,
    "inverted": lambda x: tf.cast(255.0 - tf.cast(x, tf.float32), tf.uint8),
    "sum": lambda a, b: a + b,
    "two outputs": lambda x: {"one": -x, "two": x + 1.0},
    "mean": lambda x: tf.reduce_mean(x, (1, 2)),
    "grey": lambda x: x[..., :1],
}
IMAGE = tf.TensorSpec((1, 8, 8, 3))


@functools.cache
def lite(name: str, *specs: tf.TensorSpec) -> bytes:
    """A TFLite file of a function, of one image if nothing is said."""
    module = tf.Module()
    module.function = tf.function(
        FUNCTIONS[name], input_signature=specs or [IMAGE], autograph=False
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.function.get_concrete_function()], module
    )
    return converter.convert()


def image_of(size, seed=6) -> np.ndarray:
    return to_float(samples.drawn(size, number=1, seed=seed)[0])


# --- Values of `TFLiteGenerator`


@pytest.mark.stack
def test_floats_go_in_and_come_out_as_they_are():
    content = converted("halving", "float32", OBLONG)
    image = image_of(OBLONG)
    made = TFLiteGenerator(content)(image)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, by_hand(content, image))
    from_float64 = TFLiteGenerator(content)(image.astype(np.float64))
    np.testing.assert_array_equal(from_float64, made)


@pytest.mark.stack
def test_float_goes_in_as_the_nearest_pixel_and_comes_out_as_one():
    spec = tf.TensorSpec((1, 1, 256, 3), tf.uint8, name="image")
    runner = TFLiteGenerator(lite("inverted", spec))
    levels = np.arange(256.0).repeat(3).reshape(1, 1, 256, 3)
    image = (levels / 127.5 - 1).astype(np.float32)
    made = runner(image)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, -image, rtol=0, atol=1e-6)
    levels[0, 0, 0] = (99.6, 100.4, 100.6)
    made = (runner(levels / 127.5 - 1) + 1) * 127.5
    np.testing.assert_allclose(made[0, 0, 0], (155, 155, 154), atol=1e-3)


@pytest.mark.stack
def test_quantised_values_are_those_by_hand_and_pixels_go_in_as_they_are():
    content = converted("halving", "int8", OBLONG)
    runner = TFLiteGenerator(content)
    taken, given = runner.tensors().values()
    assert taken["scale"] != given["scale"]
    # A quarter of a level off, as pixels lie halfway between two stored values.
    image = image_of(OBLONG) + np.float32(0.25 * 2 / 255)
    stored = np.round(image.astype(np.float64) / taken["scale"]) + taken["zero_point"]
    picture = (np.arange(24 * 40 * 3).reshape(1, 24, 40, 3) % 256).astype(np.uint8)
    for floats, pixels in (
        (image, np.clip(stored, 0, 255).astype(np.uint8)),
        (to_float(picture[0]), picture),
    ):
        expected = by_hand(content, pixels) - given["zero_point"]
        made = runner(floats)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected * given["scale"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["dynamic_int8", "int8"])
def test_values_outside_are_cut_not_wrapped(kind):
    runner = TFLiteGenerator(converted("halving", kind, OBLONG))
    told = runner.tensors()["input"]
    limits = [(n - told["zero_point"]) * told["scale"] for n in (0, 255)]
    image = 4 * image_of(OBLONG)
    assert image.min() < -1.5 and image.max() > 1.5
    np.testing.assert_array_equal(runner(image), runner(np.clip(image, *limits)))


def test_result_of_a_call_stays():
    for kind in ("int8", "float32"):
        runner = TFLiteGenerator(converted("halving", kind, OBLONG))
        first, second = image_of(OBLONG, seed=6), image_of(OBLONG, seed=7)
        expected = runner(first)
        copy = expected.copy()
        assert np.abs(runner(second) - expected).max() > 0.1
        np.testing.assert_array_equal(expected, copy)


@pytest.mark.stack
def test_sizes_may_change_from_call_to_call():
    content = converted("halving", "float32", None)
    runner = TFLiteGenerator(content)
    assert runner.size is None
    for size in ((33, 47), (5, 8), (64, 16), (33, 47)):
        image = image_of(size)
        np.testing.assert_array_equal(runner(image), TFLiteGenerator(content)(image))
        assert runner(image).shape == image.shape


def test_file_is_read_from_a_path_too_without_a_warning(tmp_path):
    content = converted("halving", "float32", OBLONG)
    (tmp_path / "g.tflite").write_bytes(content)
    expected = by_hand(content, image_of(OBLONG))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (str, pathlib.Path):
            made = TFLiteGenerator(kind(tmp_path / "g.tflite"))(image_of(OBLONG))
            np.testing.assert_array_equal(made, expected)


# --- Errors


def line_of(source) -> str:
    with pytest.raises(UserError, match="no TFLite file that runs here: .") as caught:
        TFLiteGenerator(source)
    (line,) = str(caught.value).splitlines()
    return line


def test_what_is_no_tflite_file_is_one_line_that_names_it(tmp_path):
    path = tmp_path / "g.tflite"
    assert line_of(path).startswith(f"{path} ")
    assert line_of(tmp_path).startswith(f"{tmp_path} ")
    png, noise = b"\x89PNG\r\n\x1a\n" + bytes(500), np.random.default_rng(0).bytes(4096)
    for content in (b"", b"hello" * 100, png, noise, noise[:3], noise[:8]):
        path.write_bytes(content)
        assert line_of(path).startswith(f"{path} ")
        assert "TFLite content" in line_of(content)


def test_file_that_maps_no_image_to_an_image_is_refused():
    for content in (
        lite("sum", IMAGE, IMAGE),
        lite("two outputs"),
        lite("tanh", tf.TensorSpec((1, 8))),
        lite("mean"),
        lite("grey"),
    ):
        with pytest.raises(UserError, match="does not map an image to an image.$"):
            TFLiteGenerator(content)


def test_image_of_another_size_and_two_images_are_refused():
    runner = TFLiteGenerator(converted("halving", "float32", OBLONG))
    with pytest.raises(ValueError, match="32 .* 24 for dimension 1"):
        runner(image_of(SQUARE))
    images = np.concatenate(2 * [image_of(OBLONG)])
    for size in (OBLONG, None):
        runner = TFLiteGenerator(converted("halving", "float32", size))
        with pytest.raises((ValueError, RuntimeError), match="dimension 0"):
            runner(images)
