"""Generators whose backward pass computes again what it needs, in place of keeping it.

Chen et al., "Training deep nets with sublinear memory cost" (arXiv 1604.06174).
"""

import re
from collections.abc import Callable

import keras
import tensorflow as tf

# Residual blocks in a stage.
_BLOCKS = 3


def recomputing(generator: keras.Model) -> Callable:
    """The same function and gradients as a generator's, in less memory.

    Each stage of a `resnet`, and a `unet` as a whole, keeps its input alone; when its
    gradient is due it is computed again.

    Args:
      generator: A generator. Its weights stay where they are.

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
    """Models that make up a generator, one after another, with its layers.

    They end where tensors are small: what lies between them is kept. The last one also
    takes the images, if their values go into the output.
    """
    names = [layer.name for layer in generator.layers]
    blocks = [name for name in names if re.fullmatch(r"block_\d+_add", name)]
    ends = ["down_2_relu", *blocks[_BLOCKS - 1 :: _BLOCKS], "up_1_relu"]
    if "first_conv" not in names:  # A U-Net: its skips cross all stages.
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
