"""What each preset builds, and where its runs go."""

import dataclasses

import pytest

from cyclegan_tf import presets, validation
from cyclegan_tf.config import Config
from cyclegan_tf.options import (
    DCGAN,
    Conditional,
    Controllable,
    DomainInvariant,
    Pix2Pix,
    Points,
    SemiSupervised,
)
from cyclegan_tf.presets import PRESETS

# What each preset must keep: dataset, image_size, load_size, generator, num_filters,
# num_blocks, side of the discriminators' logits, total_epochs.
PRESET_ROWS = {
    "horse2zebra": ("horse2zebra", 256, 286, "resnet", 64, 9, 30, 200),
    "unet": ("horse2zebra", 256, 286, "unet", 64, 9, 30, 200),
    "horse2zebra64": ("horse2zebra", 64, 72, "resnet", 32, 6, 14, 200),
    "tiny": ("shapes", 32, 36, "resnet", 4, 1, 6, 2),
    "shapes64": ("shapes", 64, 72, "resnet", 24, 4, 6, 8),
    "quick": ("horse2zebra", 64, 128, "resnet", 16, 6, 6, 28),
    "quick256": ("horse2zebra", 128, 256, "resnet", 64, 9, 14, 36),
    "demo": ("shapes", 64, 72, "resnet", 16, 4, 14, 3),
    "limits": ("shapes_upside_down", 64, 72, "resnet", 16, 4, 14, 3),
}

_DIGITS = {"num_filters": 16, "latent_size": 64, "batch_size": 64}

SMALL_PIX2PIX = {
    "image_size": 64,
    "num_filters": 16,
    "discriminator_filters": 16,
    "discriminator_layers": 2,
    "learning_rate": 1e-3,
    "num_steps": 2000,
    "show_every_steps": 500,
    "lambda_gan": 1.0,
}

MODEL_ROWS = {
    "points": Points(points="ring", adversarial_loss="binary_cross_entropy"),
    "points_grid": Points(
        points="grid", num_layers=3, adversarial_loss="binary_cross_entropy"
    ),
    "points_wgan_gp": Points(
        points="grid",
        num_layers=3,
        adversarial_loss="wgan_gp",
        critic_steps=5,
        beta_1=0.0,
        beta_2=0.9,
    ),
    "digits_dcgan": DCGAN(**_DIGITS, norm="batch", num_steps=4_000),
    "digits_conditional": Conditional(**_DIGITS, num_steps=2_000),
    "digits_controllable": Controllable(
        **{**_DIGITS, "batch_size": 200},
        num_steps=200,
        learning_rate=5e-2,
        lambda_features=10.0,
        show_every_steps=100,
    ),
    "digits_semi_supervised": SemiSupervised(
        num_labels=50,
        moves=0.7,
        noise=0.4,
        num_steps=2_400,
        batch_size=64,
        show_every_steps=800,
    ),
    "digits_domain_invariant": DomainInvariant(
        lambda_domain=1.0, lambda_r1=0.3, num_steps=4_000, batch_size=64
    ),
    "shapes_pix2pix": Pix2Pix(dataset="shapes", lambda_l1=100.0, **SMALL_PIX2PIX),
    "shapes_pix2pix_anywhere": Pix2Pix(
        dataset="shapes_anywhere", lambda_l1=10.0, **SMALL_PIX2PIX
    ),
}

BASELINES = {
    "digits_dcgan": {"norm": "none"},
    "digits_controllable": {"lambda_features": 0.0},
    "digits_semi_supervised": {"lambda_unlabelled": 0.0},
    "digits_domain_invariant": {"lambda_domain": 0.0},
    "shapes_pix2pix": {"lambda_gan": 0.0},
    "shapes_pix2pix_anywhere": {"lambda_gan": 0.0},
    "limits": {"dataset": "shapes_colour"},
}


@pytest.mark.parametrize("name", PRESET_ROWS)
def test_preset_builds_what_its_row_says(name):
    config = PRESETS[name].config
    assert (
        config.dataset,
        config.image_size,
        config.load_size,
        config.generator,
        config.num_filters,
        config.num_blocks,
        validation.patchgan_size(config.image_size, config.discriminator_layers),
        config.total_epochs,
    ) == PRESET_ROWS[name]


def test_every_preset_has_a_row():
    assert set(PRESETS) == set(PRESET_ROWS) | set(MODEL_ROWS)


def test_preset_of_another_model_builds_what_its_row_says():
    for name, row in MODEL_ROWS.items():
        assert PRESETS[name].config == row


def test_presets_are_measured_beside_other_options_of_theirs():
    assert {n: p.baseline for n, p in PRESETS.items() if p.baseline} == BASELINES
    for name, values in BASELINES.items():
        config = PRESETS[name].config
        assert dataclasses.replace(config, **values) != config


def test_controllable_presets_fit_the_generator_that_they_need():
    for preset in PRESETS.values():
        if preset.needs:
            ours, theirs = preset.config, PRESETS[preset.needs].config
            assert ours.generator_run == f"runs/{preset.needs}"
            assert (ours.latent_size, ours.num_filters) == (
                theirs.latent_size,
                theirs.num_filters,
            )


@pytest.mark.parametrize("name", PRESETS)
def test_preset_says_what_is_known(name):
    assert PRESETS[name].record.endswith(".")


def test_presets_leave_the_run_dir_to_the_default():
    assert all("run_dir" not in preset.values for preset in PRESETS.values())


def test_official_presets_have_no_option_that_is_not_official():
    ours = {"output_skip", "upsampling", "average_decay", "discriminator_pictures"}
    ours |= {"test_size", "discriminator_learning_rate", "discriminator_norm"}
    ours |= {"lambda_r1"}
    for name in ("horse2zebra", "unet", "horse2zebra64", "shapes64", "tiny"):
        assert not ours & set(PRESETS[name].values), name
    for name in ("quick", "quick256", "demo"):
        assert PRESETS[name].values["output_skip"], name


def test_preset_horse2zebra_is_the_default():
    assert PRESETS["horse2zebra"].config == Config()


@pytest.mark.parametrize(
    ("preset", "dataset", "run_dir"),
    [
        ("", "horse2zebra", "runs/horse2zebra"),
        ("", "maps", "runs/maps"),
        ("", "cycle_gan/maps", "runs/maps"),
        ("", "/data/photos", "runs/photos"),
        ("", "/data/photos/", "runs/photos"),
        ("", "../photos", "runs/photos"),
        ("tiny", "shapes", "runs/tiny"),
        ("unet", "horse2zebra", "runs/unet"),
        ("horse2zebra", "horse2zebra", "runs/horse2zebra"),
        ("tiny", "maps", "runs/maps-tiny"),
        ("tiny", "/data/photos", "runs/photos-tiny"),
    ],
)
def test_default_run_dir(preset, dataset, run_dir):
    assert presets.run_dir_of(preset, Config(dataset=dataset)) == run_dir


@pytest.mark.parametrize(("preset", "name"), [("", "points"), ("points_grid",) * 2])
def test_default_run_dir_of_another_model_is_its_preset_or_name(preset, name):
    assert presets.run_dir_of(preset, Points()) == f"runs/{name}"


@pytest.mark.parametrize(("dataset", "name"), [(".", "photos"), ("..", "pictures")])
def test_default_run_dir_of_a_folder_given_by_dots_is_its_name(
    tmp_path, monkeypatch, dataset, name
):
    folder = tmp_path / "pictures" / "photos"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert presets.run_dir_of("", Config(dataset=dataset)) == f"runs/{name}"
