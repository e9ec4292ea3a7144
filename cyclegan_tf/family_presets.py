"""Named configurations of the models beside CycleGAN, and what a preset is."""

import dataclasses

from cyclegan_tf.config import Config
from cyclegan_tf.options import (
    DCGAN,
    Common,
    Conditional,
    Controllable,
    DomainInvariant,
    Pix2Pix,
    Points,
    SemiSupervised,
)


@dataclasses.dataclass(frozen=True)
class Preset:
    """Values of a configuration, with what is known of training with them.

    Attributes:
      values: The fields that differ from the defaults.
      record: What is known, and the command.
      options: The kind of configuration.
      baseline: Fields that turn it into what it is measured beside, if any.
      needs: The preset whose run is its `generator_run`, if any.
    """

    values: dict
    record: str
    options: type[Config | Common] = Config
    baseline: dict | None = None
    needs: str = ""

    @property
    def config(self) -> Config | Common:
        """The preset as a configuration."""
        return self.options(**self.values)


# GANs on digits: small enough for two cores.
_DIGITS = {"num_filters": 16, "batch_size": 64, "learning_rate": 1e-3}

# Small networks and few steps, which the larger rate makes up for.
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
        values={},
        record="The plain GAN on a ring of 8 Gaussians. `python train.py --preset "
        "points`. 1 minute on 2 CPU cores; all 8 modes, 97.5% of samples within 3 "
        "sigma, where 98.9% of the real ones are.",
        options=Points,
    ),
    "points_grid": Preset(
        values={"points": "grid", "num_layers": 3},
        record="The plain GAN on a 5x5 grid of Gaussians, where it collapses. `python "
        "train.py --preset points_grid`. 1 minute on 2 CPU cores; 14 of 25 modes.",
        options=Points,
    ),
    "points_wgan_gp": Preset(
        values={
            "points": "grid",
            "num_layers": 3,
            "adversarial_loss": "wgan_gp",
            "critic_steps": 5,
            "beta_1": 0.0,
            "beta_2": 0.9,
        },
        record="WGAN-GP on the same grid. `python train.py --preset points_wgan_gp`. "
        "3.5 minutes on 2 CPU cores; 24 of 25 modes.",
        options=Points,
    ),
    "digits_dcgan": Preset(
        values={**_DIGITS, "num_steps": 4_000},
        record="Digits by convolutions and batch norm. `python train.py --preset "
        "digits_dcgan`. 3 minutes on one CPU core; Frechet distance 11.5, without the "
        "norm 16.5, of real digits 0.5; after 1,000 steps 14.5 and 199.",
        options=DCGAN,
        baseline={"norm": "none"},
    ),
    "digits_conditional": Preset(
        values={**_DIGITS, "num_steps": 2_000},
        record="Digits that are asked for by their labels. `python train.py --preset "
        "digits_conditional`. 2.8 minutes on one CPU core; 90.7% show what was asked "
        "for, says a judge that is right of 99.8%.",
        options=Conditional,
    ),
    "digits_controllable": Preset(
        values={
            **_DIGITS,
            "num_steps": 200,
            "batch_size": 200,
            "learning_rate": 5e-2,
            "show_every_steps": 100,
        },
        record="Latents of digits_dcgan, steered to the digit asked for. `python "
        "train.py --preset digits_controllable`, after that one. 2 minutes on one CPU "
        "core; 88.6% change, other features move by 0.25 of 2; left free, 95.1% and "
        "0.38.",
        options=Controllable,
        baseline={"lambda_features": 0.0},
        needs="digits_dcgan",
    ),
    "digits_semi_supervised": Preset(
        values={
            "num_steps": 2_400,
            "batch_size": 64,
            "moves": 0.7,
            "noise": 0.4,
            "show_every_steps": 800,
        },
        record="A classifier of 50 labels and a GAN. `python train.py --preset "
        "digits_semi_supervised`. 3 to 7 minutes on one shared CPU core; 96.7% right, "
        "by the labels alone 89.8%.",
        options=SemiSupervised,
        baseline={"lambda_unlabelled": 0.0},
    ),
    "digits_domain_invariant": Preset(
        values={"num_steps": 4_000, "batch_size": 64},
        record="Digits of a domain without labels. `python train.py --preset "
        "digits_domain_invariant`. 2 to 6 minutes on one shared CPU core; 94.3% right, "
        "by plain digits alone 60.6%; a probe tells domains of 74%, else of 93%.",
        options=DomainInvariant,
        baseline={"lambda_domain": 0.0},
    ),
    "shapes_pix2pix": Preset(
        values=_SMALL_PIX2PIX,
        record="Stripes onto drawn animals, learned from pairs; the feet tell where. "
        "`python train.py --preset shapes_pix2pix`. 1.4 minutes on one CPU core; error "
        "to the truth 5.9 levels of 255, of doing nothing 29.0; L1 alone does as well.",
        options=Pix2Pix,
        baseline={"lambda_gan": 0.0},
    ),
    "shapes_pix2pix_anywhere": Preset(
        values={
            **_SMALL_PIX2PIX,
            "dataset": "shapes_anywhere",
            "lambda_l1": 10.0,
        },
        record="The same where nothing tells the place of the stripes. `python "
        "train.py --preset shapes_pix2pix_anywhere`. 1.4 minutes on one CPU core; "
        "stripes somewhere, where L1 alone makes white animals, half as sharp.",
        options=Pix2Pix,
        baseline={"lambda_gan": 0.0},
    ),
}
