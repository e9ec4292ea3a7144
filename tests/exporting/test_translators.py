"""Runs, SavedModels and TFLite files against their generator, called directly."""

import gc
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.translations import assert_near, direct, picture
from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.exporting import translators
from cyclegan_tf.exporting.saved_model import write_saved_model
from cyclegan_tf.exporting.tflite import convert
from cyclegan_tf.exporting.translators import fit, of_model, of_run, shrunk
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.run_directory import save_config
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.validation import UserError

SIZES = [(32, 32), (3, 50), (33, 47), (7, 8), (61, 5), (2, 1)]
FIXED = (24, 40)


def lively(model):
    """Larger weights: other weights or other pixels then make another picture."""
    for generator in (model.generator_g, model.generator_f):
        for variable in generator.trainable_variables:
            variable.assign(4 * variable)
    return model


def saved_run(folder, **fields):
    keras.utils.set_random_seed(1)
    values = {**PRESETS["tiny"].values, "run_dir": str(folder), **fields}
    model = lively(CycleGAN(Config(**values), 10))
    save_config(model.config)
    Checkpoints(model.state(), folder).save(1)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    """A CycleGAN, saved as the run `run`."""
    (folder / "run").mkdir()
    return saved_run(folder / "run")


@pytest.fixture(scope="module")
def saved_model(model, folder):
    path = folder / "g"
    write_saved_model(model.generator_g, 4, path / "3", 10**6)
    return path / "3"


@pytest.fixture(scope="module")
def tflite_file(model, folder):
    """Makes a TFLite file of generator_g, of a size or of any size."""

    def make(size, kind="float32"):
        path = folder / f"{kind}_{size}.tflite"
        if not path.exists():
            path.write_bytes(convert(model.generator_g, 4, kind, size))
        return path

    return make


# --- Runs


def test_generators_and_pictures_of_these_tests_differ(model):
    one, other = picture(32, 32), picture(32, 32, seed=1)
    made = direct(model.generator_g, one).astype(int)
    assert np.abs(made - direct(model.generator_f, one)).mean() > 20
    assert np.abs(made - direct(model.generator_g, other)).mean() > 20
    assert np.abs(made - one).mean() > 20


@pytest.mark.parametrize("name", ["generator_g", "generator_f"])
@pytest.mark.parametrize("size", SIZES)
def test_run_translates_as_its_generator_does(model, size, name):
    translator = of_run(model.config.run_dir, name)
    made = translator(picture(*size)[np.newaxis])
    assert len(made) == 1
    assert_near(made[0], direct(model.networks[name], picture(*size)))


def test_batch_is_translated_as_its_pictures_are(model):
    translator = of_run(model.config.run_dir, "generator_g")
    pictures = np.stack([picture(33, 47, seed) for seed in range(3)])
    together = translator(pictures)
    for pixels, made in zip(pictures, together, strict=True):
        assert_near(made, translator(pixels[np.newaxis])[0])
        assert_near(made, direct(model.generator_g, pixels))


def test_unet_run_gets_the_multiple_it_needs(tmp_path):
    model = saved_run(tmp_path, generator="unet")
    assert model.config.size_multiple == 32
    made = of_run(tmp_path, "generator_g")(picture(33, 47)[np.newaxis])[0]
    assert_near(made, direct(model.generator_g, picture(33, 47), multiple=32))


def test_one_graph_serves_all_sizes(model, monkeypatch):
    calls = []
    monkeypatch.setattr(
        translators, "translate", lambda g, images, m: calls.append(1) or images
    )
    translator = of_run(model.config.run_dir, "generator_g")
    for size in SIZES:
        pixels = picture(*size)[np.newaxis]
        np.testing.assert_array_equal(translator(pixels), pixels)
    assert len(calls) == 1


def test_missing_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="No configuration at .*run/config.json"):
        of_run(tmp_path / "run", "generator_g")


# --- SavedModels


@pytest.mark.parametrize("size", SIZES)
def test_saved_model_translates_as_its_generator_does(saved_model, model, size):
    translator = of_model(saved_model)
    gc.collect()  # The variables must not go with the loaded object.
    pictures = np.stack([picture(*size), picture(*size, seed=1)])
    for pixels, made in zip(pictures, translator(pictures), strict=True):
        assert_near(made, direct(model.generator_g, pixels))


