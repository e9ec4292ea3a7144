"""What the models beside CycleGAN can be told: a small dataclass of options for each.

CycleGAN's own stand in config.py, what all others share in common_options.py. Imports
no TensorFlow.
"""

import dataclasses
from typing import ClassVar

from cyclegan_tf.common_options import Common, DataFaults, knob
from cyclegan_tf.validation import UserError, patchgan_size


@dataclasses.dataclass(frozen=True)
class Points(Common):
    """A GAN on points in the plane: [models/points.py](models/points.py)."""

    model: ClassVar[str] = "points"
    summary: ClassVar[str] = (
        "a GAN on points in the plane, arXiv 1406.2661; as WGAN-GP, arXiv 1704.00028"
    )

    points: str = knob(
        "ring",
        "Data",
        "where the Gaussians stand: 8 in a `ring`, or 25 in a 5x5 `grid`",
        choices=("ring", "grid"),
    )
    latent_size: int = knob(2, "Networks", "numbers of a latent", minimum=1)
    num_units: int = knob(128, "Networks", "units of a hidden layer", minimum=1)
    num_layers: int = knob(2, "Networks", "hidden layers of each network", minimum=1)
    adversarial_loss: str = knob(
        "binary_cross_entropy",
        "Losses",
        "of the discriminator's logits; with `wgan_gp` it is a critic",
        choices=("binary_cross_entropy", "wgan_gp"),
    )
    lambda_gradient: float = knob(
        10.0, "Losses", "weight of the gradient penalty of `wgan_gp`", minimum=0
    )
    critic_steps: int = knob(
        1, "Losses", "updates of the discriminator for one of the generator", minimum=1
    )


_FILTERS = "channels at 14x14 pixels; twice as many at 7x7"


@dataclasses.dataclass(frozen=True)
class DCGAN(Common):
    """A GAN of convolutions on drawn digits: [models/dcgan.py](models/dcgan.py)."""

    model: ClassVar[str] = "dcgan"
    summary: ClassVar[str] = "a GAN of convolutions on drawn digits, arXiv 1511.06434"

    latent_size: int = knob(64, "Networks", "numbers of a latent", minimum=1)
    num_filters: int = knob(32, "Networks", _FILTERS, minimum=1)
    norm: str = knob(
        "batch", "Networks", "after convolutions", choices=("batch", "none")
    )


@dataclasses.dataclass(frozen=True)
class Conditional(Common):
    """A GAN told what to show: [models/conditional.py](models/conditional.py)."""

    model: ClassVar[str] = "conditional"
    summary: ClassVar[str] = "a GAN of drawn digits that are asked for, arXiv 1411.1784"

    latent_size: int = knob(64, "Networks", "numbers of a latent", minimum=1)
    num_filters: int = knob(32, "Networks", _FILTERS, minimum=1)


