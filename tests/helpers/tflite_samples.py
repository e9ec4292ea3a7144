"""Small generators, drawn pictures and TFLite files, cached in the process."""

import functools

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core import generators
from cyclegan_tf.core.generators import translate
from cyclegan_tf.data import images, shapes
from cyclegan_tf.deploy import conversion

Size = tuple[int, int]

# A filter for warnings: `tf.lite.Interpreter` announces its end in favour of LiteRT.
INTERPRETER_ENDS = r"ignore:\s+Warning"

MULTIPLES = {"resnet": 4, "unet": 8, "skip": 4}
SQUARE, OBLONG = (32, 32), (24, 40)


def made(network: str) -> keras.Model:
    if network == "unet":
        return generators.unet(num_filters=4, num_downs=3)
    options = {"input_skip": True, "output_activation": "linear"}
    options["upsampling"] = "resize"
    return generators.resnet(4, 1, **(options if network == "skip" else {}))


@functools.cache
def generator(network: str) -> keras.Model:
    """A generator whose outputs fill [-1, 1] well and whose biases are not zero."""
    model = made(network)
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.1, variable.shape))
    return model


@functools.cache
def halving() -> keras.Model:
    """The least network that converts in all kinds: it halves the contrast."""
    inputs = keras.Input((None, None, 3))
    halved = keras.layers.Conv2D(3, 1, use_bias=False, name="halved")
    model = keras.Model(inputs, halved(inputs))
    halved.set_weights([0.5 * np.eye(3)[None, None]])
    return model


def drawn(size: Size, number: int, seed: int) -> list[np.ndarray]:
    """Pictures, uint8 [height, width, 3], plain and striped in turns.

    Neither black nor white is in them, so a file must know of both without.
    """
    height, width = size
    pairs = [shapes.draw_pair((seed, i), max(size)) for i in range((number + 1) // 2)]
    pictures = [picture[:height, :width] for pair in pairs for picture in pair]
    return [np.clip(picture, 10, 245) for picture in pictures[:number]]


@functools.cache
def converted(network: str, kind: str, size: Size | None, io: str = "uint8") -> bytes:
    """A TFLite file of a generator, or of `halving`, calibrated on drawn pictures."""
    halves = network == "halving"
    return conversion.convert(
        halving() if halves else generator(network),
        1 if halves else MULTIPLES[network],
        kind,
        size,
        io,
        drawn(size or SQUARE, number=16, seed=1),
    )


def to_float(picture: np.ndarray) -> np.ndarray:
    """Float32 [1, height, width, 3] in [-1, 1] of a uint8 picture."""
    return images.to_float(picture[np.newaxis]).numpy()


def translated(network: str, floats: np.ndarray) -> np.ndarray:
    """What Keras makes of float32 [1, height, width, 3] in [-1, 1]."""
    made = translate(generator(network), tf.constant(floats), MULTIPLES[network])
    return made.numpy()


def psnr(image, reference) -> float:
    """In decibels, on [-1, 1]."""
    return 10 * np.log10(4 / np.mean(np.square(image - reference)))


def by_hand(content: bytes, stored: np.ndarray) -> np.ndarray:
    """What the interpreter gives for a tensor of the type that the file takes."""
    interpreter = tf.lite.Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, stored.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, stored)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
