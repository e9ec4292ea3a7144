"""What models can be told, and what makes a field an option.

Imports no TensorFlow.
"""

import dataclasses
import json
from typing import ClassVar

from cyclegan_tf.validation import (
    UserError,
    check_strategy,
    check_values,
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


STRATEGY = (
    "`single` (one device), `mirrored` (all GPUs), `multi_worker` (several machines, "
    "by TF_CONFIG), `cpu:N` (N logical CPU devices, for trying it out), or "
    "`auto`: mirrored when there are several GPUs. batch_size is for all replicas "
    "together, and so is the learning rate: neither is scaled by their number"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faults:
    """What every model is told about faults; given by name."""

    on_nonfinite: str = knob(
        "stop",
        "Faults",
        "when a loss or a gradient is NaN or infinite: `stop`, or `skip` the update, "
        "which gives up after 10 in a row",
        choices=("stop", "skip"),
        changeable=True,
    )
    deterministic: bool = knob(
        False,
        "Faults",
        "the same bits in each run, whatever stopped it in between; may be slower",
        changeable=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFaults:
    """What models that read pictures are told of these besides; given by name."""

    allow_changed_data: bool = knob(
        False,
        "Faults",
        "go on though pictures are gone, new or of another size since the run began",
        changeable=True,
    )


@dataclasses.dataclass(frozen=True)
class Common(Faults):
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
        STRATEGY,
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
