import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.core.layers import (
    InstanceNormalization,
    LinearOutput,
    ReflectionPadding2D,
    ResizeConvolution2D,
    TransposedConvolution2D,
    convolution,
    residual_block,
)

pytestmark = pytest.mark.stack


def numpy_instance_norm(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    mean = x.mean(axis=(1, 2), keepdims=True)
    variance = x.var(axis=(1, 2), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


@pytest.mark.parametrize("mean,scale", [(0.0, 1.0), (3.0, 0.1), (0.0, 1e-3)])
def test_instance_norm_equals_numpy(mean, scale):
    x = np.random.default_rng(0).normal(mean, scale, (2, 9, 7, 5)).astype(np.float32)
    y = InstanceNormalization()(tf.constant(x)).numpy()
    np.testing.assert_allclose(y, numpy_instance_norm(x), atol=2e-4)


def test_instance_norm_equals_group_normalization_to_the_bit():
    x = np.random.default_rng(1).normal(2, 5, (3, 8, 6, 4)).astype(np.float32)
    group_norm = keras.layers.GroupNormalization(
        groups=-1, epsilon=1e-5, scale=False, center=False
    )
    np.testing.assert_array_equal(InstanceNormalization()(x), group_norm(x))


def test_instance_norm_has_no_weights_and_no_tensor_above_rank_4():
    layer = InstanceNormalization()
    x = tf.zeros((1, 4, 4, 2))
    graph = tf.function(layer).get_concrete_function(x).graph
    assert not layer.weights
    ranks = [t.shape.rank for op in graph.get_operations() for t in op.outputs]
    assert max(ranks) == 4


def test_reflection_padding_equals_numpy():
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    expected = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(ReflectionPadding2D(3)(x), expected)


@pytest.mark.parametrize(
    "layer",
    [
        ReflectionPadding2D(2, name="pad"),
        InstanceNormalization(1e-3, name="n"),
        ResizeConvolution2D(5, use_bias=True, name="up"),
        LinearOutput(name="last"),
    ],
)
def test_layer_is_rebuilt_from_its_config(layer):
    rebuilt = type(layer).from_config(layer.get_config())
    assert rebuilt.get_config() == layer.get_config()


def set_kernel(model, kernel):
    (layer,) = [x for x in model.layers if x.weights]
    layer.set_weights([kernel.astype(np.float32)])


def test_strided_convolution_pads_one_pixel_on_all_sides():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(
        inputs, convolution(inputs, 1, 3, "conv", strides=2, zero_padding=1)
    )
    kernel = np.arange(1, 10, dtype=float).reshape(3, 3, 1, 1)
    set_kernel(model, kernel)
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    padded = np.pad(x[0, :, :, 0], 1)
    expected = [
        [(padded[i : i + 3, j : j + 3] * kernel[..., 0, 0]).sum() for j in (0, 2)]
        for i in (0, 2)
    ]
    np.testing.assert_allclose(model(x)[0, :, :, 0], expected)


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_transposed_convolution_scatters_as_the_official_one(kernel_size):
    inputs = keras.Input((None, None, 1))
    layer = TransposedConvolution2D(1, kernel_size, name="conv")
    model = keras.Model(inputs, layer(inputs))
    random = np.random.default_rng(0)
    kernel = random.normal(size=(kernel_size, kernel_size, 1, 1))
    set_kernel(model, kernel)
    x = random.normal(size=(1, 3, 2, 1)).astype(np.float32)
    # Pixel (i, j) of the input adds the kernel at (2i - 1, 2j - 1) of the output.
    full = np.zeros((2 * 3 + kernel_size, 2 * 2 + kernel_size))
    for i in range(3):
        for j in range(2):
            window = full[2 * i : 2 * i + kernel_size, 2 * j : 2 * j + kernel_size]
            window += x[0, i, j, 0] * kernel[:, :, 0, 0]
    expected = full[1 : 1 + 6, 1 : 1 + 4]
    np.testing.assert_allclose(model(x)[0, :, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize("use_bias", [False, True])
def test_resize_convolution_is_nearest_neighbour_then_a_convolution(use_bias):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 3, 4)).astype(np.float32)
    layer = ResizeConvolution2D(6, use_bias)
    layer.build(x.shape)
    weights = [random.normal(size=w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    expected = tf.nn.conv2d(
        x.repeat(2, axis=1).repeat(2, axis=2), weights[0], 1, "SAME"
    )
    if use_bias:
        expected += weights[1].astype(np.float32)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_resize_convolution_of_one_colour_has_no_checkerboard():
    inner = ResizeConvolution2D(2)(tf.ones((1, 6, 6, 3)))[0, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, np.broadcast_to(inner[0, 0], inner.shape), 1e-5)


def test_linear_output_is_cut_except_in_training():
    x = tf.constant([-3.0, -1.0, 0.25, 1.5])
    np.testing.assert_array_equal(LinearOutput()(x, training=True), x)
    np.testing.assert_array_equal(LinearOutput()(x), [-1.0, -1.0, 0.25, 1.0])


def test_residual_block_adds_its_input_without_an_activation():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, residual_block(inputs, "block"))
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 4)).astype(np.float32)
    kernels = model.get_weights()
    model.set_weights([kernels[0], np.zeros_like(kernels[1])])
    np.testing.assert_array_equal(model(x), x)
    model.set_weights(kernels)
    branch = model(x) - x
    np.testing.assert_allclose(np.mean(branch, axis=(1, 2)), 0, atol=1e-5)
    assert np.min(model(x)) < 0


def test_weights_start_normal_with_standard_deviation_of_0_02():
    inputs = keras.Input((None, None, 64))
    x = convolution(inputs, 64, 7, "conv", use_bias=True)
    model = keras.Model(inputs, TransposedConvolution2D(64, 3, name="up")(x))
    kernel, bias, up = model.get_weights()
    for values in (kernel, up):
        assert abs(values.mean()) < 5e-4
        assert values.std() == pytest.approx(0.02, rel=0.02)
        assert np.abs(values).max() > 0.06  # not truncated at two deviations
    assert not bias.any()
