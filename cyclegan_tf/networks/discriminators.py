"""Discriminators: an image in, a map of logits out, one a patch, real above fake.

Both take float32 [batch, height, width, channels] in [-1, 1] and end in logits: the
losses, not the networks, apply a sigmoid where one is wanted.
"""

import keras

from cyclegan_tf.networks.layers import convolution
from cyclegan_tf.networks.norms import NORMS
from cyclegan_tf.networks.precision import full_precision


def patchgan(
    num_filters: int = 64,
    num_layers: int = 3,
    channels: int = 3,
    name: str = "patchgan",
    norm: str = "instance",
) -> keras.Model:
    """The PatchGAN discriminator (Isola et al. 2017, section 6.1.2).

    4x4 convolutions with zero padding 1: `num_layers` of stride 2, one of stride 1, and
    one to a single channel. With 3 layers each logit sees 70x70 pixels.

    Args:
      num_filters: Channels after the first convolution; at most eight times as many
        further in.
      num_layers: Convolutions of stride 2.
      channels: Channels of the images.
      name: Name of the model.
      norm: `instance`, or `layer` (arXiv 1607.06450): one mean and one variance an
        image, so that channels keep their sizes against one another.

    Returns:
      A model from [batch, height, width, channels] to logits
      [batch, height // 2**num_layers - 2, width // 2**num_layers - 2, 1].
    """
    inputs = keras.Input((None, None, channels))
    x = convolution(
        inputs, num_filters, 4, "conv_1", strides=2, zero_padding=1, use_bias=True
    )
    x = keras.layers.LeakyReLU(0.2, name="relu_1")(x)
    for i in range(2, num_layers + 2):
        strides = 2 if i <= num_layers else 1
        filters = num_filters * min(2 ** (i - 1), 8)
        x = convolution(x, filters, 4, f"conv_{i}", strides=strides, zero_padding=1)
        x = NORMS[norm](f"norm_{i}")(x)
        x = keras.layers.LeakyReLU(0.2, name=f"relu_{i}")(x)
    x = convolution(
        x, 1, 4, "logits", zero_padding=1, use_bias=True, dtype=full_precision()
    )
    return keras.Model(inputs, x, name=name)


def pixel(
    num_filters: int = 64,
    channels: int = 3,
    name: str = "pixel",
    norm: str = "instance",
) -> keras.Model:
    """The 1x1 "PixelGAN" discriminator (Isola et al. 2017, section 6.1.2).

    Args:
      num_filters: Channels after the first convolution, then twice as many.
      channels: Channels of the images.
      name: Name of the model.
      norm: As for `patchgan`.

    Returns:
      A model from [batch, height, width, channels] to logits [batch, height, width, 1].
    """
    inputs = keras.Input((None, None, channels))
    x = convolution(inputs, num_filters, 1, "conv_1", use_bias=True)
    x = keras.layers.LeakyReLU(0.2, name="relu_1")(x)
    x = convolution(x, 2 * num_filters, 1, "conv_2")
    x = NORMS[norm]("norm_2")(x)
    x = keras.layers.LeakyReLU(0.2, name="relu_2")(x)
    # The official code gives the last layer a bias only with instance norm: ours.
    x = convolution(x, 1, 1, "logits", use_bias=True, dtype=full_precision())
    return keras.Model(inputs, x, name=name)


DISCRIMINATORS = {
    "patchgan": lambda config, name: patchgan(
        config.discriminator_filters,
        config.discriminator_layers,
        name=name,
        norm=config.discriminator_norm,
    ),
    "pixel": lambda config, name: pixel(
        config.discriminator_filters, name=name, norm=config.discriminator_norm
    ),
}
