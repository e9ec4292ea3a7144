import pathlib
import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers import tflite_samples as samples
from helpers.tflite_samples import OBLONG, SQUARE, converted, to_float

from cyclegan_tf.exporting.tflite_files import TFLiteGenerator
from cyclegan_tf.validation import UserError

pytestmark = pytest.mark.filterwarnings(samples.INTERPRETER_ENDS)

SIGNATURES = {  # A type in a file, as it takes and gives images.
    "float32": ("float32", "uint8"),
    "pixels": ("dynamic_int8", "uint8"),
    "quantised": ("int8", "uint8"),
}


def lite(function, *specs) -> bytes:
    """A TFLite file of a function, with a signature."""
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs, autograph=False)
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [module.function.get_concrete_function()], module
    ).convert()


def pixels_function(function) -> bytes:
    """A file of a function on pixels as floats, taking and giving uint8."""

    def on_pixels(image):
        return tf.cast(function(tf.cast(image, tf.float32)), tf.uint8)

    return lite(on_pixels, tf.TensorSpec((1, 1, 256, 3), tf.uint8, name="image"))


def interpreter_of(content: bytes):
    """An interpreter, and details of what it takes and gives."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (taken,), (given,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    return interpreter, taken, given


def image_of(size, seed=6) -> np.ndarray:
    return to_float(samples.drawn(size, number=1, seed=seed)[0])


# --- Values


def test_floats_go_in_and_come_out_as_they_are():
    content = converted("resnet", "float32", OBLONG)
    interpreter, taken, given = interpreter_of(content)
    image = image_of(OBLONG)
    interpreter.set_tensor(taken["index"], image)
    interpreter.invoke()
    made = TFLiteGenerator(content)(image)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, interpreter.get_tensor(given["index"]))


def test_float64_is_taken_too():
    runner = TFLiteGenerator(converted("resnet", "float32", OBLONG))
    image = image_of(OBLONG)
    np.testing.assert_array_equal(runner(image.astype(np.float64)), runner(image))


def test_every_pixel_value_goes_in_and_comes_out_as_itself():
    runner = TFLiteGenerator(pixels_function(lambda x: x))
    levels = np.arange(256).repeat(3).reshape(1, 1, 256, 3)
    image = (levels / 127.5 - 1).astype(np.float32)
    made = runner(image)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, image, rtol=0, atol=1e-6)


def test_pixels_are_those_of_the_function():
    runner = TFLiteGenerator(pixels_function(lambda x: 255.0 - x))
    image = np.linspace(-1, 1, 256, dtype=np.float32)[None, None, :, None]
    image = np.broadcast_to(image, (1, 1, 256, 3))
    np.testing.assert_allclose(runner(image), -image, rtol=0, atol=1e-6)


def test_float_goes_to_the_nearest_pixel():
    runner = TFLiteGenerator(pixels_function(lambda x: x))
    levels = np.full((1, 1, 256, 3), 100.0)
    levels[0, 0, 0] = (99.6, 100.4, 100.6)
    made = (runner(levels / 127.5 - 1) + 1) * 127.5
    np.testing.assert_allclose(made[0, 0, 0], (100, 100, 101), atol=1e-3)


def test_quantised_values_are_those_by_hand():
    content = converted("resnet", "int8", OBLONG)
    interpreter, taken, given = interpreter_of(content)
    # A quarter of a level off, as pixels lie halfway between two stored values.
    image = image_of(OBLONG) + np.float32(0.25 * 2 / 255)
    scale, zero_point = taken["quantization"]
    stored = np.round(image.astype(np.float64) / scale) + zero_point
    interpreter.set_tensor(taken["index"], np.clip(stored, 0, 255).astype(np.uint8))
    interpreter.invoke()
    scale, zero_point = given["quantization"]
    expected = (interpreter.get_tensor(given["index"]) - float(zero_point)) * scale
    made = TFLiteGenerator(content)(image)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["dynamic_int8", "int8"])
def test_values_outside_are_cut_not_wrapped(kind):
    runner = TFLiteGenerator(converted("resnet", kind, OBLONG))
    told = runner.tensors()["input"]
    limits = [(n - told["zero_point"]) * told["scale"] for n in (0, 255)]
    image = 4 * image_of(OBLONG)
    assert image.min() < -1.5 and image.max() > 1.5
    np.testing.assert_array_equal(runner(image), runner(np.clip(image, *limits)))


def test_pixels_go_into_a_quantised_file_as_they_are():
    content = converted("resnet", "int8", SQUARE)
    interpreter, taken, given = interpreter_of(content)
    levels = np.arange(32 * 32 * 3).reshape(32, 32, 3) % 256
    picture = levels.astype(np.uint8)
    runner = TFLiteGenerator(content)
    interpreter.set_tensor(taken["index"], picture[np.newaxis])
    interpreter.invoke()
    expected = interpreter.get_tensor(given["index"])
    zero_point, scale = (runner.tensors()["output"][k] for k in ("zero_point", "scale"))
    made = runner(to_float(picture))
    np.testing.assert_array_equal(np.rint(made / scale + zero_point), expected)


def test_steps_do_what_the_call_does():
    runner = TFLiteGenerator(converted("resnet", "int8", OBLONG))
    first, second = image_of(OBLONG, seed=6), image_of(OBLONG, seed=7)
    expected = runner(first)
    assert np.abs(runner(second) - expected).max() > 0.1
    runner.set_input(first)
    runner.invoke()
    np.testing.assert_array_equal(runner.output(), expected)


def test_result_stays_when_the_next_is_made():
    runner = TFLiteGenerator(converted("resnet", "float32", OBLONG))
    made = runner(image_of(OBLONG, seed=6))
    copy = made.copy()
    runner(image_of(OBLONG, seed=7))
    np.testing.assert_array_equal(made, copy)


def test_sizes_may_change_from_call_to_call():
    content = converted("unet", "float32", None)
    runner = TFLiteGenerator(content)
    for size in ((33, 47), (5, 8), (64, 16), (33, 47)):
        image = image_of(size)
        np.testing.assert_array_equal(runner(image), TFLiteGenerator(content)(image))
        assert runner(image).shape == image.shape


# --- What is told of a file


@pytest.mark.parametrize("size", [OBLONG, SQUARE, None])
def test_size_is_height_and_width_or_none(size):
    assert TFLiteGenerator(converted("resnet", "float32", size)).size == size


@pytest.mark.parametrize("size", [OBLONG, None])
@pytest.mark.parametrize("name", SIGNATURES)
def test_tensors_are_told_as_the_interpreter_has_them(name, size):
    kind, io = SIGNATURES[name]
    content = converted("resnet", kind, size, io)
    _, *details = interpreter_of(content)
    described = TFLiteGenerator(content).tensors()
    assert list(described) == ["input", "output"]
    for told, detail in zip(described.values(), details, strict=True):
        scale, zero_point = detail["quantization"]
        if name == "float32":
            scale, zero_point = 1.0, 0.0
        elif name == "pixels":
            assert scale == 0
            scale, zero_point = 1 / 127.5, 127.5
        assert told == {
            "name": "image",
            "shape": [1, *(size or (-1, -1)), 3],
            "dtype": np.dtype(detail["dtype"]).name,
            "scale": pytest.approx(scale),
            "zero_point": zero_point,
        }
    assert described["input"]["dtype"] == ("float32" if name == "float32" else "uint8")


def test_input_and_output_of_a_quantised_file_have_scales_of_their_own():
    described = TFLiteGenerator(converted("unet", "int8", OBLONG)).tensors()
    assert described["input"]["scale"] != described["output"]["scale"]


def test_names_of_input_and_output_are_not_mixed_up():
    spec = tf.TensorSpec((1, 8, 8, 3), name="taken")
    described = TFLiteGenerator(lite(lambda taken: {"given": -taken}, spec)).tensors()
    assert described["input"]["name"] == "taken"
    assert described["output"]["name"] == "given"


@pytest.mark.parametrize("convert", [str, pathlib.Path])
def test_file_is_read_from_a_path_too(convert, tmp_path):
    content = converted("resnet", "float32", OBLONG)
    (tmp_path / "g.tflite").write_bytes(content)
    made = TFLiteGenerator(convert(tmp_path / "g.tflite"))(image_of(OBLONG))
    np.testing.assert_array_equal(made, TFLiteGenerator(content)(image_of(OBLONG)))


def test_users_are_not_warned_of_the_interpreter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TFLiteGenerator(converted("resnet", "float32", OBLONG))


# --- Errors


def lines_of(source) -> list[str]:
    told = "is no TFLite file that runs here: ."
    with pytest.raises(UserError, match=told) as caught:
        TFLiteGenerator(source)
    return str(caught.value).splitlines()


def test_missing_file_is_one_line_that_names_it(tmp_path):
    (line,) = lines_of(tmp_path / "absent.tflite")
    assert line.startswith(f"{tmp_path / 'absent.tflite'} ")


def test_folder_and_empty_file_are_one_line(tmp_path):
    (tmp_path / "empty.tflite").touch()
    assert len(lines_of(tmp_path)) == len(lines_of(tmp_path / "empty.tflite")) == 1


def test_other_content_is_one_line(tmp_path):
    (tmp_path / "picture.tflite").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    assert len(lines_of(tmp_path / "picture.tflite")) == 1
    assert len(lines_of(b"")) == len(lines_of(b"hello" * 100)) == 1


@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_one_line(part):
    content = converted("resnet", "float32", OBLONG)
    assert len(lines_of(content[: int(part * len(content))])) == 1


IMAGE = tf.TensorSpec((1, 8, 8, 3))


@pytest.mark.parametrize(
    "function,specs",
    [
        (lambda a, b: a + b, (IMAGE, IMAGE)),
        (lambda a: {"one": -a, "two": a + 1.0}, (IMAGE,)),
        (lambda a: tf.tanh(a), (tf.TensorSpec((1, 8)),)),
        (lambda a: tf.reduce_mean(a, (1, 2)), (IMAGE,)),
        (lambda a: a[..., :1], (IMAGE,)),
    ],
    ids=["two inputs", "two outputs", "no image in", "no image out", "grey out"],
)
def test_file_that_maps_no_image_to_an_image_is_refused(function, specs):
    content = lite(function, *specs)
    with pytest.raises(UserError, match="does not map an image to an image.$"):
        TFLiteGenerator(content)


def test_image_of_another_size_is_refused_with_both_sizes():
    runner = TFLiteGenerator(converted("resnet", "float32", OBLONG))
    told = "Got 32 but expected 24 for dimension 1 of input"
    with pytest.raises(ValueError, match=told):
        runner(image_of(SQUARE))


@pytest.mark.parametrize("size", [OBLONG, None])
def test_two_images_at_once_are_refused(size):
    runner = TFLiteGenerator(converted("resnet", "float32", size))
    images = np.concatenate(2 * [image_of(OBLONG)])
    with pytest.raises((ValueError, RuntimeError), match="dimension 0"):
        runner(images)


@pytest.mark.parametrize("number", [0, 3, 8, 4096])
def test_noise_is_said_to_be_no_tflite_file(tmp_path, number):
    noise = np.random.default_rng(0).bytes(number)
    path = tmp_path / "noise.tflite"
    path.write_bytes(noise)
    told = f"^{path} is no TFLite file that runs here: it does not begin as one.$"
    with pytest.raises(UserError, match=told):
        TFLiteGenerator(path)
    with pytest.raises(UserError, match="^The TFLite content is no TFLite file"):
        TFLiteGenerator(noise)
