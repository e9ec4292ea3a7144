"""Named configurations, each with what is known of training with it."""

import dataclasses
import os
import pathlib

from cyclegan_tf.config import Config
from cyclegan_tf.family_presets import FAMILY_PRESETS, Preset
from cyclegan_tf.options import Common
from cyclegan_tf.validation import check_choice

# What the presets share that learn sooner than the official recipe.
_LEARNS_SOONER = {
    "input_skip": True,
    "output_activation": "linear",
    "upsampling": "resize",
    "average_decay": 0.995,
}

# And on real pictures, where discriminators stand on what ImageNet taught.
_PROJECTED = {
    "discriminator": "projected",
    "adversarial_loss": "hinge",
    "pool_size": 0,
    "learning_rate": 2e-4,
    "discriminator_learning_rate": 4e-4,
    "beta_2": 0.99,
}

_DEMO = {
    "dataset": "shapes",
    "image_size": 64,
    "load_size": 72,
    "num_filters": 16,
    "num_blocks": 4,
    **_LEARNS_SOONER,
    "discriminator_filters": 32,
    "learning_rate": 4e-4,
    "discriminator_layers": 2,
    "num_epochs": 1,
    "num_decay_epochs": 2,
}

PRESETS = {
    "horse2zebra": Preset(
        values={},
        record="The official recipe: 256 px, ResNet-9, 200 epochs. "
        "`python train.py`. On 2 CPU cores 5.5 s a step, 4.6 GB; meant for a GPU, the "
        "whole training not measured.",
    ),
    "unet": Preset(
        values={"generator": "unet"},
        record="The official recipe with a U-Net 256. `python train.py --preset unet`. "
        "On 2 CPU cores 1.7 s a step, 4.4 GB; meant for a GPU, the whole training not "
        "measured.",
    ),
    "horse2zebra64": Preset(
        values={
            "image_size": 64,
            "load_size": 72,
            "num_filters": 32,
            "num_blocks": 6,
            "discriminator_layers": 2,
        },
        record="64 px, 6 blocks, 32 filters: small enough for a CPU. "
        "`python train.py --preset horse2zebra64`. On 2 CPU cores 7.5 steps/s, 1.2 GB; "
        "after 9.7 of 200 epochs zebras turn brown with faint stripes and horses grey; "
        "the whole training not measured.",
    ),
    "tiny": Preset(
        values={
            "dataset": "shapes",
            "image_size": 32,
            "load_size": 36,
            "num_filters": 4,
            "num_blocks": 1,
            "num_downs": 5,
            "discriminator_filters": 4,
            "discriminator_layers": 2,
            "pool_size": 4,
            "num_epochs": 1,
            "num_decay_epochs": 1,
            "log_every_steps": 10,
            "save_every_steps": 50,
        },
        record="32 px, 8,667 weights a generator: for tests; nothing to look at.",
    ),
    "shapes64": Preset(
        values={
            "dataset": "shapes",
            "image_size": 64,
            "load_size": 72,
            "num_filters": 24,
            "num_blocks": 4,
            "discriminator_filters": 32,
            "lambda_identity": 1.0,
            "learning_rate": 4e-4,
            "num_epochs": 4,
            "num_decay_epochs": 4,
        },
        record="The official networks, small, on drawn bodies at 64 px. "
        "`python train.py --preset shapes64`. 4 minutes on 2 CPU cores, 1.0 GB; error "
        "to the truth 18.6 and 9.0 levels of 255, of doing nothing 29.0 and 27.2.",
    ),
    "quick": Preset(
        values={
            "image_size": 128,
            "load_size": 144,
            "num_filters": 24,
            "num_blocks": 6,
            **_LEARNS_SOONER,
            **_PROJECTED,
            "num_steps": 2200,
        },
        record="Zebras in minutes, 128 px: discriminators on features that ImageNet "
        "taught. `python train.py --preset quick`. 2,200 steps, on 2 CPU cores of an "
        "AMD EPYC 38 minutes beside other work, 1.7 GB. Measured with cycle 5 and "
        "identity 0.3 only, one seed: stripes on nearly every horse; another training "
        "inverted colours, so the preset has the official weights.",
    ),
    "quick256": Preset(
        values={
            **_LEARNS_SOONER,
            **_PROJECTED,
            "num_steps": 8000,
        },
        record="The recipe of `quick` at 256 px with the official filters and blocks, "
        "for one GPU. `python train.py --preset quick256`. Not measured.",
    ),
    "demo": Preset(
        values=_DEMO,
        record="Stripes on and off drawn bodies at 64 px, learned sooner. "
        "`python train.py --preset demo`. 2.5 minutes on 2 CPU cores; error to the "
        "truth 13.2 and 7.8 levels of 255, of doing nothing 29.0 and 27.2.",
    ),
    "limits": Preset(
        values={**_DEMO, "input_skip": False, "dataset": "shapes_upside_down"},
        record="Where CycleGAN fails: animals are to be turned upside down. `python "
        "train.py --preset limits`. 2 to 8 minutes on one shared CPU core; with the "
        "demo's recipe of November 2026 an error of 1.5 times that of doing nothing, "
        "of a change of colour 0.35 times.",
        baseline={"dataset": "shapes_colour"},
    ),
    **FAMILY_PRESETS,
}


def preset(name: str, **fields) -> Config | Common:
    """A named configuration, with fields of your own.

        config = preset("demo", run_dir="runs/mine", max_steps=200)

    Args:
      name: One of `PRESETS`: `horse2zebra` (the official recipe), `unet`,
        `horse2zebra64`, `shapes64`, `quick`, `quick256`, `demo` or `tiny`; of the
        models beside CycleGAN `points`, `points_grid`, `points_wgan_gp`,
        `shapes_pix2pix` or `shapes_pix2pix_anywhere`.
      **fields: Fields of the configuration that win over the preset's.

    Returns:
      The configuration; its `run_dir` is `runs/NAME` unless given.

    Raises:
      UserError: there is no such preset, or a value is out of range.
      TypeError: there is no such field.
    """
    check_choice("preset", name, PRESETS)
    config = dataclasses.replace(PRESETS[name].config, **fields)
    if config.run_dir:
        return config
    return dataclasses.replace(config, run_dir=run_dir_of(name, config))


def run_dir_of(preset: str, config: Config | Common) -> str:
    """Where a run goes that names no `run_dir`.

    Args:
      preset: The preset that was asked for, or "" for none.
      config: The configuration.

    Returns:
      `runs/PRESET` for a preset on its own data set, `runs/DATASET` without a preset,
      else `runs/DATASET-PRESET`; of a model beside CycleGAN `runs/PRESET`, or
      `runs/MODEL`.
    """
    if not isinstance(config, Config):
        return str(pathlib.Path("runs") / (preset or config.model))
    name = pathlib.Path(os.path.expanduser(config.dataset)).resolve().name
    if preset and config.dataset == PRESETS[preset].config.dataset:
        name = preset
    elif preset:
        name = f"{name}-{preset}"
    return str(pathlib.Path("runs") / name)
