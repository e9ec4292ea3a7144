"""Small generators, drawn pictures and TFLite files, made once for all test modules."""

import functools

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.data import images, shapes
from cyclegan_tf.exporting import tflite
from cyclegan_tf.networks import generators
from cyclegan_tf.networks.generators import translate

Size = tuple[int, int]

PIXEL_KINDS = tflite.PIXEL_KINDS

# A filter for warnings: `tf.lite.Interpreter` announces its end in favour of LiteRT.
INTERPRETER_ENDS = r"ignore:\s+Warning"

MULTIPLES = {"resnet": 4, "unet": 8, "skip": 4}
SQUARE, OBLONG = (32, 32), (24, 40)

# The network and the size that a file takes; None takes any.
CASES = [
    ("resnet", SQUARE),
    ("resnet", OBLONG),
    ("unet", OBLONG),
    ("resnet", None),
    ("unet", None),
    ("skip", SQUARE),
    ("skip", None),
]
FILES = [
    (network, kind, size)
    for network, size in CASES
    for kind in tflite.KINDS
    if size or kind != "int16x8"
]


@functools.cache
def generator(network: str) -> keras.Model:
    """A generator whose outputs fill [-1, 1] well and whose biases are not zero."""
    if network == "resnet":
        model = generators.resnet(num_filters=4, num_blocks=1)
    elif network == "skip":
        model = generators.resnet(4, 1, output_skip=True, upsampling="resize")
    else:
        model = generators.unet(num_filters=4, num_downs=3)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.1, variable.shape))
    return model


def drawn(size: Size, number: int, seed: int) -> list[np.ndarray]:
    """Pictures, uint8 [height, width, 3], plain and striped in turns.

    Neither black nor white is in them, so a file must know of both without.
    """
    height, width = size
    pairs = [shapes.draw_pair((seed, i), max(size)) for i in range((number + 1) // 2)]
    pictures = [picture[:height, :width] for pair in pairs for picture in pair]
    return [np.clip(picture, 10, 245) for picture in pictures[:number]]


def grey(size: Size) -> list[np.ndarray]:
    """Pictures of one level each, near the middle."""
    return [np.full((*size, 3), level, np.uint8) for level in (120, 128, 136)]


@functools.cache
def converted(
    network: str,
    kind: str,
    size: Size | None,
    io: str = "uint8",
    calibrated_on: str = "drawn",
) -> bytes:
    """A TFLite file of a generator."""
    calibration = grey(size or SQUARE)
    if calibrated_on == "drawn":
        calibration = drawn(size or SQUARE, number=16, seed=1)
    return tflite.convert(
        generator(network), MULTIPLES[network], kind, size, io, calibration
    )


def to_float(picture: np.ndarray) -> np.ndarray:
    """Float32 [1, height, width, 3] in [-1, 1] of a uint8 picture."""
    return images.to_float(picture[np.newaxis]).numpy()


def translated(network: str, floats: np.ndarray) -> np.ndarray:
    """What Keras makes of float32 [1, height, width, 3] in [-1, 1]."""
    made = translate(generator(network), tf.constant(floats), MULTIPLES[network])
    return made.numpy()