def test_newest_version_is_the_highest_number(model, saved_model, tmp_path):
    shutil.copytree(saved_model, tmp_path / "9")
    write_saved_model(model.generator_f, 4, tmp_path / "10", 10**6)
    shutil.copytree(saved_model, tmp_path / "x11")
    (tmp_path / "12" / "variables").mkdir(parents=True)
    pixels = picture(8, 9)
    made = of_model(tmp_path)(pixels[np.newaxis])[0]
    assert_near(made, direct(model.generator_f, pixels))
    made = of_model(tmp_path / "9")(pixels[np.newaxis])[0]
    assert_near(made, direct(model.generator_g, pixels))


DATA = "variables/variables.data-00000-of-00001"
INDEX = "variables/variables.index"


@pytest.mark.parametrize("damage", ["empty", "half", "gone", "garbage"])
@pytest.mark.parametrize("part", ["saved_model.pb", DATA, INDEX])
def test_damaged_saved_model_is_told_in_one_line(saved_model, tmp_path, part, damage):
    shutil.copytree(saved_model, tmp_path / "1")
    path = tmp_path / "1" / part
    content = path.read_bytes()
    replacement = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "garbage": b"x" * len(content),
    }
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(replacement[damage])
    with pytest.raises(UserError, match="can't be used: .|holds no SavedModel") as told:
        of_model(tmp_path / "1")
    assert "\n" not in str(told.value)
    assert str(tmp_path / "1") in str(told.value)


def save_other(folder, signature, name="images", rank=4):
    spec = tf.TensorSpec([None] * (rank - 1) + [3], tf.float32, name=name)
    function = tf.function(lambda x: {"images": x}, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(folder), signatures={signature: function})


def test_saved_model_without_our_signature_is_refused(tmp_path):
    save_other(tmp_path, "serving_default")
    with pytest.raises(UserError, match="has no signature `translate_float`"):
        of_model(tmp_path)


@pytest.mark.parametrize("other", [{"name": "x"}, {"rank": 2}])
def test_signature_on_something_else_is_refused(tmp_path, other):
    save_other(tmp_path, "translate_float", **other)
    with pytest.raises(UserError, match="can't be used: .") as told:
        of_model(tmp_path)
    assert "\n" not in str(told.value)


# --- What is no model


def test_what_is_no_model_is_refused(tmp_path):
    for name in ("model.h5", "model.keras"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.tflite").mkdir()
    for name, told in [
        ("missing", "No such model: .*/missing"),
        ("missing.tflite", "No such model: .*/missing.tflite"),
        ("model.h5", "model.h5 is neither a .tflite or .keras file nor a SavedModel's"),
        ("model.keras", "model.keras can't be used: "),
        ("folder.tflite", "folder.tflite holds no SavedModel"),
    ]:
        with pytest.raises(UserError, match=told):
            of_model(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"x" * 1000])
def test_file_that_is_no_tflite_file_is_refused(tmp_path, content):
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(UserError, match="is no TFLite file that runs here") as told:
        of_model(tmp_path / "a.tflite")
    assert "\n" not in str(told.value)


# --- TFLite files


@pytest.mark.parametrize("size", SIZES)
def test_tflite_of_any_size_translates_as_its_generator_does(tflite_file, model, size):
    translator = of_model(tflite_file(None))
    pictures = np.stack([picture(*size), picture(*size, seed=1)])
    for pixels, made in zip(pictures, translator(pictures), strict=True):
        assert_near(made, direct(model.generator_g, pixels))


def test_tflite_of_one_size_translates_it_as_its_generator_does(tflite_file, model):
    translator = of_model(tflite_file(FIXED))
    pictures = np.stack([picture(*FIXED), picture(*FIXED, seed=1)])
    for pixels, made in zip(pictures, translator(pictures), strict=True):
        assert_near(made, direct(model.generator_g, pixels))


