"""SavedModels as a server loads them, against the Keras model on the same pictures.

A fresh process without this project runs them, through a session of TensorFlow 1 and
through the C API; files are moved first. Two generators, exported once.
"""

import io
import os
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.c_api import Failure
from helpers.encoded_pictures import encoded, noise
from helpers.load_as_server import LOADERS
from helpers.saved_model_cases import (
    FLOAT_TOLERANCE,
    GENERATORS,
    KINDS,
    assert_nearest,
    every_model,
    made,
    pixels_of,
    to_floats,
)
from PIL import Image

from cyclegan_tf import stacks
from cyclegan_tf.networks import generators

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9


# --- Pictures


ARRAYS = {
    "1x1": noise(1, 1)[None],
    "3x50": noise(3, 50)[None],
    "33x47": noise(33, 47)[None],
    "a multiple": noise(16, 24)[None],
    "a batch": np.stack([noise(13, 10, seed=i) for i in range(3)]),
}
BATCHES = {
    "of every kind": list(KINDS.values()),
    "of one": [KINDS["PNG"]],
    "of mixed sizes": [encoded(Image.fromarray(a[0]), "PNG") for a in ARRAYS.values()],
    "of the most pixels": [encoded(Image.fromarray(noise(50, 60)), "PNG")],
}
REFUSED = {
    "neither": [KINDS["PNG"], KINDS["JPEG"], b"text", KINDS["PNG"]],
    "damaged": [KINDS["PNG"], KINDS["JPEG"][:-20], KINDS["PNG"]],
    "too large": [encoded(Image.fromarray(noise(61, 50)), "PNG")],
}
REASONS = {
    "neither": r"image_bytes\[2\] is neither JPEG, PNG, BMP nor GIF",
    "damaged": r"image_bytes\[1\] .* damaged or cut off",
    "too large": r"image_bytes\[0\] has 50x61 pixels; the limit is 3000",
}


def calls() -> dict[tuple[str, str], object]:
    """What is asked of each model, by signature and a name."""
    return {
        **{("translate_float", k): to_floats(a) for k, a in ARRAYS.items()},
        **{("translate", k): a for k, a in ARRAYS.items()},
        **{("serving_default", k): b for k, b in REFUSED.items()},
        # After what was refused, in the same session.
        **{("serving_default", k): b for k, b in BATCHES.items()},
        ("serving_default", "empty"): [],
    }


# --- Exported once


@pytest.fixture(autouse=True)
def fixed_seed():
    """None here: drawing has its own seeds, and this one clears TensorFlow's caches."""


@pytest.fixture(scope="module")
def unservable(tmp_path_factory):
    """The SavedModel of a module that holds the Keras model, not its variables."""
    folder = tmp_path_factory.mktemp("unservable") / "1"
    generator, multiple = made("resnet")
    module = tf.Module()
    module.generator = generator
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
    signature = tf.function(
        lambda floats: {"images": generators.translate(generator, floats, multiple)},
        input_signature=[spec],
    )
    tf.saved_model.save(module, str(folder), signatures={"translate_float": signature})
    return folder


@pytest.fixture(scope="module")
def served(exported, unservable, tmp_path_factory):
    """What each loader makes of the calls: [loader][model][signature, name]."""
    asked = {name: (model.folder, calls()) for name, model in exported.items()}
    asked["unservable"] = (
        unservable,
        {
            call: value
            for call, value in calls().items()
            if call[0] == "translate_float"
        },
    )
    return {how: run_as_server(how, asked, tmp_path_factory) for how in LOADERS}


def run_as_server(how: str, asked, tmp_path_factory):
    folder = tmp_path_factory.mktemp(how)
    sent = {
        name: (str(path), [(signature, x) for (signature, _), x in values.items()])
        for name, (path, values) in asked.items()
    }
    (folder / "calls").write_bytes(pickle.dumps(sent))
    module = "helpers.load_as_server"
    subprocess.run(
        [sys.executable, "-m", module, how, folder / "calls", folder / "results"],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
        cwd=folder,
        check=True,
    )
    results = pickle.loads((folder / "results").read_bytes())
    return {
        name: dict(zip(values, results[name], strict=True))
        for name, (_, values) in asked.items()
    }


every_loader = pytest.mark.parametrize("how", LOADERS)


# --- What the server answers


@every_loader
@every_model
@pytest.mark.parametrize("pictures", ARRAYS)
def test_floats_equal_translate(served, exported, how, name, pictures):
    result = served[how][name]["translate_float", pictures]
    expected = exported[name].translated(ARRAYS[pictures])
    assert result.dtype == np.float32
    assert result.shape == ARRAYS[pictures].shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=FLOAT_TOLERANCE)


@every_loader
@every_model
@pytest.mark.parametrize("pictures", ARRAYS)
def test_pixels_are_the_nearest_to_translate(served, exported, how, name, pictures):
    result = served[how][name]["translate", pictures]
    assert result.dtype == np.uint8
    assert_nearest(result, exported[name].levels(ARRAYS[pictures]))


@every_loader
@every_model
@pytest.mark.parametrize("batch", BATCHES)
def test_bytes_become_pngs_of_the_levels_nearest_to_translate(
    served, exported, how, name, batch
):
    results = served[how][name]["serving_default", batch]
    assert len(results) == len(BATCHES[batch])
    for source, result in zip(BATCHES[batch], results, strict=True):
        with Image.open(io.BytesIO(result)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            pixels = np.asarray(image)
        (levels,) = exported[name].levels(pixels_of(source)[None])
        assert_nearest(pixels, levels)


def test_every_generator_is_served():
    assert set(GENERATORS) == {*generators.GENERATORS, "skip"}


def test_pictures_of_the_tests_use_the_range(exported):
    for model in exported.values():
        assert model.levels(ARRAYS["33x47"]).std() > 30


@every_model
@pytest.mark.parametrize("batch", BATCHES)
def test_loaders_give_the_same_png_bytes(served, name, batch):
    session, c_api = (served[how][name]["serving_default", batch] for how in LOADERS)
    assert session == c_api


@every_loader
@every_model
def test_empty_batch_gives_an_empty_batch(served, how, name):
    assert served[how][name]["serving_default", "empty"] == []


@every_loader
@every_model
@pytest.mark.parametrize("batch", REFUSED)
def test_refusal_is_an_invalid_argument_that_names_the_element(
    served, how, name, batch
):
    failure = served[how][name]["serving_default", batch]
    assert isinstance(failure, Failure)
    assert failure.code == INVALID_ARGUMENT
    assert re.search(REASONS[batch], failure.message)


@pytest.mark.skipif(
    stacks.addons() is not None,
    reason="a module may hold a model of Keras 2, whose variables are TensorFlow's",
)
@every_loader
def test_module_that_holds_the_keras_model_fails(served, how):
    # Loads in Python, not in the server: what `write_saved_model` must not do.
    for failure in served[how]["unservable"].values():
        assert isinstance(failure, Failure)
        assert failure.code == FAILED_PRECONDITION
        assert "Could not find variable" in failure.message
