import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from helpers import tflite_samples as samples

from cyclegan_tf.compat import path_of
from cyclegan_tf.core import generators
from cyclegan_tf.core.layers import (
    LinearOutput,
    ReflectionPadding2D,
    instance_normalization,
    is_instance_normalization,
)
from cyclegan_tf.deploy.conversion import lean_generator, portable_generator

SIZES = [(8, 8), (24, 40), (64, 16)]

# Runs in a process that has Keras and NumPy only: argv are folders.
LOADER = """
import importlib.util, pathlib, sys
import keras, numpy as np
for folder in map(pathlib.Path, sys.argv[1:]):
    model = keras.models.load_model(folder / "g.keras")
    with np.load(folder / "images.npz") as images:
        outputs = {name: np.asarray(model(images[name])) for name in images}
    np.savez(folder / "outputs.npz", **outputs)
assert importlib.util.find_spec("cyclegan_tf") is None
assert not [name for name in sys.modules if name.startswith("cyclegan_tf")]
"""


every_network = pytest.mark.parametrize("network", samples.MULTIPLES)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By network: a folder with its Keras file."""
    folders = {name: tmp_path_factory.mktemp(name) for name in samples.MULTIPLES}
    for name, folder in folders.items():
        portable_generator(samples.generator(name)).save(folder / "g.keras")
    return folders


@pytest.mark.slow
@pytest.mark.stack
def test_file_gives_the_same_in_a_process_that_knows_keras_only(
    files, tmp_path, random_images
):
    images = {str(size): random_images(2, *size, 3).numpy() for size in SIZES}
    for folder in files.values():
        np.savez(folder / "images.npz", **images)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        # -I: neither the working folder nor PYTHONPATH is looked at.
        [sys.executable, "-I", "-c", LOADER, *map(str, files.values())],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for network, folder in files.items():
        generator = samples.generator(network)
        outputs = dict(np.load(folder / "outputs.npz"))
        assert outputs.keys() == images.keys()
        for name, made in outputs.items():
            expected = generator(images[name])
            np.testing.assert_allclose(
                made, expected, rtol=0, atol=1e-6, err_msg=f"{network} {name}"
            )


@pytest.mark.stack
@every_network
def test_portable_generator_is_its_generator_and_shares_no_weight(
    network, random_images
):
    generator = samples.generator(network)
    copy = portable_generator(generator)
    assert copy.name == generator.name
    assert copy.input_shape == generator.input_shape == (None, None, None, 3)
    assert copy.output_shape == generator.output_shape
    for size in SIZES:
        images = random_images(2, *size, 3)
        np.testing.assert_allclose(copy(images), generator(images), rtol=0, atol=1e-6)
    assert list(map(path_of, copy.variables)) == list(map(path_of, generator.variables))
    # A resize convolution's kernel is that of the transposed one, as in TFLite files.
    expected = generator if network != "skip" else lean_generator(generator)
    for ours, theirs in zip(copy.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert copy.count_params() == expected.count_params() > 0
    before = generator.get_weights()
    for variable in copy.variables:
        variable.assign_add(np.ones(variable.shape))
    for after, kept in zip(generator.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, kept)


@pytest.mark.stack
@every_network
def test_every_layer_but_padding_and_skip_has_its_name(network):
    copy, norms = portable_generator(samples.generator(network)), 0
    names = {layer.name for layer in copy.layers}
    for layer in samples.generator(network).layers[1:]:
        replaced = isinstance(layer, ReflectionPadding2D | LinearOutput)
        assert replaced or layer.name in names
        if is_instance_normalization(layer):
            norms += 1
            kind = type(copy.get_layer(layer.name))
            assert kind is keras.layers.GroupNormalization
    assert norms == {"resnet": 7, "unet": 3, "skip": 7}[network]


@pytest.mark.stack
def test_no_class_of_ours_is_in_the_file(files):
    for network, folder in files.items():
        with zipfile.ZipFile(folder / "g.keras") as archive:
            config = archive.read("config.json").decode()
        assert "cyclegan_tf" not in config, network
        modules = set(_values_of("module", json.loads(config))) - {None}
        assert modules
        assert all(module.partition(".")[0] == "keras" for module in modules)


def _values_of(key: str, config) -> list:
    """All values of a key in nested dictionaries and lists."""
    if isinstance(config, list):
        return [value for item in config for value in _values_of(key, item)]
    if not isinstance(config, dict):
        return []
    found = [config[key]] if key in config else []
    return found + [v for item in config.values() for v in _values_of(key, item)]


@pytest.mark.stack
def test_epsilon_and_padding_are_those_of_the_layers(random_images):
    inputs = keras.Input((None, None, 3))
    padded = ReflectionPadding2D(2, name="pad")(inputs)
    outputs = instance_normalization("norm", 0.5)(padded)
    images = random_images(2, 5, 7, 3)
    made = portable_generator(keras.Model(inputs, outputs))(images)
    sides = [(0, 0), (2, 2), (2, 2), (0, 0)]
    expected = np.pad(images, sides, mode="reflect")
    centred = expected - expected.mean(axis=(1, 2), keepdims=True)
    expected = centred / np.sqrt(expected.var(axis=(1, 2), keepdims=True) + 0.5)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_file_takes_four_bytes_a_parameter_and_little_more(tmp_path):
    generator = generators.resnet(num_filters=16, num_blocks=2)
    portable_generator(generator).save(tmp_path / "g.keras")
    weights = 4 * generator.count_params()
    assert weights > 500_000
    assert weights < (tmp_path / "g.keras").stat().st_size < 1.15 * weights
