"""The options and presets of the models beside CycleGAN; `OPTIONS` has those of all.

Imports no TensorFlow.
"""

import dataclasses
import functools
from typing import ClassVar

from cyclegan_tf.base_options import (
    CHANGED_DATA,
    BaseOptions,
    Preset,
    data,
    faults,
    losses,
    networks,
    patchgan_size,
    run,
    training,
)
from cyclegan_tf.config import Config

_STEPS = "steps of the whole training"
_RATE = "learning rate of Adam, constant for half of the steps, then linearly to 0"
_FILTERS = "channels at 14x14 pixels; twice as many at 7x7"
_size = functools.partial(networks, minimum=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FamilyOptions(BaseOptions):
    """The options of every model beside CycleGAN."""

    num_steps: int = training(10_000, _STEPS, minimum=1)
    batch_size: int = training(256, "samples in a step, over all replicas", minimum=1)
    learning_rate: float = training(1e-3, _RATE)
    beta_1: float = training(0.5, "decay of Adam's first moments", below=1)
    show_every_steps: int = run(
        1000,
        "steps between two grids of pictures, with numbers and a checkpoint",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points(FamilyOptions):
    """A GAN on points, arXiv 1406.2661; as WGAN-GP, arXiv 1704.00028."""

    model: ClassVar[str] = "points"

    points: str = data(
        "ring",
        "places of the Gaussians: 8 in a `ring`, or 25 in a 5x5 `grid`",
        choices=("ring", "grid"),
    )
    latent_size: int = _size(2, "size of a latent")
    num_units: int = _size(128, "units of a hidden layer")
    num_layers: int = _size(2, "hidden layers of each network")
    adversarial_loss: str = losses(
        "binary_cross_entropy",
        "loss of the discriminator's logits; with `wgan_gp` it is a critic",
        choices=("binary_cross_entropy", "wgan_gp"),
    )
    lambda_gradient: float = losses(10.0, "weight of the gradient penalty of `wgan_gp`")
    critic_steps: int = losses(
        1, "discriminator updates for one generator update", minimum=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DCGAN(FamilyOptions):
    """A convolutional GAN on drawn digits, arXiv 1511.06434."""

    model: ClassVar[str] = "dcgan"

    latent_size: int = _size(64, "size of a latent")
    num_filters: int = _size(32, _FILTERS)
    norm: str = networks("batch", "norm after convolutions", choices=("batch", "none"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditional(FamilyOptions):
    """A GAN that draws the digit of a label, arXiv 1411.1784."""

    model: ClassVar[str] = "conditional"

    latent_size: int = _size(64, "size of a latent")
    num_filters: int = _size(32, _FILTERS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controllable(FamilyOptions):
    """Moves latents of a trained `dcgan` to a digit, arXiv 1605.09304."""

    model: ClassVar[str] = "controllable"

    generator_run: str = data(
        "runs/digits_dcgan", "run of the trained `dcgan`", is_path=True
    )
    latent_size: int = _size(64, "size of a latent, as in that run")
    num_filters: int = _size(32, "generator filters, as in that run")
    lambda_features: float = losses(10.0, "weight of changes to the other features")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(FamilyOptions):
    """A variational autoencoder of digits, arXiv 1312.6114."""

    model: ClassVar[str] = "vae"

    latent_size: int = _size(16, "size of a latent")
    num_filters: int = _size(32, _FILTERS)
    num_features: int = _size(128, "features before the encoder's last layer")
    norm: str = networks("batch", "norm of the decoder", choices=("batch", "none"))
    pixel_deviation: float = losses(
        1.0, "standard deviation of a pixel around its decoded mean, above 0"
    )

    def check_together(self) -> None:
        """Raises a `UserError` if values do not fit together."""
        self.refuse("pixel_deviation", self.pixel_deviation == 0, "must be above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemiSupervised(FamilyOptions):
    """Classifies digits after 50 labels, arXiv 1606.03498."""

    model: ClassVar[str] = "semi_supervised"

    num_labels: int = data(
        50, "training digits with a label, equally many per class", minimum=10
    )
    latent_size: int = _size(64, "size of a latent")
    num_filters: int = _size(16, "channels of the classifier at 14x14")
    num_features: int = _size(128, "features before the classifier's last layer")
    generator_filters: int = _size(16, "channels of the generator at 14x14")
    noise: float = losses(0.3, "standard deviation of the classifier's input noise")
    moves: float = losses(
        1.0, "strength of the rotation, scaling and shift of labelled digits"
    )
    lambda_unlabelled: float = losses(
        1.0, "weight of the loss on unlabelled and generated digits; 0: labels alone"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainInvariant(FamilyOptions):
    """Classifies digits of a domain without labels, arXiv 1705.11122."""

    model: ClassVar[str] = "domain_invariant"

    num_filters: int = _size(16, "channels of the encoder at 14x14")
    num_features: int = _size(64, "features, the input of all classifiers")
    num_units: int = _size(128, "units of the domain classifier's hidden layers")
    num_layers: int = _size(2, "hidden layers of the domain classifier")
    lambda_domain: float = losses(
        1.0, "final weight of fooling the domain classifier; 0: no such loss"
    )
    lambda_r1: float = losses(
        0.3, "weight of the R1 gradient penalty for the domain classifier"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pix2Pix(FamilyOptions):
    """Translates pictures, learned from pairs, arXiv 1611.07004."""

    model: ClassVar[str] = "pix2pix"

    # The official recipe: 200 epochs of 400 pairs, one pair per step.
    num_steps: int = training(80_000, _STEPS, minimum=1)
    batch_size: int = training(1, "pairs in a step, over all replicas", minimum=1)
    learning_rate: float = training(2e-4, _RATE)
    dataset: str = data(
        "shapes",
        "`shapes` (drawn: plain animals A, striped ones B), `shapes_anywhere` (stripes "
        "begin anywhere, A does not show where), `shapes_colour` (brown, white), "
        "`shapes_upside_down`, or a folder: with train/ and test/, A beside B in each "
        "picture, or with trainA/, trainB/, testA/ and testB/, and the same name for "
        "both pictures of a pair",
        is_path=True,
    )
    allow_changed_data: bool = faults(False, CHANGED_DATA)
    direction: str = data(
        "a_to_b", "direction of translation", choices=("a_to_b", "b_to_a")
    )
    image_size: int = data(64, "side of a crop, in pixels", minimum=8)
    load_size: int = data(72, "side of the pictures before the crop", minimum=8)
    num_filters: int = _size(64, "filters of the generator's first convolution")
    num_downs: int = networks(6, "downsamplings of the U-Net", minimum=3)
    discriminator_filters: int = _size(
        64, "filters of the discriminator's first convolution"
    )
    discriminator_layers: int = _size(3, "stride-2 convolutions of the discriminator")
    lambda_l1: float = losses(100.0, "weight of the L1 distance to the truth")
    lambda_gan: float = losses(1.0, "weight of the adversarial loss; 0: L1 alone")

    def check_together(self) -> None:
        """Raises a `UserError` if values do not fit together."""
        refuse, size, multiple = self.refuse, self.image_size, 2**self.num_downs
        rule = f"must be a multiple of {multiple} for {self.num_downs} `num_downs`"
        refuse("image_size", size % multiple, rule)
        rule = f"must be at least `image_size` ({size})"
        refuse("load_size", self.load_size < size, rule)
        layers = self.discriminator_layers
        rule = f"is too small for {layers} `discriminator_layers`"
        refuse("image_size", patchgan_size(size, layers) < 1, rule)
        no_loss = not self.lambda_l1 + self.lambda_gan
        refuse("lambda_l1", no_loss, "must be above 0 if `lambda_gan` is 0")


_GANS_ON_DIGITS = DCGAN, Conditional, Controllable, SemiSupervised, DomainInvariant
_KINDS = Config, Points, *_GANS_ON_DIGITS, VAE, Pix2Pix
OPTIONS = {kind.model: kind for kind in _KINDS}

# GANs on digits: small enough for two cores.
_DIGITS = {"num_filters": 16, "batch_size": 64, "learning_rate": 1e-3}

# Small networks and few steps, with a larger rate to compensate.
_SMALL_PIX2PIX = {
    "num_filters": 16,
    "discriminator_filters": 16,
    "discriminator_layers": 2,
    "learning_rate": 1e-3,
    "num_steps": 2000,
    "show_every_steps": 500,
}

FAMILY_PRESETS = {
    "points": Preset(
        config=Points(),
        record="The plain GAN on a ring of 8 Gaussians. 1 minute on 2 CPU cores; all 8 "
        "modes, 97.5% of samples within 3 sigma.",
    ),
    "points_grid": Preset(
        config=Points(points="grid", num_layers=3),
        record="The plain GAN on a 5x5 grid of Gaussians: mode collapse. 1 minute on 2 "
        "CPU cores; 14 of 25 modes.",
    ),
    "points_wgan_gp": Preset(
        config=Points(
            points="grid",
            num_layers=3,
            adversarial_loss="wgan_gp",
            critic_steps=5,
            beta_1=0.0,
            beta_2=0.9,
        ),
        record="WGAN-GP on the same grid. 3.5 minutes on 2 CPU cores; 24 of 25 modes.",
    ),
    "digits_dcgan": Preset(
        config=DCGAN(**_DIGITS, num_steps=4_000),
        record="Digits from convolutions and batch norm. 3 minutes on one CPU core; "
        "Frechet distance 11.5, without the norm 16.5.",
        baseline={"norm": "none"},
    ),
    "digits_conditional": Preset(
        config=Conditional(**_DIGITS, num_steps=2_000),
        record="Draws the digit of a label. 2.8 minutes on one CPU core; 90.7% show "
        "the requested digit, by a judge with 99.8% accuracy.",
    ),
    "digits_controllable": Preset(
        config=Controllable(
            num_filters=16,
            num_steps=200,
            batch_size=200,
            learning_rate=5e-2,
            show_every_steps=100,
        ),
        record="Moves latents of digits_dcgan to a requested digit; train that first. "
        "2 minutes on one CPU core; 88.6% change, other features move by 0.25 of 2.",
        baseline={"lambda_features": 0.0},
        needs="digits_dcgan",
    ),
    "digits_vae": Preset(
        config=VAE(**_DIGITS, num_steps=3_000),
        record="A variational autoencoder of digits: blurrier than digits_dcgan, no "
        "digit left out. 7 minutes on one busy CPU core; Frechet distance 26.",
    ),
    "digits_semi_supervised": Preset(
        config=SemiSupervised(
            num_steps=2_400, batch_size=64, moves=0.7, noise=0.4, show_every_steps=800
        ),
        record="A classifier from 50 labels and a GAN. 3 to 7 minutes on one shared "
        "CPU core; 96.7% accuracy, with labels alone 89.8%.",
        baseline={"lambda_unlabelled": 0.0},
    ),
    "digits_domain_invariant": Preset(
        config=DomainInvariant(num_steps=4_000, batch_size=64),
        record="Digits of a domain without labels. 2 to 6 minutes on one shared CPU "
        "core; 94.3% accuracy, from plain digits alone 60.6%.",
        baseline={"lambda_domain": 0.0},
    ),
    "shapes_pix2pix": Preset(
        config=Pix2Pix(**_SMALL_PIX2PIX),
        record="Paints stripes on drawn animals, from pairs; the feet show where. 1.4 "
        "minutes on one CPU core; error to the truth 5.9 levels of 255.",
        baseline={"lambda_gan": 0.0},
    ),
    "shapes_pix2pix_anywhere": Preset(
        config=Pix2Pix(**_SMALL_PIX2PIX, dataset="shapes_anywhere", lambda_l1=10.0),
        record="The same, but nothing shows the place of the stripes. 1.4 minutes on "
        "one CPU core; stripes somewhere; L1 alone draws white animals, half as sharp.",
        baseline={"lambda_gan": 0.0},
    ),
}
