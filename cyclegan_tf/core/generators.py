"""Generators: they map an image of one domain to an image of the other.

They are fully convolutional, map float32 [batch, height, width, channels] in
[-1, 1] to the same shape, and have the geometry of the official networks.
"""

import re
from collections.abc import Callable

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.core.layers import (
    LinearOutput,
    ReflectionPadding2D,
    convolution,
    doubling_convolution,
    full_precision,
    instance_normalization,
    residual_block,
)

# Residual blocks work at a quarter of the size, and mirror one row at each side.
_MINIMUM_SIDE = 8


def resnet(
    num_filters: int = 64,
    num_blocks: int = 9,
    channels: int = 3,
    name: str = "resnet",
    *,
    input_skip: bool = False,
    output_activation: str = "tanh",
    upsampling: str = "transposed",
) -> keras.Model:
    """The residual generator (arXiv 1703.10593, section 7.2; Johnson et al. 2016).

    A 7x7 convolution, two that halve the sides, `num_blocks` residual blocks, two
    transposed convolutions that double them, a 7x7 convolution and tanh.

    Args:
      num_filters: Channels after the first convolution; four times as many in the
        residual blocks.
      num_blocks: Residual blocks; the paper takes 6 at 128 px and 9 at 256 px.
      channels: Channels of the images.
      name: Name of the model.
      input_skip: A second convolution, of the input, is added to the last one, so that
        copying is one linear map. Not in the paper.
      output_activation: `tanh`, or `linear` (`LinearOutput`). Not in the paper.
      upsampling: `transposed`, or `resize` (`ResizeConvolution2D`).

    Returns:
      A model on [batch, height, width, channels], sides multiples of 4, at least 8.
    """
    inputs = keras.Input((None, None, channels))
    x = ReflectionPadding2D(3, name="first_pad")(inputs)
    x = _norm_relu(convolution(x, num_filters, 7, "first_conv"), "first")
    for i in (1, 2):
        x = convolution(
            x, 2**i * num_filters, 3, f"down_{i}_conv", strides=2, zero_padding=1
        )
        x = _norm_relu(x, f"down_{i}")
    for i in range(1, num_blocks + 1):
        x = residual_block(x, f"block_{i}")
    for i in (1, 2):
        filters = 4 * num_filters // 2**i
        x = doubling_convolution(x, filters, 3, f"up_{i}_conv", upsampling=upsampling)
        x = _norm_relu(x, f"up_{i}")
    x = ReflectionPadding2D(3, name="last_pad")(x)
    x = convolution(x, channels, 7, "last_conv", use_bias=True)
    x = _output(inputs, x, input_skip, output_activation)
    return keras.Model(inputs, x, name=name)


def unet(
    num_filters: int = 64,
    num_downs: int = 8,
    channels: int = 3,
    name: str = "unet",
    *,
    input_skip: bool = False,
    output_activation: str = "tanh",
    upsampling: str = "transposed",
) -> keras.Model:
    """The U-Net generator (Isola et al. 2017, section 6.1), without dropout.

    The official CycleGAN uses no dropout either. The innermost convolution has no
    norm: on 1x1 pixel an instance norm returns a constant.

    Args:
      num_filters: Channels after the first convolution; at most eight times as many
        further in.
      num_downs: Halvings; 8 is U-Net 256, 7 is U-Net 128.
      channels: Channels of the images.
      name: Name of the model.
      input_skip: As for `resnet`.
      output_activation: As for `resnet`.
      upsampling: As for `resnet`.

    Returns:
      A model on [batch, height, width, channels], sides multiples of 2**num_downs.
    """
    widths = [num_filters * min(2**i, 8) for i in range(num_downs)]
    inputs = keras.Input((None, None, channels))
    x, skips = _unet_down(inputs, widths)
    for i, width in enumerate(reversed(widths[:-1]), start=1):
        x = keras.layers.ReLU(name=f"up_{i}_relu")(x)
        x = doubling_convolution(x, width, 4, f"up_{i}_conv", upsampling=upsampling)
        x = instance_normalization(f"up_{i}_norm")(x)
        x = keras.layers.Concatenate(name=f"up_{i}_skip")([skips.pop(), x])
    x = keras.layers.ReLU(name="last_relu")(x)
    x = doubling_convolution(
        x, channels, 4, "last_conv", upsampling=upsampling, use_bias=True
    )
    x = _output(inputs, x, input_skip, output_activation)
    return keras.Model(inputs, x, name=name)


