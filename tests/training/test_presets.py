"""What presets promise, and where their runs go."""

import dataclasses

from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import Points
from cyclegan_tf.training import presets
from cyclegan_tf.training.presets import PRESETS


def test_presets_make_a_configuration_and_say_what_is_known():
    for name, preset in PRESETS.items():
        assert preset.config == type(preset.config)(**preset.values), name
        assert preset.record.endswith("."), name
        assert "run_dir" not in preset.values, name


def test_presets_are_measured_beside_other_options_of_theirs():
    for name, preset in PRESETS.items():
        if preset.baseline:
            other = dataclasses.replace(preset.config, **preset.baseline)
            assert other != preset.config, name
    # What each recipe adds is left out beside it.
    for name, added in {
        "digits_controllable": "lambda_features",
        "digits_semi_supervised": "lambda_unlabelled",
        "digits_domain_invariant": "lambda_domain",
        "shapes_pix2pix": "lambda_gan",
        "shapes_pix2pix_anywhere": "lambda_gan",
    }.items():
        assert PRESETS[name].baseline == {added: 0.0}
        assert getattr(PRESETS[name].config, added) > 0


def test_controllable_presets_fit_the_generator_that_they_need():
    for preset in PRESETS.values():
        if preset.needs:
            ours, theirs = preset.config, PRESETS[preset.needs].config
            assert ours.generator_run == f"runs/{preset.needs}"
            for name in ("latent_size", "num_filters"):
                assert getattr(ours, name) == getattr(theirs, name)


def test_official_presets_have_no_option_that_is_not_official():
    ours = {"input_skip", "output_activation", "upsampling", "average_decay"}
    ours |= {"test_size", "discriminator_learning_rate", "beta_2", "num_steps"}
    assert PRESETS["horse2zebra"].config == Config()
    for name in ("unet", "horse2zebra64", "shapes64", "tiny"):
        assert not ours & set(PRESETS[name].values), name
    for name in ("quick", "quick256", "demo"):
        assert PRESETS[name].values["input_skip"], name


def test_default_run_dir_is_named_by_preset_and_data():
    for (preset, dataset), name in {
        ("", "horse2zebra"): "horse2zebra",
        ("", "cycle_gan/maps"): "maps",
        ("", "/data/photos"): "photos",
        ("", "/data/photos/"): "photos",
        ("", "../photos"): "photos",
        ("tiny", "shapes"): "tiny",
        ("unet", "horse2zebra"): "unet",
        ("horse2zebra", "horse2zebra"): "horse2zebra",
        ("tiny", "maps"): "maps-tiny",
        ("tiny", "/data/photos"): "photos-tiny",
    }.items():
        assert presets.run_dir_of(preset, Config(dataset=dataset)) == f"runs/{name}"
    assert presets.run_dir_of("", Points()) == "runs/points"
    assert presets.run_dir_of("points_grid", Points()) == "runs/points_grid"


def test_default_run_dir_of_a_folder_given_by_dots_is_its_name(tmp_path, monkeypatch):
    folder = tmp_path / "pictures" / "photos"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for dataset, name in ((".", "photos"), ("..", "pictures")):
        assert presets.run_dir_of("", Config(dataset=dataset)) == f"runs/{name}"
