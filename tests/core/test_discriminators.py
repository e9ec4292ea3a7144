import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.contract import check_network

from cyclegan_tf.base_options import patchgan_size
from cyclegan_tf.config import Config
from cyclegan_tf.core.discriminators import (
    DISCRIMINATORS,
    patchgan,
    pixel,
    projected,
    spectral_norm,
)
from cyclegan_tf.core.layers import is_instance_normalization
from cyclegan_tf.training.presets import PRESETS

pytestmark = pytest.mark.stack


def test_contracts_of_discriminators(tmp_path):
    network = patchgan(num_filters=4, num_layers=2)
    check_network(network, [(32, 32), (24, 40), (31, 17)], tmp_path)
    check_network(pixel(num_filters=4), [(8, 8), (5, 9)], tmp_path)
    # One head alone is a network on images.
    check_network(projected([3], num_filters=4), [(8, 8), (5, 9), (1, 1)], tmp_path)


@pytest.mark.parametrize("shape", [(27, 8), (8, 27), (27, 1), (5, 5)])
def test_spectral_norm_is_the_largest_singular_value(shape):
    for seed in range(3):
        matrix = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        largest = np.linalg.svd(matrix, compute_uv=False)[0]
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(matrix))
            norm = spectral_norm(x)
        assert float(norm) == pytest.approx(largest, rel=0.02)
        u, _, v = np.linalg.svd(matrix, full_matrices=False)
        slope = tape.gradient(norm, x).numpy()
        # Its slope is the product of the first singular vectors.
        assert np.sum(slope * np.outer(u[:, 0], v[0])) == pytest.approx(1, abs=0.05)


def test_projected_heads_mix_at_random_and_divide_by_spectral_norms():
    heads = projected([6, 10], num_filters=8)
    x = [tf.random.stateless_normal((2, 8, 8, 6), (0, 1))]
    x += [tf.random.stateless_normal((2, 4, 4, 10), (0, 2))]
    shapes = [tuple(w.shape) for w in heads.trainable_variables]
    assert sorted(shapes) == sorted([(3, 3, 8, 8), (8,), (3, 3, 8, 1), (1,)] * 2)
    logits = heads(x, training=True)
    assert [map_.shape for map_ in logits] == [(2, 8, 8, 1), (2, 4, 4, 1)]
    for i, (inputs, found) in enumerate(zip(x, logits, strict=True), start=1):
        mix, first, last = (
            heads.get_layer(f"{name}_{i}").get_weights()
            for name in ("mix", "conv", "logits")
        )
        y = tf.nn.conv2d(inputs, mix[0], 1, "SAME")
        for kernel, bias in (first, last):
            y = tf.where(y > 0, y, 0.2 * y) if kernel is last[0] else y
            norm = spectral_norm(tf.reshape(kernel, [-1, kernel.shape[-1]]))
            y = tf.nn.conv2d(y, kernel / norm, 1, "SAME") + bias
        np.testing.assert_allclose(found, y, atol=1e-5)
    scaled = heads.get_layer("conv_1")
    scaled.set_weights([5 * scaled.get_weights()[0], scaled.get_weights()[1]])
    np.testing.assert_allclose(heads(x)[0], logits[0], atol=1e-5)


def test_contracts_cover_every_discriminator():
    assert set(DISCRIMINATORS) == {"patchgan", "pixel", "projected"}
    assert Config.__dataclass_fields__["discriminator"].metadata["choices"] == tuple(
        DISCRIMINATORS
    )


PARAMETERS = {
    "horse2zebra": 2_764_737 - (128 + 256 + 512),
    "unet": 2_764_737 - (128 + 256 + 512),
    "horse2zebra64": 662_593,
    "tiny": 3_013,
    "shapes64": 693_793,
    "quick": 181_764,
    "quick256": 181_764,
    "demo": 167_457,
    "limits": 167_457,
}


@pytest.mark.parametrize(
    "preset", [name for name, preset in PRESETS.items() if preset.options is Config]
)
def test_parameter_count_of_preset(preset):
    config = PRESETS[preset].config
    network = DISCRIMINATORS[config.discriminator](config, "discriminator")
    assert network.count_params() == PARAMETERS[preset]


def test_patchgan_gives_30x30_logits_at_256():
    assert patchgan()(tf.zeros((1, 256, 256, 3))).shape == (1, 30, 30, 1)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [64, 96, 100])
def test_patchgan_size_is_the_size_of_its_logits(num_layers, size):
    expected = patchgan_size(size, num_layers)
    if expected > 0:
        network = patchgan(num_filters=1, num_layers=num_layers)
        logits = network(tf.zeros((1, size, size, 3)))
        assert logits.shape == (1, expected, expected, 1)


@pytest.mark.parametrize("num_layers,field", [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field_by_gradient(num_layers, field):
    # Without norms, whose statistics couple all pixels, with positive weights, so that
    # no gradient cancels.
    network = patchgan(num_filters=2, num_layers=num_layers)
    network.set_weights([np.full_like(w, 0.1) for w in network.get_weights()])
    size = 2 * field + 32
    x = tf.ones((1, size, size, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x
        for layer in network.layers[1:]:
            y = y if is_instance_normalization(layer) else layer(y)
        middle = y[0, y.shape[1] // 2, y.shape[2] // 2, 0]
    touched = np.abs(tape.gradient(middle, x)[0]).sum(axis=-1) > 0
    rows, columns = np.flatnonzero(touched.any(1)), np.flatnonzero(touched.any(0))
    assert rows[-1] - rows[0] + 1 == field
    assert columns[-1] - columns[0] + 1 == field
    assert touched.sum() == field * field


def test_pixel_discriminator_sees_one_pixel():
    network = pixel(num_filters=2)
    assert {layer.kernel_size for layer in network.layers if layer.weights} == {(1, 1)}


@pytest.mark.parametrize(("build", "last"), [(patchgan, 4), (pixel, 2)])
def test_norms_take_mean_and_variance_of_a_channel(build, last):
    x = tf.random.stateless_uniform((2, 64, 48, 3), (0, 1), -1, 1)
    network = build(num_filters=8)
    names = [x.name for x in network.layers if x.name.startswith("norm_")]
    assert names == [f"norm_{i}" for i in range(2, last + 1)]
    layers = [network.get_layer(f"{kind}_{last}") for kind in ("conv", "norm")]
    tensors = [layer.output for layer in layers]
    before, after = (t.numpy() for t in keras.Model(network.input, tensors)(x))
    mean = before.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt(before.var(axis=(1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(after, (before - mean) / deviation, atol=1e-4)


def test_discriminators_give_logits_not_probabilities():
    x = tf.random.stateless_uniform((2, 64, 64, 3), (0, 1), -1, 1)
    for network in (patchgan(num_filters=8), pixel(num_filters=8)):
        logits = network.get_layer("logits")
        kernel, bias = logits.get_weights()
        for shift in (-100, 100):
            logits.set_weights([kernel, bias + shift])
            np.testing.assert_allclose(np.mean(network(x)), shift, atol=5)
