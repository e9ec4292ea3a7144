"""What the models beside CycleGAN can be told: a small dataclass of options for each.

CycleGAN's own stand in config.py. Imports no TensorFlow.
"""

import dataclasses
import json
from typing import ClassVar

from cyclegan_tf.validation import UserError, check_strategy, check_values


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


OPTIONS = {o.model: o for o in (Points, DCGAN, Conditional, Controllable)}
