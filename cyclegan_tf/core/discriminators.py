"""Discriminators: they map an image to logits, one per patch, high for real.

Images are float32 [batch, height, width, channels] in [-1, 1]; `projected` sees them
through a frozen network. Losses apply a sigmoid where they need one.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.core.features import Features, features, map_channels
from cyclegan_tf.core.layers import convolution, full_precision, instance_normalization


def patchgan(
    num_filters: int = 64,
    num_layers: int = 3,
    channels: int = 3,
    name: str = "patchgan",
) -> keras.Model:
    """The PatchGAN discriminator (Isola et al. 2017, section 6.1.2).

    4x4 convolutions with zero padding 1: `num_layers` of stride 2, one of stride 1, and
    one to a single channel. With 3 layers each logit sees 70x70 pixels.

    Args:
      num_filters: Channels after the first convolution; later ones have up to eight
        times as many.
      num_layers: Convolutions of stride 2.
      channels: Channels of the images.
      name: Name of the model.

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
        x = instance_normalization(f"norm_{i}")(x)
        x = keras.layers.LeakyReLU(0.2, name=f"relu_{i}")(x)
    x = convolution(
        x, 1, 4, "logits", zero_padding=1, use_bias=True, dtype=full_precision()
    )
    return keras.Model(inputs, x, name=name)


def pixel(
    num_filters: int = 64,
    channels: int = 3,
    name: str = "pixel",
) -> keras.Model:
    """The 1x1 "PixelGAN" discriminator (Isola et al. 2017, section 6.1.2).

    Args:
      num_filters: Channels after the first convolution, then twice as many.
      channels: Channels of the images.
      name: Name of the model.

    Returns:
      A model from [batch, height, width, channels] to logits [batch, height, width, 1].
    """
    inputs = keras.Input((None, None, channels))
    x = convolution(inputs, num_filters, 1, "conv_1", use_bias=True)
    x = keras.layers.LeakyReLU(0.2, name="relu_1")(x)
    x = convolution(x, 2 * num_filters, 1, "conv_2")
    x = instance_normalization("norm_2")(x)
    x = keras.layers.LeakyReLU(0.2, name="relu_2")(x)
    # The official code has this bias with instance norm, which is ours.
    x = convolution(x, 1, 1, "logits", use_bias=True, dtype=full_precision())
    return keras.Model(inputs, x, name=name)


def projected(
    channels: Sequence[int], num_filters: int = 64, name: str = "projected"
) -> keras.Model:
    """Small heads on the feature maps of a frozen network (arXiv 2111.01007).

    Each map goes through a fixed random 1x1 mix of its channels, a 3x3 convolution, a
    leaky ReLU, and a 3x3 convolution to one channel; both 3x3 kernels are divided by
    their spectral norm. (The paper's heads are deeper, and it mixes maps too.)

    Args:
      channels: Channels of each feature map.
      num_filters: Channels of the mix and of the first convolution.
      name: Name of the model.

    Returns:
      A model from feature maps, [batch, height, width, channels] each, to as many maps
      of logits, [batch, height, width, 1].
    """
    maps = [keras.Input((None, None, number)) for number in channels]
    # Spectral norms need full precision, and the heads are small.
    precise = full_precision()
    logits = []
    for i, x in enumerate(maps, start=1):
        x = keras.layers.Conv2D(
            num_filters,
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(0, x.shape[-1] ** -0.5),
            trainable=False,
            name=f"mix_{i}",
            dtype=precise,
        )(x)
        x = SpectralConvolution2D(num_filters, name=f"conv_{i}", dtype=precise)(x)
        x = keras.layers.LeakyReLU(0.2, name=f"relu_{i}", dtype=precise)(x)
        x = SpectralConvolution2D(1, name=f"logits_{i}", dtype=precise)(x)
        logits.append(x)
    return keras.Model(maps, logits, name=name)


@keras.saving.register_keras_serializable(package="cyclegan_tf")
class SpectralConvolution2D(keras.layers.Layer):
    """A 3x3 convolution whose kernel is divided by its spectral norm.

    (Miyato et al., arXiv 1802.05957.) Each call computes the norm, so the kernel is the
    only state.

    Args:
      filters: Channels of the result.

    Maps [batch, height, width, channels] to [batch, height, width, filters].
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        """Makes the kernel and the bias."""
        shape = 3, 3, input_shape[-1], self.filters
        self.kernel = self.add_weight(
            shape=shape, initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="bias"
        )
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolves a batch of feature maps."""
        kernel = tf.convert_to_tensor(self.kernel)
        kernel = kernel / spectral_norm(tf.reshape(kernel, [-1, self.filters]))
        return tf.nn.conv2d(inputs, kernel, 1, "SAME") + self.bias

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "filters": self.filters}


def spectral_norm(matrix: tf.Tensor) -> tf.Tensor:
    """The largest singular value of a matrix, a scalar.

    The 64th power of the Gram matrix, divided by its trace, is nearly the projector on
    its first eigenvector. With several nearly equal singular values the result is their
    mean, a little too small.
    """
    gram = tf.matmul(matrix, matrix, transpose_a=True)
    projector = tf.stop_gradient(gram)
    for _ in range(6):
        projector /= tf.linalg.trace(projector)
        projector = tf.matmul(projector, projector)
    projector /= tf.linalg.trace(projector)
    return tf.sqrt(tf.reduce_sum(gram * projector))


def features_of(config: Config) -> Features | None:
    """Loads the frozen network of `projected` discriminators; None for other kinds.

    Raises:
      UserError: there are no weights.
    """
    if config.discriminator != "projected":
        return None
    return features(config.feature_network, config.feature_weights)


def on_images(
    discriminator: keras.Model, seen_by: Features | None, size: int = 0
) -> Callable:
    """Makes a function of images and `training` from a discriminator of any kind.

    Args:
      discriminator: Maps images or feature maps to logits.
      seen_by: The frozen network, if the discriminator takes its feature maps.
      size: Side to which it resizes images for that network (bilinear); 0: their own.
    """
    if seen_by is None:
        return discriminator

    def judge(images: tf.Tensor, training: bool):
        images = tf.image.resize(images, (size, size)) if size else images
        return discriminator(seen_by.maps(images, training=False), training=training)

    return judge


DISCRIMINATORS = {
    "patchgan": lambda config, name: patchgan(
        config.discriminator_filters, config.discriminator_layers, name=name
    ),
    "pixel": lambda config, name: pixel(config.discriminator_filters, name=name),
    "projected": lambda config, name: projected(
        map_channels(config.feature_network), config.discriminator_filters, name
    ),
}
