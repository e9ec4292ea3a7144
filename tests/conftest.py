"""Two logical CPU devices, quiet logs, and small configurations for all tests."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from cyclegan_tf.config import Config  # noqa: E402
from cyclegan_tf.presets import PRESETS  # noqa: E402
from cyclegan_tf.program import without_native_messages  # noqa: E402

with without_native_messages():
    import keras
    import tensorflow as tf

    _CPU = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        _CPU, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    tf.config.list_logical_devices()


@pytest.fixture(autouse=True)
def fixed_seed():
    """Weights are the same in each run of a test."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def tiny():
    """Makes a `Config` of the preset `tiny` with some fields replaced."""

    def make(**fields) -> Config:
        return Config(**{**PRESETS["tiny"].values, **fields})

    return make


@pytest.fixture
def random_images():
    """Makes images in [-1, 1]."""

    def make(*shape: int, seed: int = 0) -> tf.Tensor:
        random = np.random.default_rng(seed)
        return tf.constant(random.uniform(-1, 1, shape), tf.float32)

    return make
