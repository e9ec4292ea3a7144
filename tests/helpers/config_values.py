"""Values that tests of the configuration and of its flags share."""

import dataclasses
import re

import pytest

from cyclegan_tf.config import Config
from cyclegan_tf.validation import UserError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


CHOICES = {
    "cache": "auto, memory, encoded, none",
    "precision": "float32, bfloat16, float16",
    "on_nonfinite": "stop, skip",
    "generator": "resnet, unet",
    "upsampling": "transposed, resize",
    "discriminator": "patchgan, pixel",
    "discriminator_norm": "instance, layer",
    "adversarial_loss": "least_squares, binary_cross_entropy, hinge, wgan_gp",
}


# Another good value for each field, all of them good together.
OTHER_VALUES = {
    "dataset": "maps",
    "data_dir": "/elsewhere",
    "image_size": 128,
    "load_size": 144,
    "test_size": 256,
    "flip": False,
    "cache": "none",
    "on_nonfinite": "skip",
    "allow_changed_data": True,
    "deterministic": True,
    "generator": "unet",
    "num_filters": 16,
    "num_blocks": 6,
    "num_downs": 7,
    "output_skip": True,
    "upsampling": "resize",
    "discriminator": "pixel",
    "discriminator_filters": 8,
    "discriminator_layers": 2,
    "discriminator_norm": "layer",
    "adversarial_loss": "binary_cross_entropy",
    "lambda_gradient": 5.0,
    "critic_steps": 2,
    "lambda_cycle": 2.5,
    "lambda_identity": 0.25,
    "lambda_r1": 0.2,
    "pool_size": 3,
    "batch_size": 4,
    "discriminator_pictures": 2,
    "learning_rate": 1e-3,
    "discriminator_learning_rate": 3e-4,
    "beta_1": 0.9,
    "average_decay": 0.99,
    "num_epochs": 7,
    "num_decay_epochs": 0,
    "identity_every_steps": 4,
    "precision": "bfloat16",
    "jit_compile": True,
    "recompute": True,
    "max_steps": 12,
    "initialize_from": "runs/before",
    "seed": 3,
    "strategy": "cpu:2",
    "run_dir": "/elsewhere/run",
    "log_every_steps": 9,
    "save_every_steps": 11,
    "evaluate_every_epochs": 2,
    "keep_best": "B2A/structure",
    "num_grid_images": 2,
}


def refused(text: str):
    """Expects a UserError that holds a text."""
    return pytest.raises(UserError, match=re.escape(text))