@dataclasses.dataclass(frozen=True)
class Controllable(Common):
    """Latents steered to a digit: [models/controllable.py](models/controllable.py)."""

    model: ClassVar[str] = "controllable"
    summary: ClassVar[str] = (
        "steers a trained `dcgan` to a digit by its latents, arXiv 1605.09304"
    )

    generator_run: str = knob(
        "runs/digits_dcgan", "Data", "run of a `dcgan`, whose generator is taken"
    )
    latent_size: int = knob(
        64, "Networks", "numbers of a latent, that run's", minimum=1
    )
    num_filters: int = knob(32, "Networks", "filters of that run", minimum=1)
    lambda_features: float = knob(
        10.0, "Losses", "weight of the other features, which should stay", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class SemiSupervised(Common):
    """A classifier that learns of few labels and a GAN.

    See [models/semi_supervised.py](models/semi_supervised.py).
    """

    model: ClassVar[str] = "semi_supervised"
    summary: ClassVar[str] = "digits told apart after 50 labels, arXiv 1606.03498"

    num_labels: int = knob(
        50, "Data", "training digits whose label is told, as many of each", minimum=10
    )
    latent_size: int = knob(64, "Networks", "numbers of a latent", minimum=1)
    num_filters: int = knob(
        16, "Networks", "channels of the classifier at 14x14", minimum=1
    )
    num_features: int = knob(
        128, "Networks", "features that the classifier decides by", minimum=1
    )
    generator_filters: int = knob(
        16, "Networks", "channels of the generator at 14x14", minimum=1
    )
    noise: float = knob(
        0.3, "Losses", "deviation of the noise on what the classifier sees", minimum=0
    )
    moves: float = knob(
        1.0, "Losses", "how far labelled digits are turned, scaled, shifted", minimum=0
    )
    lambda_unlabelled: float = knob(
        1.0,
        "Losses",
        "weight of telling digits without labels from generated ones; 0: labels alone",
        minimum=0,
    )


@dataclasses.dataclass(frozen=True)
class DomainInvariant(Common):
    """Features that do not tell of which domain a digit is.

    See [models/domain_invariant.py](models/domain_invariant.py).
    """

    model: ClassVar[str] = "domain_invariant"
    summary: ClassVar[str] = (
        "digits of a domain without labels told apart, arXiv 1705.11122"
    )

    num_filters: int = knob(
        16, "Networks", "channels of the encoder at 14x14", minimum=1
    )
    num_features: int = knob(
        64, "Networks", "features, by which all classifiers decide", minimum=1
    )
    num_units: int = knob(
        128, "Networks", "units of the domain classifier's hidden layers", minimum=1
    )
    num_layers: int = knob(
        2, "Networks", "hidden layers of the domain classifier", minimum=1
    )
    lambda_domain: float = knob(
        1.0,
        "Losses",
        "weight at the end of fooling the domain classifier; 0: it is not fooled",
        minimum=0,
    )
    lambda_r1: float = knob(
        0.3, "Losses", "weight of what a steep domain classifier pays", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class Pix2Pix(Common, DataFaults):
    """Translation learned from pairs: [models/pix2pix.py](models/pix2pix.py).

    Raises:
      UserError: a value is outside its range, or two values do not fit together.
    """

    model: ClassVar[str] = "pix2pix"
    summary: ClassVar[str] = "translation learned from pairs, arXiv 1611.07004"

    # The official recipe: 200 epochs of 400 pairs, one a step.
    num_steps: int = knob(80_000, "Training", "steps of the whole training", minimum=1)
    batch_size: int = knob(
        1, "Training", "pairs in a step, over all replicas", minimum=1
    )
    learning_rate: float = knob(
        2e-4,
        "Training",
        "of Adam, constant for half of the steps and then falling linearly to 0",
        minimum=0,
    )
    dataset: str = knob(
        "shapes",
        "Data",
        "`shapes` (drawn: plain animals A, striped ones B), `shapes_anywhere` (stripes "
        "begin anywhere, which A does not tell), `shapes_colour` (brown, white), "
        "`shapes_upside_down`, or a folder: with train/ and test/, A "
        "beside B in each picture, or with trainA/, trainB/, testA/ and testB/, where "
        "pictures of one name are a pair",
    )
    direction: str = knob(
        "a_to_b",
        "Data",
        "which side is translated",
        choices=("a_to_b", "b_to_a"),
    )
    image_size: int = knob(64, "Data", "side of a crop, in pixels", minimum=8)
    load_size: int = knob(
        72,
        "Data",
        "side that pictures are resized to before the crop, the same crop and flip for "
        "both of a pair",
        minimum=8,
    )
    num_filters: int = knob(
        64, "Networks", "channels after the generator's first convolution", minimum=1
    )
    num_downs: int = knob(6, "Networks", "halvings of the U-Net", minimum=3)
    discriminator_filters: int = knob(
        64,
        "Networks",
        "channels after the discriminator's first convolution",
        minimum=1,
    )
    discriminator_layers: int = knob(
        3, "Networks", "convolutions of stride 2 of the discriminator", minimum=1
    )
    lambda_l1: float = knob(
        100.0, "Losses", "weight of the difference to the truth", minimum=0
    )
    lambda_gan: float = knob(
        1.0,
        "Losses",
        "weight of what the discriminator says; 0: no discriminator is trained",
        minimum=0,
    )

    def __post_init__(self):
        """Checks every field, then how they fit together."""
        super().__post_init__()
        size, multiple = self.image_size, 2**self.num_downs
        if size % multiple:
            raise UserError(
                f"`image_size` must be a multiple of {multiple} for {self.num_downs} "
                f"`num_downs`. Received: {size}."
            )
        if self.load_size < size:
            raise UserError(
                f"`load_size` must be at least `image_size` ({size}). Received: "
                f"{self.load_size}."
            )
        if patchgan_size(size, self.discriminator_layers) < 1:
            raise UserError(
                f"`image_size` is too small for {self.discriminator_layers} "
                f"`discriminator_layers`. Received: {size}."
            )
        if not self.lambda_l1 + self.lambda_gan:
            raise UserError("`lambda_l1` and `lambda_gan` can't both be 0.")


_KINDS = (
    Points,
    DCGAN,
    Conditional,
    Controllable,
    SemiSupervised,
    DomainInvariant,
    Pix2Pix,
)

OPTIONS = {kind.model: kind for kind in _KINDS}
