"""Names and shapes of the official networks against tables written by hand."""

import math

import ml_dtypes
import numpy as np
import pytest

from cyclegan_tf.learning.state import named_weights
from cyclegan_tf.models.cyclegan import build_network
from cyclegan_tf.pytorch.networks import (
    NETWORKS,
    Architecture,
    of_config,
    state_dict_shapes,
    to_ours,
    to_theirs,
)

# Shape of each kernel and number of its biases, in the order of a state dict. Of a
# transposed convolution the kernel's second number is that of its biases.


def resnet_table(blocks, up_1, up_2, last, second_conv=5):
    """A ResNet of 64 filters with layers at these places."""
    block = ((256, 256, 3, 3), 256)
    return {
        "model.1": ((64, 3, 7, 7), 64),
        "model.4": ((128, 64, 3, 3), 128),
        "model.7": ((256, 128, 3, 3), 256),
        **{
            f"model.{i}.conv_block.{k}": block for i in blocks for k in (1, second_conv)
        },
        f"model.{up_1}": ((256, 128, 3, 3), 128),
        f"model.{up_2}": ((128, 64, 3, 3), 64),
        f"model.{last}": ((3, 64, 7, 7), 3),
    }


DOWN = "model.model.1.model"
UNET_256 = {
    "model.model.0": ((64, 3, 4, 4), 64),
    f"{DOWN}.1": ((128, 64, 4, 4), 128),
    f"{DOWN}.3.model.1": ((256, 128, 4, 4), 256),
    f"{DOWN}.3.model.3.model.1": ((512, 256, 4, 4), 512),
    f"{DOWN}.3.model.3.model.3.model.1": ((512, 512, 4, 4), 512),
    f"{DOWN}.3.model.3.model.3.model.3.model.1": ((512, 512, 4, 4), 512),
    f"{DOWN}.3.model.3.model.3.model.3.model.3.model.1": ((512, 512, 4, 4), 512),
    f"{DOWN}.3.model.3.model.3.model.3.model.3.model.3.model.1": (
        (512, 512, 4, 4),
        512,
    ),
    f"{DOWN}.3.model.3.model.3.model.3.model.3.model.3.model.3": (
        (512, 512, 4, 4),
        512,
    ),
    f"{DOWN}.3.model.3.model.3.model.3.model.3.model.5": ((1024, 512, 4, 4), 512),
    f"{DOWN}.3.model.3.model.3.model.3.model.5": ((1024, 512, 4, 4), 512),
    f"{DOWN}.3.model.3.model.3.model.5": ((1024, 512, 4, 4), 512),
    f"{DOWN}.3.model.3.model.5": ((1024, 256, 4, 4), 256),
    f"{DOWN}.3.model.5": ((512, 128, 4, 4), 128),
    f"{DOWN}.5": ((256, 64, 4, 4), 64),
    "model.model.3": ((128, 3, 4, 4), 3),
}
UNET_OF_5 = {
    "model.model.0": ((8, 3, 4, 4), 8),
    f"{DOWN}.1": ((16, 8, 4, 4), 16),
    f"{DOWN}.3.model.1": ((32, 16, 4, 4), 32),
    f"{DOWN}.3.model.3.model.1": ((64, 32, 4, 4), 64),
    f"{DOWN}.3.model.3.model.3.model.1": ((64, 64, 4, 4), 64),
    f"{DOWN}.3.model.3.model.3.model.3": ((64, 64, 4, 4), 64),
    f"{DOWN}.3.model.3.model.5": ((128, 32, 4, 4), 32),
    f"{DOWN}.3.model.5": ((64, 16, 4, 4), 16),
    f"{DOWN}.5": ((32, 8, 4, 4), 8),
    "model.model.3": ((16, 3, 4, 4), 3),
}
PATCHGAN_1 = {
    "model.0": ((64, 3, 4, 4), 64),
    "model.2": ((128, 64, 4, 4), 128),
    "model.5": ((1, 128, 4, 4), 1),
}
PATCHGAN_3 = {
    "model.0": ((64, 3, 4, 4), 64),
    "model.2": ((128, 64, 4, 4), 128),
    "model.5": ((256, 128, 4, 4), 256),
    "model.8": ((512, 256, 4, 4), 512),
    "model.11": ((1, 512, 4, 4), 1),
}
PATCHGAN_5 = {
    **{k: v for k, v in PATCHGAN_3.items() if k != "model.11"},
    "model.11": ((512, 512, 4, 4), 512),
    "model.14": ((512, 512, 4, 4), 512),
    "model.17": ((1, 512, 4, 4), 1),
}
GREY_PIXEL = {
    "net.0": ((64, 1, 1, 1), 64),
    "net.2": ((128, 64, 1, 1), 128),
    "net.5": ((1, 128, 1, 1), 1),
}

RESNET_9 = Architecture("resnet", 64, 9)
RESNET_6 = Architecture("resnet", 64, 6)
TABLES = {
    RESNET_9: resnet_table(range(10, 19), 19, 22, 26),
    RESNET_6: resnet_table(range(10, 16), 16, 19, 23),
    Architecture("resnet", 64, 0): resnet_table([], 10, 13, 17),
    Architecture("resnet", 64, 9, dropout=True): resnet_table(
        range(10, 19), 19, 22, 26, second_conv=6
    ),
    Architecture("unet", 64, 8): UNET_256,
    Architecture("unet", 8, 5): UNET_OF_5,
    Architecture("patchgan", 64, 1): PATCHGAN_1,
    Architecture("patchgan", 64, 3): PATCHGAN_3,
    Architecture("patchgan", 64, 5): PATCHGAN_5,
    Architecture("pixel", 64, 0, channels=1): GREY_PIXEL,
}
COUNTS = {
    RESNET_9: 11_378_179,
    RESNET_6: 7_837_699,
    Architecture("patchgan", 64, 3): 2_764_737,
    Architecture("unet", 64, 8): 54_409_603,
}


