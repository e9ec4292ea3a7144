"""What `models` lists and measures."""

import dataclasses

import pytest

from cyclegan_tf.commands import models
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import PRESETS
from cyclegan_tf.training.run_directory import load_options


def test_list_names_every_model_and_preset():
    lines = models.listing().splitlines()
    for options in OPTIONS.values():
        assert any(line.startswith(f"{options.model}: ") for line in lines)
    for name in PRESETS:
        assert sum(line.split(None, 1)[:1] == [name] for line in lines) == 1
    assert max(map(len, lines)) <= 88


# --- Measuring


@pytest.fixture
def trained(monkeypatch):
    """The presets that are trained, each with its fields; nothing is."""
    asked = []

    def train(name, run_dir, **fields):
        asked.append((name, fields))
        return {"changed": (7.0, 1.0, 3.0)[fields["seed"]], "fields": len(fields)}

    monkeypatch.setattr(models, "_train", train)
    return asked


def test_preset_is_measured_with_three_seeds_beside_its_baseline(trained):
    lines = models.measure("digits_dcgan").splitlines()
    titles = {"digits_dcgan": 1, "digits_dcgan with norm none": 2}
    for first, (title, fields) in zip((0, 5), titles.items(), strict=True):
        assert lines[first] == f"| {title} | seed 0, 1, 2 | median |"
        row = f"| fields | {fields}, {fields}, {fields} | {fields} |"
        assert lines[first + 2 : first + 4] == ["| changed | 7, 1, 3 | 3 |", row]
    assert "Python 3." in lines[-1] and "tensorflow 2." in lines[-1]
    both = {"seed": 0}, {"seed": 0, "norm": "none"}
    assert trained[:2] == [("digits_dcgan", fields) for fields in both]
    assert [fields["seed"] for _, fields in trained] == [0, 0, 1, 1, 2, 2]


def test_preset_that_needs_another_gets_a_run_of_it(trained):
    models.measure("digits_controllable")
    names = ["digits_dcgan", "digits_controllable", "digits_controllable"]
    assert [name for name, _ in trained] == 3 * names
    assert [fields["seed"] for _, fields in trained] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    ours, theirs = (fields for _, fields in trained[1:3])
    assert ours["generator_run"] == theirs["generator_run"]
    assert "lambda_features" not in ours and theirs["lambda_features"] == 0.0


SMALL = {
    "points": {"num_units": 4, "batch_size": 4, "num_steps": 1},
    "limits": {**PRESETS["tiny"].values, "max_steps": 1, "dataset": "shapes_colour"},
}
NUMBERS = {
    "points": ["modes", "within", "kl_generated_real", "kl_real_generated"],
    "limits": ["error_x_to_y", "error_doing_nothing_x_to_y"],
}


@pytest.mark.stack
@pytest.mark.parametrize(
    "name", ["points", pytest.param("limits", marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("few_shapes")
def test_numbers_are_the_last_that_a_training_shows(name, tmp_path, monkeypatch):
    config = type(PRESETS[name].config)(**SMALL[name])
    preset = dataclasses.replace(PRESETS[name], config=config)
    monkeypatch.setitem(PRESETS, name, preset)
    *found, minutes = models._train(name, str(tmp_path), seed=1)
    assert load_options(tmp_path).seed == 1
    assert found[: len(NUMBERS[name])] == NUMBERS[name] and minutes == "minutes"


def test_what_cannot_be_measured_is_refused():
    for name, told in (
        ("quick", "`measure` quick .*`evaluate`"),
        ("x", "`measure` .*x"),
    ):
        with pytest.raises(UserError, match=told):
            models.measure(name)
