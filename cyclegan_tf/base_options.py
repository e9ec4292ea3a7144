"""What the options of all models share: a field is a flag, and a base class.

Imports no TensorFlow.
"""

import dataclasses
import functools
import json
import math
import os
import re
from typing import ClassVar

from cyclegan_tf.messages import UserError, check_choice

GROUPS = ("Data", "Networks", "Losses", "Training", "Speed", "Faults", "Run")

CHANGED_DATA = "continue although pictures were added, removed or resized"


def option(
    group,
    default,
    text,
    *,
    choices=(),
    minimum=0,
    below=math.inf,
    changeable=False,
    is_path=False,
):
    """Defines a field with the facts for its flag and its validation.

    Args:
      group: One of `GROUPS`, the heading in the help.
      default: The default; its type is the type of the flag.
      text: The help.
      choices: The values that a text may have; empty for any.
      minimum: The smallest value of a number.
      below: A number must be below this one.
      changeable: Whether it may differ when a run continues.
      is_path: Whether `~` at its start becomes the home directory.
    """
    metadata = {
        "group": group,
        "text": text,
        "choices": choices,
        "minimum": minimum,
        "below": below,
        "changeable": changeable,
        "is_path": is_path,
    }
    return dataclasses.field(default=default, metadata=metadata)


data, networks, losses, training, speed = (
    functools.partial(option, group) for group in GROUPS[:5]
)
faults, run = (
    functools.partial(option, group, changeable=True) for group in GROUPS[5:]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseOptions:
    """The options of every model; the first line of a docstring is its summary.

    Raises:
      UserError: a value is outside its range.
    """

    model: ClassVar[str]
    # Models that have these as options override them.
    beta_1: ClassVar[float] = 0.5
    precision: ClassVar[str] = "float32"
    allow_changed_data: ClassVar[bool] = False
    # Whether a step runs faster when each half of it has half of the CPU cores.
    shares_cores: ClassVar[bool] = False
    # Name of the data set in default run directories.
    data_name: ClassVar[str] = ""

    batch_size: int = training(
        1,
        "samples in a step over all replicas; CycleGAN: pictures of each domain; "
        "pix2pix: pairs",
        minimum=1,
    )
    learning_rate: float = training(
        2e-4,
        "learning rate of Adam at the start; constant at first, then it falls linearly",
    )
    beta_2: float = training(0.999, "decay of Adam's second moments", below=1)
    max_steps: int = training(0, "stop after this step; 0: train all", changeable=True)
    seed: int = training(
        0, "seed of weights, data order, augmentation and noise", below=2**31
    )
    strategy: str = training(
        "auto",
        "`single` (one device), `mirrored` (all GPUs), `multi_worker` (several "
        "machines, by TF_CONFIG), `cpu:N` (N logical CPU devices, to try it out), or "
        "`auto`: mirrored if there are several GPUs. The replicas share batch_size, "
        "and the learning rate does not change with their number",
        changeable=True,
    )
    on_nonfinite: str = faults(
        "stop",
        "when a loss or a gradient is NaN or infinite: `stop`, or `skip` the update, "
        "and stop after 10 in a row",
        choices=("stop", "skip"),
    )
    deterministic: bool = faults(
        False, "the same bits in every run, also if it was interrupted; can be slower"
    )
    run_dir: str = run(
        "",
        "folder for checkpoints, logs and pictures; a run in it continues; empty: "
        "runs/NAME, from the preset, the data set or the model",
        is_path=True,
    )
    log_every_steps: int = run(100, "steps between two records of losses", minimum=1)
    save_every_steps: int = run(
        1000,
        "steps between two checkpoints, beside those with each grid of pictures",
        minimum=1,
    )

    def __post_init__(self):
        """Checks every field and expands paths, then `check_together`."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            self._check(field, value)
            if field.metadata["is_path"]:
                object.__setattr__(self, field.name, os.path.expanduser(value))
        strategies = "auto|single|mirrored|multi_worker|cpu:0*[1-9][0-9]*"
        known = re.fullmatch(strategies, self.strategy)
        names = "auto, single, mirrored, multi_worker, or cpu:N with N at least 1"
        self.refuse("strategy", not known, f"must be {names}")
        self.refuse("learning_rate", self.learning_rate == 0, "must be above 0")
        self.check_together()

    def check_together(self) -> None:
        """Raises a `UserError` if values do not fit together."""

    def refuse(self, name: str, broken: bool, rule: str) -> None:
        """Raises a `UserError` with a field, a rule and the value if it is broken."""
        if broken:
            raise UserError(f"`{name}` {rule}. Received: {getattr(self, name)!r}.")

    def _check(self, field: dataclasses.Field, value) -> None:
        name, metadata = field.name, field.metadata
        if field.type is float and type(value) is int:
            value = float(value) if abs(value) < 1e300 else math.inf
        wrong_type = type(value) is not field.type
        self.refuse(name, wrong_type, f"must be {field.type.__name__}")
        if metadata["choices"]:
            check_choice(name, value, metadata["choices"])
        if field.type in (int, float):
            minimum, below = metadata["minimum"], metadata["below"]
            infinite = field.type is float and not math.isfinite(value)
            self.refuse(name, infinite, "must be a finite number")
            self.refuse(name, value < minimum, f"must be at least {minimum}")
            self.refuse(name, value >= below, f"must be below {below}")

    def to_json(self) -> str:
        """The model and the fields as a JSON object, one per line."""
        values = {"model": self.model, **dataclasses.asdict(self)}
        return json.dumps(values, indent=2) + "\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A named configuration.

    Attributes:
      config: The configuration.
      record: The known results of training with it.
      baseline: Fields of a second configuration, for comparison in `models`.
      needs: The preset whose run is the `generator_run`.
    """

    config: BaseOptions
    record: str
    baseline: dict | None = None
    needs: str = ""

    @property
    def options(self) -> type[BaseOptions]:
        """The class of the configuration."""
        return type(self.config)

    @property
    def values(self) -> dict:
        """The fields that differ from the defaults."""
        fields = dataclasses.fields(self.config)
        values = {field.name: getattr(self.config, field.name) for field in fields}
        return {f.name: values[f.name] for f in fields if values[f.name] != f.default}


def patchgan_size(image_size: int, num_layers: int) -> int:
    """The side of a PatchGAN's logits: 30 for 256 pixels and 3 layers."""
    for _ in range(num_layers):
        image_size //= 2
    return image_size - 2