def _unet_down(inputs, widths: list[int]):
    """The innermost tensor, and the tensors for the skip connections."""
    x = convolution(
        inputs, widths[0], 4, "down_1_conv", strides=2, zero_padding=1, use_bias=True
    )
    skips = [x]
    for i, width in enumerate(widths[1:], start=2):
        innermost = i == len(widths)
        x = keras.layers.LeakyReLU(0.2, name=f"down_{i}_relu")(x)
        x = convolution(
            x,
            width,
            4,
            f"down_{i}_conv",
            strides=2,
            zero_padding=1,
            use_bias=innermost,
        )
        if not innermost:
            x = instance_normalization(f"down_{i}_norm")(x)
            skips.append(x)
    return x, skips


def _output(inputs, x, input_skip: bool, activation: str):
    precise = full_precision()
    if input_skip:
        y = ReflectionPadding2D(3, name="skip_pad")(inputs)
        y = convolution(y, x.shape[-1], 7, "skip_conv")
        x = keras.layers.Add(name="last_add")([x, y])
    if activation == "linear":
        return LinearOutput(name="last_linear", dtype=precise)(x)
    return keras.layers.Activation("tanh", name="last_tanh", dtype=precise)(x)


def _norm_relu(x, name: str):
    x = instance_normalization(f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _options(config: Config) -> dict:
    names = "input_skip", "output_activation", "upsampling"
    return {name: getattr(config, name) for name in names}


GENERATORS = {
    "resnet": lambda config, name: resnet(
        config.num_filters, config.num_blocks, name=name, **_options(config)
    ),
    "unet": lambda config, name: unet(
        config.num_filters, config.num_downs, name=name, **_options(config)
    ),
}


def translate(generator: keras.Model, images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Translates images of any size.

    Mirrors images at the bottom and right until their sides are multiples of
    `multiple` and at least 8 pixels, and crops the result.

    Args:
      generator: A generator.
      images: Float32 [batch, height, width, 3] in [-1, 1].
      multiple: The generator takes sides that are multiples of this.

    Returns:
      Images of the same shape.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    for axis, side in ((1, height), (2, width)):
        padded = (side + multiple - 1) // multiple * multiple
        padded = tf.maximum(padded, _MINIMUM_SIDE)
        images = tf.gather(images, _mirrored(padded, side), axis=axis)
    return generator(images, training=False)[:, :height, :width]


def _mirrored(padded: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Indices 0, 1, .., side - 1, side - 2, .., 0, 1, .. of length `padded`."""
    period = tf.maximum(2 * (side - 1), 1)
    position = tf.range(padded) % period
    return tf.minimum(position, period - position) % side


# Residual blocks in a stage.
_BLOCKS = 3


def recomputing(generator: keras.Model) -> Callable:
    """Makes a function with a generator's outputs and gradients that needs less memory.

    Each stage of a `resnet`, or a whole `unet`, stores only its input, and is computed
    again in the backward pass.

    Args:
      generator: A generator; its weights are used, not copied.

    Returns:
      A function from images [batch, height, width, channels] and `training` to images.
    """
    stages = _stages(generator)

    def call(images: tf.Tensor, training: bool) -> tf.Tensor:
        x = images
        for stage in stages:
            inputs = (images, x) if len(stage.inputs) == 2 else (x,)
            x = _recomputed(stage, training)(*inputs)
        return x

    return call


def _recomputed(stage: keras.Model, training: bool) -> Callable:
    def compute(*inputs):
        return stage(inputs if len(inputs) > 1 else inputs[0], training=training)

    return tf.recompute_grad(compute)


def _stages(generator: keras.Model) -> list[keras.Model]:
    """Splits a generator into models that share its layers.

    Stages end where tensors are small, since the tensors between stages are stored. The
    last stage also takes the images if the generator has an input skip.
    """
    names = [layer.name for layer in generator.layers]
    blocks = [name for name in names if re.fullmatch(r"block_\d+_add", name)]
    ends = ["down_2_relu", *blocks[_BLOCKS - 1 :: _BLOCKS], "up_1_relu"]
    if "first_conv" not in names:  # A U-Net, whose skips cross all stages.
        ends = []
    images = generator.inputs[0]
    stages, start = [], images
    for name in ends:
        end = generator.get_layer(name).output
        stages.append(keras.Model(start, end))
        start = end
    skips = ends and "skip_conv" in names
    last = [images, start] if skips else start
    return [*stages, keras.Model(last, generator.outputs[0])]
