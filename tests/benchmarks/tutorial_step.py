"""The tutorial's training step on networks of Keras' own layers, as many write it.

`Conv2D` and `Conv2DTranspose` with padding `same`, group norm with one channel a group
for instance norm, Keras' Adam, four gradients from one persistent tape. The networks
have our geometry, so that the work is the same. As in the tutorial, no image pool.
"""

import keras
import tensorflow as tf
from helpers import plain_step

from cyclegan_tf.config import Config
from cyclegan_tf.core.cyclegan import NETWORKS


def does_all_of(config: Config) -> bool:
    """Whether this step does what a configuration says, except for the image pool."""
    return (
        (config.generator, config.discriminator) == ("resnet", "patchgan")
        and config.upsampling == "transposed"
        and config.adversarial_loss != "wgan_gp"
        and config.precision == "float32"
        and (config.input_skip, config.output_activation) == (False, "tanh")
    )


class TutorialCycleGAN:
    """The four networks and their optimizers.

    Args:
      config: One that `does_all_of` accepts.
    """

    def __init__(self, config: Config):
        self.config = config
        self.generator_g, self.generator_f = _resnet(config), _resnet(config)
        self.discriminator_x = _patchgan(config)
        self.discriminator_y = _patchgan(config)
        self.judges = self.discriminator_x, self.discriminator_y
        self.networks = {name: getattr(self, name) for name in NETWORKS}
        self._optimizers = {}
        for name, network in self.networks.items():
            adam = keras.optimizers.Adam(config.learning_rate, beta_1=config.beta_1)
            adam.build(network.trainable_variables)
            self._optimizers[name] = adam

    @tf.function
    def train_step(self, real_x: tf.Tensor, real_y: tf.Tensor) -> dict[str, tf.Tensor]:
        """Trains the four networks on a batch of each domain; returns the losses."""
        losses, gradients = plain_step.plain_gradients(self, real_x, real_y)
        for name, network in self.networks.items():
            pairs = zip(gradients[name], network.trainable_variables, strict=True)
            self._optimizers[name].apply_gradients(pairs)
        return losses


def _convolution(x, filters: int, size: int, strides: int = 1, norm: bool = True):
    x = keras.layers.Conv2D(filters, size, strides, padding="same", use_bias=not norm)(
        x
    )
    return _norm(x) if norm else x


def _norm(x):
    return keras.layers.GroupNormalization(groups=-1, epsilon=1e-5)(x)


def _resnet(config: Config) -> keras.Model:
    relu, filters = keras.layers.ReLU, config.num_filters
    inputs = keras.Input((None, None, 3))
    x = relu()(_convolution(inputs, filters, 7))
    for i in (2, 4):
        x = relu()(_convolution(x, i * filters, 3, strides=2))
    for _ in range(config.num_blocks):
        y = relu()(_convolution(x, 4 * filters, 3))
        x = keras.layers.Add()([x, _convolution(y, 4 * filters, 3)])
    for i in (2, 1):
        x = keras.layers.Conv2DTranspose(
            i * filters, 3, 2, padding="same", use_bias=False
        )(x)
        x = relu()(_norm(x))
    x = _convolution(x, 3, 7, norm=False)
    return keras.Model(inputs, keras.layers.Activation("tanh")(x))


def _patchgan(config: Config) -> keras.Model:
    filters, num_layers = config.discriminator_filters, config.discriminator_layers
    inputs = x = keras.Input((None, None, 3))
    for i in range(num_layers + 1):
        strides = 2 if i < num_layers else 1
        x = _convolution(x, filters * min(2**i, 8), 4, strides, norm=i > 0)
        x = keras.layers.LeakyReLU(0.2)(x)
    return keras.Model(inputs, _convolution(x, 1, 4, norm=False))
