"""Names, shapes and weights of the official networks, and ours for them."""

import dataclasses
import math

import ml_dtypes
import numpy as np
import pytest

from cyclegan_tf.core.cyclegan import build_network
from cyclegan_tf.core.state import named_weights
from cyclegan_tf.pytorch.networks import (
    Architecture,
    config_architecture,
    state_dict_shapes,
    to_keras,
    to_pytorch,
)

# Shapes of kernels in the order of a state dict, by hand. Their first number is that of
# the biases too, but in transposed convolutions, which have it behind the shape.
DOWN = "model.model.1.model"
TABLES = {
    Architecture("resnet", 64, 2, dropout=True): {
        "model.1": (64, 3, 7, 7),
        "model.4": (128, 64, 3, 3),
        "model.7": (256, 128, 3, 3),
        "model.10.conv_block.1": (256, 256, 3, 3),
        "model.10.conv_block.6": (256, 256, 3, 3),
        "model.11.conv_block.1": (256, 256, 3, 3),
        "model.11.conv_block.6": (256, 256, 3, 3),
        "model.12": (256, 128, 3, 3, 128),
        "model.15": (128, 64, 3, 3, 64),
        "model.19": (3, 64, 7, 7),
    },
    Architecture("unet", 8, 5): {
        "model.model.0": (8, 3, 4, 4),
        f"{DOWN}.1": (16, 8, 4, 4),
        f"{DOWN}.3.model.1": (32, 16, 4, 4),
        f"{DOWN}.3.model.3.model.1": (64, 32, 4, 4),
        f"{DOWN}.3.model.3.model.3.model.1": (64, 64, 4, 4),
        f"{DOWN}.3.model.3.model.3.model.3": (64, 64, 4, 4, 64),
        f"{DOWN}.3.model.3.model.5": (128, 32, 4, 4, 32),
        f"{DOWN}.3.model.5": (64, 16, 4, 4, 16),
        f"{DOWN}.5": (32, 8, 4, 4, 8),
        "model.model.3": (16, 3, 4, 4, 3),
    },
    Architecture("patchgan", 64, 5): {
        "model.0": (64, 3, 4, 4),
        "model.2": (128, 64, 4, 4),
        "model.5": (256, 128, 4, 4),
        "model.8": (512, 256, 4, 4),
        "model.11": (512, 512, 4, 4),
        "model.14": (512, 512, 4, 4),
        "model.17": (1, 512, 4, 4),
    },
    Architecture("pixel", 64, 0, channels=1): {
        "net.0": (64, 1, 1, 1),
        "net.2": (128, 64, 1, 1),
        "net.5": (1, 128, 1, 1),
    },
}


def test_names_shapes_and_their_order_are_the_official_ones():
    for architecture, table in TABLES.items():
        expected = []
        for layer, kernel in table.items():
            bias = (kernel[4:] or kernel)[:1]
            expected += [(f"{layer}.weight", kernel[:4]), (f"{layer}.bias", bias)]
        assert list(state_dict_shapes(architecture).items()) == expected


def test_parameters_are_as_many_as_the_official_code_prints():
    for architecture, count in {
        Architecture("resnet", 64, 9): 11_378_179,
        Architecture("resnet", 64, 6): 7_837_699,
        Architecture("patchgan", 64, 3): 2_764_737,
        Architecture("unet", 64, 8): 54_409_603,
    }.items():
        assert sum(map(math.prod, state_dict_shapes(architecture).values())) == count


# --- Against our networks

# With the layers whose biases no norm cancels.
SMALL = {
    Architecture("resnet", 2, 0): {"model.17"},
    Architecture("resnet", 2, 1, dropout=True): {"model.18"},
    Architecture("unet", 1, 2): {"model.model.0", f"{DOWN}.1", "model.model.3"},
    Architecture("unet", 2, 5): {
        "model.model.0",
        f"{DOWN}.3.model.3.model.3.model.1",
        "model.model.3",
    },
    Architecture("patchgan", 3, 5): {"model.0", "model.17"},
    Architecture("pixel", 3, 0): {"net.0", "net.5"},
}


def numbers(shapes):
    """Arrays of any bits but those of NaN, with both zeros and the smallest."""
    random = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes.items():
        bits = random.integers(0, 2**32, shape, np.uint32)
        exponent = bits & 0x7F800000 != 0x7F800000
        arrays[name] = np.where(exponent, bits, bits & 0x80000001).view(np.float32)
    return arrays


def assert_same_bits(ours, theirs):
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype == np.float32, name
        assert array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.stack
@pytest.mark.parametrize("architecture", SMALL, ids=str)
def test_our_weights_are_those_of_our_network(architecture, tiny):
    is_generator = architecture.kind in ("resnet", "unet")
    name = "generator_f" if is_generator else "discriminator_y"
    config = tiny(image_size=128, load_size=0, **architecture.config_fields())
    assert config_architecture(config, name) == dataclasses.replace(
        architecture, dropout=False
    )
    network = build_network(config, name)
    shapes = {k: tuple(v.shape) for k, v in named_weights(network).items()}
    ours = to_keras(architecture, numbers(state_dict_shapes(architecture)))
    assert {name: array.shape for name, array in ours.items()} == shapes


@pytest.mark.parametrize("architecture", SMALL, ids=str)
def test_weights_come_back_but_for_biases_that_a_norm_cancels(architecture):
    theirs = numbers(state_dict_shapes(architecture))
    ours = to_keras(architecture, theirs)
    back = to_pytorch(architecture, ours)
    assert_same_bits(to_keras(architecture, back), ours)
    kept = {f"{layer}.bias" for layer in SMALL[architecture]}
    for name in theirs:
        if name.endswith(".bias") and name not in kept:
            theirs[name] = np.zeros_like(theirs[name])
    assert_same_bits(back, theirs)


def test_kernels_change_their_axes_only():
    architecture = Architecture("resnet", 2, 1)
    theirs = numbers(state_dict_shapes(architecture))
    ours = to_keras(architecture, theirs)
    for name, layer in {"first_conv": "model.1", "up_1_conv": "model.11"}.items():
        there, here = theirs[f"{layer}.weight"], ours[f"{name}_kernel"]
        for i, j, row, column in np.ndindex(there.shape):
            assert here[row, column, j, i] == there[i, j, row, column]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_other_floats_become_float32(dtype):
    architecture = Architecture("pixel", 2, 0)
    shapes = state_dict_shapes(architecture)
    random = np.random.default_rng(0)
    theirs = {k: random.normal(size=s).astype(dtype) for k, s in shapes.items()}
    rounded = {k: v.astype(np.float32) for k, v in theirs.items()}
    assert_same_bits(to_keras(architecture, theirs), to_keras(architecture, rounded))
