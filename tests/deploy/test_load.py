"""Runs, SavedModels, Keras and TFLite files against their generator, called directly.

Pictures of one pixel are tried with the files themselves, in the tests of each format.
"""

import gc
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import saved_run
from helpers.translations import assert_near, direct, picture
from PIL import Image

from cyclegan_tf.deploy import load as loading
from cyclegan_tf.deploy import saved_model
from cyclegan_tf.deploy.conversion import convert, portable_generator
from cyclegan_tf.deploy.load import fit, of_model, shrunk
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import check_run

SIZES = [(32, 32), (3, 50), (33, 47), (7, 8), (61, 5), (2, 1)]
FIXED = (24, 40)


@pytest.fixture(scope="module")
def translated(model):
    """Two pictures of each size, with what a generator makes of them, by its name."""

    def of(generator) -> list:
        pairs = []
        for size in [*SIZES, FIXED]:
            pictures = np.stack([picture(*size), picture(*size, seed=1)])
            pairs.append((pictures, [direct(generator, pixels) for pixels in pictures]))
        return pairs

    return {name: of(model.networks[name]) for name in ("generator_g", "generator_f")}


def of_run(run_dir, name):
    """A translator of the newest checkpoint."""
    return loading.of_run(run_dir, name, check_run(run_dir))


def assert_translates(translator, pairs):
    for pictures, expected in pairs:
        for made, one in zip(translator(pictures), expected, strict=True):
            assert_near(made, one)
    assert_near(translator(pictures[:1])[0], expected[0])


# --- Runs


def test_generators_and_pictures_of_these_tests_differ(translated):
    (one, other), (made, made_of_other) = translated["generator_g"][0]
    _, (made_by_f, _) = translated["generator_f"][0]
    for different in (one, made_of_other, made_by_f):
        assert np.abs(made.astype(int) - different).mean() > 20
    assert np.abs(one.astype(int) - other).mean() > 20


@pytest.mark.stack
@pytest.mark.parametrize("name", ["generator_g", "generator_f"])
def test_run_translates_as_its_generator_does(model, translated, name):
    assert_translates(of_run(model.config.run_dir, name), translated[name])


@pytest.mark.stack
def test_unet_run_gets_the_multiple_it_needs(tmp_path):
    model = saved_run(tmp_path, generator="unet")
    assert model.config.size_multiple == 32
    made = of_run(tmp_path, "generator_g")(picture(33, 47)[np.newaxis])[0]
    assert_near(made, direct(model.generator_g, picture(33, 47), multiple=32))


def test_one_graph_serves_all_sizes(model, monkeypatch):
    calls = []
    monkeypatch.setattr(
        loading, "translate", lambda g, images, m: calls.append(1) or images
    )
    translator = of_run(model.config.run_dir, "generator_g")
    for size in [*SIZES, (1, 1)]:
        pixels = picture(*size)[np.newaxis]
        np.testing.assert_array_equal(translator(pixels), pixels)
    assert len(calls) == 1


def convolution():
    """Without norms: they make anything of the rounding errors of a single colour."""
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))


def test_one_pixel_is_translated(model, monkeypatch):
    generator = convolution()
    run = types.SimpleNamespace(multiple=4, load=lambda *_: generator)
    monkeypatch.setattr(loading, "open_run", lambda _: run)
    pixel = np.array([[[[10, 130, 250]]]], np.uint8)
    made = of_run(model.config.run_dir, "generator_g")(pixel)[0]
    assert_near(made, direct(generator, pixel[0]))


# --- SavedModels and Keras files


@pytest.mark.stack
def test_saved_model_translates_as_its_generator_does(model, translated, tmp_path):
    signatures = saved_model.picture_signatures(model.generator_g, 4)
    folder = tmp_path / "a [v2]*" / "3"  # TensorFlow takes it for a pattern.
    saved_model.write(folder, model.generator_g, signatures)
    translator = of_model(folder)
    gc.collect()  # The variables must not go with the loaded object.
    assert_translates(translator, translated["generator_g"])


@pytest.mark.stack
def test_keras_file_translates_as_its_generator_does(model, translated, tmp_path):
    portable_generator(model.generator_g).save(tmp_path / "a.keras")
    assert_translates(of_model(tmp_path / "a.keras"), translated["generator_g"])


def save_small(folder, value=0.0, signature="translate_float", name="images", rank=4):
    """A SavedModel that adds a value."""
    module = tf.Module()
    module.value = tf.Variable(value)
    spec = tf.TensorSpec([None] * (rank - 1) + [3], tf.float32, name=name)
    add = tf.function(lambda x: {"images": x + module.value}, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={signature: add})


def test_newest_version_is_the_highest_number(tmp_path):
    for version, value in {"9": 0.0, "10": 2.0, "x11": 0.0}.items():
        save_small(tmp_path / version, value)
    (tmp_path / "12" / "variables").mkdir(parents=True)
    pixels = picture(8, 9)[np.newaxis]
    assert (of_model(tmp_path)(pixels) == 255).all()
    np.testing.assert_array_equal(of_model(tmp_path / "9")(pixels), pixels)