@pytest.mark.parametrize(
    "size, fitted",
    [
        ((24, 30), (24, 30)),  # Only filled.
        ((48, 60), (24, 30)),
        ((12, 15), (24, 30)),
        ((33, 47), (24, 34)),
        ((20, 100), (8, 40)),
        ((2, 2), (24, 24)),
        ((3, 50), (2, 40)),
        ((500, 2), (24, 1)),
    ],
)
def test_tflite_of_one_size_fits_others_in_and_mirrors(
    tflite_file, model, size, fitted
):
    pixels = picture(*size)
    bicubic = Image.Resampling.BICUBIC
    inner = np.asarray(Image.fromarray(pixels).resize(fitted[::-1], bicubic))
    below, right = FIXED[0] - fitted[0], FIXED[1] - fitted[1]
    filled = np.pad(inner, ((0, below), (0, right), (0, 0)), mode="reflect")
    assert filled.shape == (*FIXED, 3)
    made = direct(model.generator_g, filled)[: fitted[0], : fitted[1]]
    expected = np.asarray(Image.fromarray(made).resize(size[::-1], bicubic))
    ours = of_model(tflite_file(FIXED))(pixels[np.newaxis])
    assert len(ours) == 1
    # Pillow's filter may add up two levels that were rounded otherwise.
    assert_near(ours[0], expected, levels=2)


def test_tflite_that_takes_pixels_gets_pixels(tflite_file, model):
    translator = of_model(tflite_file(None, "dynamic_int8"))
    pixels = picture(33, 47)
    made = translator(pixels[np.newaxis])[0]
    difference = np.abs(made.astype(int) - direct(model.generator_g, pixels))
    # Eight bits a weight; a picture in another range would be far off.
    assert difference.mean() < 8


def test_ending_tflite_counts_in_any_case(tflite_file, tmp_path):
    shutil.copy(tflite_file(FIXED), tmp_path / "a.TFLite")
    assert of_model(tmp_path / "a.TFLite")(picture(*FIXED)[np.newaxis]).any()


# --- One pixel


@pytest.mark.parametrize("kind", ["run", "saved_model", "tflite"])
def test_one_pixel_is_translated(model, tmp_path, monkeypatch, kind):
    # Without norms: they make anything of the rounding errors of a single colour.
    inputs = keras.Input((None, None, 3))
    generator = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
    if kind == "run":
        monkeypatch.setattr(translators, "load_network", lambda *_: generator)
        translator = of_run(model.config.run_dir, "generator_g")
    elif kind == "saved_model":
        write_saved_model(generator, 4, tmp_path / "1", 10**6)
        translator = of_model(tmp_path)
    else:
        (tmp_path / "a.tflite").write_bytes(convert(generator, 4, "float32", None))
        translator = of_model(tmp_path / "a.tflite")
    pixel = np.array([[[[10, 130, 250]]]], np.uint8)
    assert_near(translator(pixel)[0], direct(generator, pixel[0]))


# --- Sizes


@pytest.mark.parametrize(
    "size, box, expected",
    [
        ((10, 20), (5, 5), (2, 5)),
        ((20, 10), (5, 5), (5, 2)),
        ((30, 20), (15, 100), (15, 10)),
        ((3, 2), (300, 300), (300, 200)),
        ((1, 1000), (10, 10), (1, 10)),
        ((997, 991), (256, 256), (256, 254)),
        ((7, 7), (7, 7), (7, 7)),
    ],
)
def test_fit_keeps_proportions_within_the_box(size, box, expected):
    assert fit(size, box) == expected


def test_shrinking_is_free_of_aliases():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(shrunk(stripes, 16)[2:-2, 2:-2].astype(int) - 100).max() <= 2


@pytest.mark.parametrize(
    "size, max_side, expected",
    [
        ((30, 20), 0, (30, 20)),
        ((30, 20), 30, (30, 20)),
        ((30, 20), 100, (30, 20)),
        ((30, 20), 29, (29, 19)),
        ((20, 30), 15, (10, 15)),
        ((1, 300), 100, (1, 100)),
    ],
)
def test_only_longer_sides_are_shrunk(size, max_side, expected):
    pixels = picture(*size)
    ours = shrunk(pixels, max_side)
    assert ours.shape == (*expected, 3)
    bicubic = Image.fromarray(pixels).resize(expected[::-1], Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(ours, np.asarray(bicubic))
