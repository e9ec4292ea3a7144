"""Named configurations, each with the known results of training with it."""

import dataclasses
import pathlib

from cyclegan_tf.base_options import BaseOptions, Preset
from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import FAMILY_PRESETS
from cyclegan_tf.messages import check_choice

# Presets that learn sooner than the official recipe share these.
_LEARNS_SOONER = {
    "input_skip": True,
    "output_activation": "linear",
    "upsampling": "resize",
    "average_decay": 0.995,
}

# For real pictures also discriminators on ImageNet features.
_PROJECTED = {
    "discriminator": "projected",
    "adversarial_loss": "hinge",
    "pool_size": 0,
    "learning_rate": 2e-4,
    "discriminator_learning_rate": 4e-4,
    "beta_2": 0.99,
    "discriminator_crop": 0.7,
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
        config=Config(),
        record="The official recipe: 256 px, ResNet-9, 200 epochs; 4.6 GB. Meant for a "
        "GPU; the whole training not measured.",
    ),
    "unet": Preset(
        config=Config(generator="unet"),
        record="The official recipe with a U-Net 256. On 2 CPU cores 1.7 s a step, 4.4 "
        "GB; meant for a GPU, the whole training not measured.",
    ),
    "horse2zebra64": Preset(
        config=Config(
            image_size=64,
            load_size=72,
            num_filters=32,
            num_blocks=6,
            discriminator_layers=2,
        ),
        record="64 px, 6 blocks, 32 filters: small enough for a CPU. On 2 CPU cores "
        "7.5 steps/s, 1.2 GB; after 9.7 of 200 epochs zebras turn brown with faint "
        "stripes and horses grey; the whole training not measured.",
    ),
    "tiny": Preset(
        config=Config(
            dataset="shapes",
            image_size=32,
            load_size=36,
            num_filters=4,
            num_blocks=1,
            num_downs=5,
            discriminator_filters=4,
            discriminator_layers=2,
            pool_size=4,
            num_epochs=1,
            num_decay_epochs=1,
            log_every_steps=10,
            save_every_steps=50,
        ),
        record="32 px, 8,667 weights per generator: for tests, not for pictures.",
    ),
    "shapes64": Preset(
        config=Config(
            dataset="shapes",
            image_size=64,
            load_size=72,
            num_filters=24,
            num_blocks=4,
            discriminator_filters=32,
            lambda_identity=1.0,
            learning_rate=4e-4,
            num_epochs=4,
            num_decay_epochs=4,
        ),
        record="The official networks, small, on drawn bodies at 64 px. 4 minutes on 2 "
        "CPU cores, 1.0 GB; error to the truth 18.6 and 9.0 levels of 255, of doing "
        "nothing 29.0 and 27.2.",
    ),
    "quick": Preset(
        config=Config(
            image_size=128,
            load_size=144,
            num_filters=24,
            num_blocks=6,
            **_LEARNS_SOONER,
            **_PROJECTED,
            feature_size=224,
            cycle_pooling=4,
            num_steps=2200,
        ),
        record="Zebras in minutes, 128 px: discriminators on ImageNet features. 2,200 "
        "steps, on 2 CPU cores of an AMD EPYC 35 to 69 minutes, the longer beside "
        "other work. One seed of horse2zebra: kernel distance 0.40 and 0.63 of doing "
        "nothing's; 76% of the horses are classified as zebras.",
    ),
    "quick256": Preset(
        config=Config(**_LEARNS_SOONER, **_PROJECTED, cycle_pooling=8, num_steps=8000),
        record="The recipe of `quick` at 256 px with the official filters and blocks, "
        "for one GPU. Not measured.",
    ),
    "demo": Preset(
        config=Config(**_DEMO),
        record="Stripes on and off drawn bodies at 64 px, learned sooner. 2.5 minutes "
        "on 2 CPU cores; error to the truth 13.2 and 7.8 levels of 255, of doing "
        "nothing 29.0 and 27.2.",
    ),
    "limits": Preset(
        config=Config(
            **{**_DEMO, "input_skip": False, "dataset": "shapes_upside_down"}
        ),
        record="Where CycleGAN fails: the target animals are upside down. 2 to 8 "
        "minutes on one shared CPU core; with the demo's recipe of November 2026 the "
        "error is 1.5 times that of doing nothing, for a change of colour 0.35 times.",
        baseline={"dataset": "shapes_colour"},
    ),
    **FAMILY_PRESETS,
}


def preset(name: str, **fields) -> BaseOptions:
    """Returns a named configuration with some fields of your own.

        config = preset("demo", run_dir="runs/mine", max_steps=200)

    Args:
      name: A key of `PRESETS`, such as `horse2zebra` (the official recipe) or `demo`.
      **fields: Your fields; the default `run_dir` is `runs/NAME`.

    Raises:
      UserError: there is no such preset, or a value is out of range.
      TypeError: there is no such field.
    """
    check_choice("preset", name, PRESETS)
    config = dataclasses.replace(PRESETS[name].config, **fields)
    if config.run_dir:
        return config
    return dataclasses.replace(config, run_dir=run_dir_of(name, config))


def run_dir_of(preset: str, config: BaseOptions) -> str:
    """Returns the default run directory; `preset` may be empty.

    It is `runs/PRESET`, or `runs/DATASET-PRESET` for a CycleGAN on another data set
    than the preset's. Without a preset it is `runs/DATASET`, or `runs/MODEL` for a
    model beside CycleGAN.
    """
    name = preset or config.data_name or config.model
    if preset and config.data_name:
        if config.dataset != PRESETS[preset].config.dataset:
            name = f"{config.data_name}-{preset}"
    return str(pathlib.Path("runs") / name)