@pytest.mark.stack
@pytest.mark.parametrize(
    "part",
    [
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ],
)
def test_damaged_saved_model_is_told_in_one_line(tmp_path, part):
    save_small(tmp_path / "1")
    path = tmp_path / "1" / part
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"x" * len(content), None):
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"^{tmp_path / '1'} [^\n]+$"):
            of_model(tmp_path / "1")


def test_saved_model_of_something_else_is_refused(tmp_path):
    save_small(tmp_path / "1", signature="serving_default")
    with pytest.raises(UserError, match=f"{tmp_path / '1'} .*`translate_float`"):
        of_model(tmp_path)
    for number, other in enumerate([{"name": "x"}, {"rank": 2}]):
        save_small(tmp_path / f"other{number}", **other)
        with pytest.raises(UserError, match=f"^{tmp_path}/other{number} [^\n]+$"):
            of_model(tmp_path / f"other{number}")


def test_what_is_no_model_is_refused(tmp_path):
    contents = {"model.h5": b"x", "model.keras": b"x", "empty.tflite": b""}
    contents["bad.tflite"] = b"x" * 1000
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.tflite").mkdir()
    for name in ("missing", "missing.tflite", "folder.tflite", *contents):
        with pytest.raises(UserError, match=f"^[^\n]*{tmp_path / name}[^\n]+$"):
            of_model(tmp_path / name)


# --- TFLite files


@pytest.mark.stack
def test_tflite_of_any_size_translates_as_its_generator_does(
    model, translated, tmp_path
):
    content = convert(model.generator_g, 4, "float32", None)
    (tmp_path / "a.tflite").write_bytes(content)
    assert_translates(of_model(tmp_path / "a.tflite"), translated["generator_g"])


@pytest.fixture(scope="module")
def of_one_size(model, tmp_path_factory):
    """A file that takes pictures of one size; its ending counts in any case."""
    path = tmp_path_factory.mktemp("tflite") / "a.TFLite"
    path.write_bytes(convert(model.generator_g, 4, "float32", FIXED))
    return of_model(path)


@pytest.mark.stack
def test_tflite_of_one_size_fits_others_in_and_mirrors(of_one_size, model, translated):
    assert_translates(of_one_size, translated["generator_g"][-1:])
    bicubic = Image.Resampling.BICUBIC
    for size, fitted in {
        (24, 30): (24, 30),  # Only filled.
        (48, 60): (24, 30),
        (12, 15): (24, 30),
        (33, 47): (24, 34),
        (20, 100): (8, 40),
        (2, 2): (24, 24),
        (3, 50): (2, 40),
        (500, 2): (24, 1),
    }.items():
        pixels = picture(*size)
        inner = np.asarray(Image.fromarray(pixels).resize(fitted[::-1], bicubic))
        below, right = FIXED[0] - fitted[0], FIXED[1] - fitted[1]
        filled = np.pad(inner, ((0, below), (0, right), (0, 0)), mode="reflect")
        made = direct(model.generator_g, filled)[: fitted[0], : fitted[1]]
        expected = np.asarray(Image.fromarray(made).resize(size[::-1], bicubic))
        (ours,) = of_one_size(pixels[np.newaxis])
        # Pillow's filter may add up two levels that were rounded otherwise.
        assert_near(ours, expected, levels=2)


def test_tflite_that_takes_pixels_gets_pixels(tmp_path):
    generator = convolution()
    (tmp_path / "a.tflite").write_bytes(convert(generator, 4, "dynamic_int8", None))
    pixels = picture(33, 47)
    made = of_model(tmp_path / "a.tflite")(pixels[np.newaxis])[0]
    difference = np.abs(made.astype(int) - direct(generator, pixels))
    # Eight bits a weight; a picture in another range would be far off.
    assert difference.mean() < 8


# --- Sizes


def test_fit_keeps_proportions_within_the_box():
    for size, box, expected in [
        ((10, 20), (5, 5), (2, 5)),
        ((20, 10), (5, 5), (5, 2)),
        ((30, 20), (15, 100), (15, 10)),
        ((3, 2), (300, 300), (300, 200)),
        ((1, 1000), (10, 10), (1, 10)),
        ((997, 991), (256, 256), (256, 254)),
        ((7, 7), (7, 7), (7, 7)),
    ]:
        assert fit(size, box) == expected


def test_only_longer_sides_are_shrunk_free_of_aliases():
    for size, max_side, expected in [
        ((30, 20), 0, (30, 20)),
        ((30, 20), 30, (30, 20)),
        ((30, 20), 100, (30, 20)),
        ((30, 20), 29, (29, 19)),
        ((20, 30), 15, (10, 15)),
        ((1, 300), 100, (1, 100)),
    ]:
        pixels = picture(*size)
        ours = shrunk(pixels, max_side)
        assert ours.shape == (*expected, 3)
        image = Image.fromarray(pixels)
        bicubic = image.resize(expected[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(ours, np.asarray(bicubic))
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(shrunk(stripes, 16)[2:-2, 2:-2].astype(int) - 100).max() <= 2
