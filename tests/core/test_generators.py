import numpy as np
import pytest
import tensorflow as tf
from helpers.contract import check_network

from cyclegan_tf.config import Config
from cyclegan_tf.core.generators import GENERATORS, resnet, unet
from cyclegan_tf.core.layers import is_instance_normalization
from cyclegan_tf.training.presets import PRESETS

pytestmark = pytest.mark.stack

# Biases before a norm do nothing: the official networks have them, ours do not.
RESNET9_CANCELLED = 64 + 128 + 256 + 9 * 2 * 256 + 128 + 64
# The kernel by which the last convolution sees the input.
SKIP = 7 * 7 * 3 * 3


def test_contract_of_resnet(tmp_path):
    network = resnet(num_filters=4, num_blocks=2)
    check_network(network, [(8, 8), (16, 28), (32, 20)], tmp_path)


def test_contract_of_unet(tmp_path):
    network = unet(num_filters=4, num_downs=3)
    check_network(network, [(8, 8), (24, 16), (16, 40)], tmp_path)


SOONER = {"input_skip": True, "output_activation": "linear", "upsampling": "resize"}


@pytest.mark.parametrize("generator", GENERATORS)
def test_contract_with_a_skip_and_resizing(generator, tiny, tmp_path):
    config = tiny(generator=generator, **SOONER)
    network = GENERATORS[generator](config, "generator")
    check_network(network, [(32, 32), (64, 32)], tmp_path)
    names = {layer.name: type(layer).__name__ for layer in network.layers}
    assert names["last_linear"] == "LinearOutput" and "last_tanh" not in names
    assert names["up_1_conv"] == "ResizeConvolution2D"


@pytest.mark.parametrize("generator", GENERATORS)
def test_last_convolution_that_sees_the_input_can_copy_it(generator, tiny):
    network = GENERATORS[generator](tiny(**SOONER), "generator")
    x = tf.random.stateless_uniform((1, 32, 32, 3), (0, 1), -1, 1)
    last, skip = network.get_layer("last_conv"), network.get_layer("skip_conv")
    last.set_weights([0 * w for w in last.get_weights()])
    kernel = np.zeros((7, 7, 3, 3), np.float32)
    kernel[3, 3] = np.eye(3)
    skip.set_weights([kernel])
    np.testing.assert_allclose(network(x), x, atol=1e-6)
    # Twice the input leaves the range: in training it stays, in pictures it is cut.
    skip.set_weights([2 * kernel])
    np.testing.assert_allclose(network(x, training=True), 2 * x, atol=1e-6)
    np.testing.assert_allclose(network(x), np.clip(2 * x, -1, 1), atol=1e-6)


def test_contracts_cover_every_generator():
    assert set(GENERATORS) == {"resnet", "unet"}
    assert Config.__dataclass_fields__["generator"].metadata["choices"] == tuple(
        GENERATORS
    )


PARAMETERS = {
    "horse2zebra": 11_378_179 - RESNET9_CANCELLED,
    "unet": 54_409_603 - 4_928,
    "horse2zebra64": 1_963_203,
    "tiny": 8_667,
    "shapes64": 774_291,
    "quick": 1_106_067 + SKIP,
    "quick256": 11_378_179 - RESNET9_CANCELLED + SKIP,
    "demo": 345_699 + SKIP,
    "limits": 345_699,
}


@pytest.mark.parametrize(
    "preset", [name for name, preset in PRESETS.items() if preset.options is Config]
)
def test_parameter_count_of_preset(preset):
    config = PRESETS[preset].config
    network = GENERATORS[config.generator](config, "generator")
    assert network.count_params() == PARAMETERS[preset]


@pytest.mark.parametrize(
    "num_downs,official",
    [(7, 41_825_667), pytest.param(8, 54_409_603, marks=pytest.mark.slow)],
)
def test_unet_has_the_official_parameters_less_cancelled_biases(num_downs, official):
    widths = [64, 128, 256] + [512] * (num_downs - 3)
    cancelled = sum(widths[1:-1]) + sum(widths[:-1])
    assert unet(num_downs=num_downs).count_params() == official - cancelled


def test_unet_has_no_norm_where_it_would_make_a_constant():
    network = unet(num_filters=2, num_downs=4)
    norms = {x.name for x in network.layers if is_instance_normalization(x)}
    assert norms == {
        "down_2_norm",
        "down_3_norm",
        "up_1_norm",
        "up_2_norm",
        "up_3_norm",
    }


def test_unet_bottleneck_carries_information_at_one_pixel():
    network = unet(num_filters=4, num_downs=4)
    kernels = network.get_layer("down_4_conv")
    x = tf.random.stateless_uniform((1, 16, 16, 3), (0, 1), -1, 1)
    before = network(x)
    kernels.set_weights([2 * w for w in kernels.get_weights()])
    # Its output is 1x1, so the next norm sees 2x2 pixels, of one source value.
    assert network.get_layer("down_4_conv").output.shape[-1] == 32
    assert np.abs(network(x) - before).max() > 0


@pytest.mark.parametrize("name", GENERATORS)
def test_generator_keeps_the_shape_and_ends_in_tanh(name, tiny):
    network = GENERATORS[name](tiny(), "generator")
    last = network.get_layer("last_conv")
    last.set_weights([1e3 * w for w in last.get_weights()])
    x = tf.random.stateless_uniform((1, 32, 64, 3), (0, 1), -1, 1)
    y = network(x)
    assert y.shape == x.shape
    assert np.abs(y).max() == pytest.approx(1.0)


def test_resnet_has_two_halvings_and_nine_blocks():
    network = resnet()
    names = [layer.name for layer in network.layers]
    assert sum(name.endswith("_add") for name in names) == 9
    assert network.get_layer("block_9_conv_2").kernel.shape == (3, 3, 256, 256)
    assert network.get_layer("first_conv").kernel.shape == (7, 7, 3, 64)
    assert network.get_layer("last_conv").kernel.shape == (7, 7, 64, 3)
    assert [x.name for x in network.layers if getattr(x, "use_bias", False)] == [
        "last_conv"
    ]
