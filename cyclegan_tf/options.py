"""What the models beside CycleGAN can be told: a small dataclass of options for each.

CycleGAN's own stand in config.py. Imports no TensorFlow.
"""

import dataclasses
import json
from typing import ClassVar

from cyclegan_tf.validation import (
    UserError,
    check_strategy,
    check_values,
    patchgan_size,
)


def knob(default, group, text, *, choices=(), minimum=None, changeable=False):
    """A field of a configuration with what its flag and its validation need.

    Args:
      default: Its value unless told otherwise; its type is the flag's.
      group: Heading in the help.
      text: What it is.
      choices: The values that a text may have; empty for any.
      minimum: The least that a number may be.
      changeable: Whether it may differ when a run goes on.
    """
    metadata = {
        "group": group,
        "text": text,
        "choices": choices,
        "minimum": minimum,
        "changeable": changeable,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Common:
    """What every model here can be told.

    Raises:
      UserError: a value is outside its range.
    """

    model: ClassVar[str]
    summary: ClassVar[str]

    num_steps: int = knob(10_000, "Training", "steps of the whole training", minimum=1)
    batch_size: int = knob(
        256, "Training", "samples in a step, over all replicas", minimum=1
    )
    learning_rate: float = knob(
        1e-3,
        "Training",
        "of Adam, constant for half of the steps and then falling linearly to 0",
        minimum=0,
    )
    beta_1: float = knob(0.5, "Training", "of Adam, at least 0, below 1", minimum=0)
    beta_2: float = knob(0.999, "Training", "of Adam, at least 0, below 1", minimum=0)
    max_steps: int = knob(
        0, "Training", "stop after this step; 0: all", minimum=0, changeable=True
    )
    seed: int = knob(0, "Training", "of weights, data and noise", minimum=0)
    strategy: str = knob(
        "auto",
        "Training",
        "`single` (one device), `mirrored` (all GPUs), `cpu:N` (N logical CPU devices, "
        "for trying it out), or `auto`: mirrored when there are several GPUs",
        changeable=True,
    )
    run_dir: str = knob(
        "",
        "Run",
        "folder of checkpoints, logs and pictures; a run found there goes on; empty: "
        "runs/PRESET",
        changeable=True,
    )
    log_every_steps: int = knob(
        100,
        "Run",
        "steps between two records of the losses",
        minimum=1,
        changeable=True,
    )
    save_every_steps: int = knob(
        1000, "Run", "steps between two checkpoints", minimum=1, changeable=True
    )
    show_every_steps: int = knob(
        1000,
        "Run",
        "steps between two pictures, with numbers and a checkpoint",
        minimum=1,
        changeable=True,
    )

    def __post_init__(self):
        """Checks every field."""
        check_values(self)
        check_strategy(self.strategy)
        if self.learning_rate == 0:
            raise UserError("`learning_rate` must be above 0. Received: 0.")
        for name, value, limit in (
            ("beta_1", self.beta_1, 1),
            ("beta_2", self.beta_2, 1),
            ("seed", self.seed, 2**31),
        ):
            if value >= limit:
                raise UserError(f"`{name}` must be below {limit}. Received: {value}.")

    def to_json(self) -> str:
        """The model and the fields as a JSON object, one line a field."""
        values = {"model": self.model, **dataclasses.asdict(self)}
        return json.dumps(values, indent=2) + "\n"


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


@dataclasses.dataclass(frozen=True)
class Pix2Pix(Common):
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
        "begin anywhere, which A does not tell), or a folder: with train/ and test/, A "
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


OPTIONS = {options.model: options for options in (Points, Pix2Pix)}