@pytest.mark.parametrize("architecture", TABLES, ids=str)
def test_names_shapes_and_their_order_are_the_official_ones(architecture):
    expected = []
    for layer, (kernel, num_biases) in TABLES[architecture].items():
        expected += [(f"{layer}.weight", kernel), (f"{layer}.bias", (num_biases,))]
    assert list(state_dict_shapes(architecture).items()) == expected


@pytest.mark.parametrize("architecture", COUNTS, ids=str)
def test_parameters_are_as_many_as_the_official_code_prints(architecture):
    shapes = state_dict_shapes(architecture).values()
    assert sum(map(math.prod, shapes)) == COUNTS[architecture]


def test_their_discriminator_a_judges_what_generator_a_makes():
    assert NETWORKS == {
        "G_A": "generator_g",
        "G_B": "generator_f",
        "D_A": "discriminator_y",
        "D_B": "discriminator_x",
    }


# --- Against our networks

# With the layers whose biases no norm cancels.
SMALL = {
    Architecture("resnet", 2, 0): {"model.17"},
    Architecture("resnet", 3, 2): {"model.19"},
    Architecture("resnet", 2, 1, dropout=True): {"model.18"},
    Architecture("unet", 1, 2): {"model.model.0", f"{DOWN}.1", "model.model.3"},
    Architecture("unet", 2, 5): {
        "model.model.0",
        f"{DOWN}.3.model.3.model.3.model.1",
        "model.model.3",
    },
    Architecture("patchgan", 2, 1): {"model.0", "model.5"},
    Architecture("patchgan", 3, 5): {"model.0", "model.17"},
    Architecture("pixel", 3, 0): {"net.0", "net.5"},
}


def name_of(architecture):
    generator = architecture.kind in ("resnet", "unet")
    return "generator_f" if generator else "discriminator_y"


def config_of(architecture, tiny):
    return tiny(image_size=128, load_size=0, **architecture.fields())


def numbers(shapes, seed=0):
    """Arrays of any bits but those of NaN, with both zeros and the smallest."""
    random = np.random.default_rng(seed)
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


@pytest.mark.parametrize("architecture", SMALL, ids=str)
def test_our_weights_have_the_names_and_shapes_of_our_network(architecture, tiny):
    network = build_network(config_of(architecture, tiny), name_of(architecture))
    shapes = {k: tuple(v.shape) for k, v in named_weights(network).items()}
    ours = to_ours(architecture, numbers(state_dict_shapes(architecture)))
    assert {name: array.shape for name, array in ours.items()} == shapes


@pytest.mark.parametrize("architecture", SMALL, ids=str)
def test_our_weights_come_back_to_the_bit(architecture):
    ours = to_ours(architecture, numbers(state_dict_shapes(architecture)))
    assert_same_bits(to_ours(architecture, to_theirs(architecture, ours)), ours)


@pytest.mark.parametrize("architecture", SMALL, ids=str)
def test_their_state_dict_comes_back_but_for_biases_that_a_norm_cancels(architecture):
    theirs = numbers(state_dict_shapes(architecture))
    back = to_theirs(architecture, to_ours(architecture, theirs))
    kept = {f"{layer}.bias" for layer in SMALL[architecture]}
    for name in theirs:
        if name.endswith(".bias") and name not in kept:
            theirs[name] = np.zeros_like(theirs[name])
    assert_same_bits(back, theirs)


@pytest.mark.parametrize("architecture", SMALL, ids=str)
def test_configuration_and_architecture_say_the_same(architecture, tiny):
    told = of_config(config_of(architecture, tiny), name_of(architecture))
    assert told == Architecture(
        architecture.kind, architecture.num_filters, architecture.depth
    )


def test_kernels_change_their_axes_only():
    architecture = Architecture("resnet", 2, 1)
    theirs = numbers(state_dict_shapes(architecture))
    ours = to_ours(architecture, theirs)
    first, up = theirs["model.1.weight"], theirs["model.11.weight"]
    assert (first.shape, up.shape) == ((2, 3, 7, 7), (8, 4, 3, 3))
    for row, column in ((0, 0), (0, 2), (2, 1)):
        for i in range(2):
            for j in range(3):
                number = ours["first_conv_kernel"][row, column, j, i]
                assert number == first[i, j, row, column]
        for i in range(8):
            for j in range(4):
                number = ours["up_1_conv_kernel"][row, column, j, i]
                assert number == up[i, j, row, column]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_other_floats_become_float32(dtype):
    architecture = Architecture("pixel", 2, 0)
    shapes = state_dict_shapes(architecture)
    random = np.random.default_rng(0)
    theirs = {k: random.normal(size=s).astype(dtype) for k, s in shapes.items()}
    rounded = {k: v.astype(np.float32) for k, v in theirs.items()}
    assert_same_bits(to_ours(architecture, theirs), to_ours(architecture, rounded))
