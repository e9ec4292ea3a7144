"""What options refuse: the error that is told, and the checks of a `Config`.

Imports no TensorFlow, so that a refused flag answers at once.
"""

import dataclasses
import math
import re
from collections.abc import Iterable

# Numbers of an evaluation by which a checkpoint can be called the best.
METRICS_TO_KEEP = (
    "taken_for_target",
    "log_odds_moved",
    "kernel_distance",
    "frechet_distance",
    "cycle_error",
    "identity_error",
    "structure",
    "paired_error",
    "paired_psnr",
    "paired_ssim",
)

# Drawn, with the true translations known (data/shapes.py).
DRAWN_DATASETS = ("shapes", "shapes_anywhere", "shapes_colour", "shapes_upside_down")


class UserError(ValueError):
    """A mistake that the user can mend; the commands print it as one line."""


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a value that is none of its choices, with a `UserError`."""
    if value not in choices:
        raise UserError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}."
        )


def check(config) -> None:
    """Checks every field of a `Config`, then how they fit together.

    Raises:
      UserError: a value is outside its range, or two values do not fit together.
    """
    check_values(config)
    _check_learning(config)
    _check_sizes(config)
    _check_speed(config)
    check_strategy(config.strategy)
    _check_evaluation(config)


def check_values(config) -> None:
    """Refuses a value of another type than its field's, or outside its range.

    Raises:
      UserError: there is one.
    """
    for field in dataclasses.fields(config):
        _check_value(field, getattr(config, field.name))


def _check_value(field: dataclasses.Field, value) -> None:
    name, minimum = field.name, field.metadata["minimum"]
    if field.type is float and type(value) is int:
        value = float(value) if abs(value) < 1e300 else math.inf
    if type(value) is not field.type:
        raise UserError(f"`{name}` must be {field.type.__name__}. Received: {value!r}.")
    choices = field.metadata["choices"]
    if choices:
        check_choice(name, value, choices)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"`{name}` must be a finite number. Received: {value}.")
    if minimum is not None and value < minimum:
        raise UserError(f"`{name}` must be at least {minimum}. Received: {value}.")


def _check_learning(config) -> None:
    if config.learning_rate == 0:
        raise UserError("`learning_rate` must be above 0. Received: 0.")
    for name in ("beta_1", "beta_2", "average_decay"):
        if (value := getattr(config, name)) >= 1:
            raise UserError(f"`{name}` must be below 1. Received: {value}.")
    if config.discriminator == "projected" and config.adversarial_loss == "wgan_gp":
        raise UserError(
            "`discriminator` projected needs an `adversarial_loss` such as hinge: its "
            "heads have spectral norms. Received: wgan_gp."
        )
    if config.adversarial_loss == "wgan_gp" and config.pool_size:
        raise UserError(
            "`adversarial_loss` wgan_gp needs `pool_size` 0: a critic measures how far "
            f"the present fakes are. Received: {config.pool_size}."
        )
    if config.total_epochs == 0 and not config.num_steps:
        raise UserError("`num_epochs` + `num_decay_epochs` must be at least 1.")
    if config.seed >= 2**31:
        raise UserError(f"`seed` must be below 2**31. Received: {config.seed}.")


def _check_sizes(config) -> None:
    size, multiple = config.image_size, config.size_multiple
    if size % multiple:
        raise UserError(
            f"`image_size` must be a multiple of {multiple} for a "
            f"`{config.generator}` generator"
            + (f" of {config.num_downs} halvings" if config.generator == "unet" else "")
            + f". Received: {size}."
        )
    if 0 < config.load_size < size:
        raise UserError(
            "`load_size` must be 0 or at least `image_size` "
            f"({size}). Received: {config.load_size}."
        )
    if config.test_size and (config.test_size < size or config.test_size % multiple):
        raise UserError(
            f"`test_size` must be 0, or a multiple of {multiple} and at least "
            f"`image_size` ({size}). Received: {config.test_size}."
        )
    if (
        config.discriminator == "patchgan"
        and patchgan_size(size, config.discriminator_layers) < 1
    ):
        raise UserError(
            f"`image_size` is too small for {config.discriminator_layers} "
            f"discriminator_layers. Received: {size}."
        )


def _check_speed(config) -> None:
    if config.identity_every_steps > 1 and not config.lambda_identity:
        raise UserError(
            "`identity_every_steps` is for a `lambda_identity` above 0. Received: "
            f"{config.identity_every_steps}."
        )


def check_batch(batch_size: int, replicas: int) -> None:
    """Refuses a batch that the replicas can't share evenly, with a `UserError`."""
    if batch_size % replicas:
        raise UserError(
            f"`batch_size` must be a multiple of the {replicas} replicas. "
            f"Received: {batch_size}."
        )


def check_strategy(strategy: str) -> None:
    """Refuses a strategy that `make_strategy` does not know, with a `UserError`."""
    names = r"auto|single|mirrored|multi_worker|cpu:0*[1-9][0-9]*"
    if not re.fullmatch(names, strategy):
        raise UserError(
            "`strategy` must be auto, single, mirrored, multi_worker, or cpu:N with N "
            f"at least 1. Received: {strategy!r}."
        )


def check_features(config, features: str) -> None:
    """Refuses to measure a run by the network that its discriminators stand on.

    Generators that were taught to please its features would please the numbers too.

    Args:
      config: The run's `Config`.
      features: Name of the network whose features are compared.

    Raises:
      UserError: it is the same; another is named.
    """
    if config.discriminator == "projected" and features == config.feature_network:
        other = (
            "efficientnet_lite0" if features.endswith("lite2") else "efficientnet_lite2"
        )
        raise UserError(
            f"The discriminators of this run stand on {features}, so its features say "
            f"nothing of how good it is. Measure with another network, such as {other}."
        )


def _check_evaluation(config) -> None:
    if config.evaluate_every_epochs:
        check_features(config, config.evaluation_features)
    metric = config.keep_best.rpartition("/")[2]
    if not config.keep_best:
        return
    names = "|".join(METRICS_TO_KEEP)
    if not re.fullmatch(f"((A2B|B2A)/)?({names})", config.keep_best):
        raise UserError(
            f"`keep_best` must be one of {', '.join(METRICS_TO_KEEP)}, or one of these "
            f"after A2B/ or B2A/. Received: {config.keep_best!r}."
        )
    if not config.evaluate_every_epochs:
        raise UserError("`keep_best` needs `evaluate_every_epochs` of at least 1.")
    if metric.startswith("paired") and config.dataset not in DRAWN_DATASETS:
        raise UserError(
            f"`keep_best` {config.keep_best} needs the true translations, which only "
            f"{', '.join(DRAWN_DATASETS)} have in a training."
        )


def patchgan_size(image_size: int, num_layers: int) -> int:
    """Side of the logits a PatchGAN gives: 256 with 3 layers makes 30."""
    for _ in range(num_layers):
        image_size //= 2
    return image_size - 2
