"""`config.json` of a run directory, and how configurations differ."""

import dataclasses
import json

import pytest
from helpers.config_values import FIELDS, OTHER_VALUES, refused

from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import Pix2Pix, Points
from cyclegan_tf.training.run_directory import (
    check_same,
    differences,
    load_config,
    load_options,
    save_config,
    with_absolute_paths,
)

CHANGEABLE = {name for name, f in FIELDS.items() if f.metadata["changeable"]}


def test_saved_config_loads_as_the_same(tmp_path):
    assert all(getattr(Config(), n) != value for n, value in OTHER_VALUES.items())
    config = Config(**{**OTHER_VALUES, "run_dir": str(tmp_path)})
    save_config(config)
    assert load_config(tmp_path) == config
    text = (tmp_path / "config.json").read_text()
    assert text.endswith("}\n") and len(text.splitlines()) == len(FIELDS) + 3
    assert list(json.loads(text)) == ["model", *FIELDS]


def test_saving_replaces_and_leaves_one_file(tmp_path):
    for seed in (1, 2):
        save_config(Config(run_dir=str(tmp_path), seed=seed))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert load_config(tmp_path).seed == 2


def test_moved_run_loads_with_its_new_run_dir(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    save_config(Config(run_dir=str(before)))
    before.rename(after)
    assert load_config(after).run_dir == str(after)


@pytest.mark.parametrize("run_dir", ["missing", "empty", "file", "folder"])
def test_missing_config_file_is_told(tmp_path, run_dir):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    (tmp_path / "folder" / "config.json").mkdir(parents=True)
    with refused(f"No configuration at {tmp_path / run_dir / 'config.json'}: "):
        load_config(tmp_path / run_dir)


@pytest.mark.parametrize(
    "content",
    (b"", b'{"seed": 1', b'{"seed": }', b"seed: 1", b"\xff\xfe\x00{}", b"\x00" * 64)
    + (b"[]", b"1", b'"seed"', b"null"),
)
def test_damaged_config_file_is_told(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with refused(f"{path} is not a configuration of ours: "):
        load_config(tmp_path)


def test_bad_field_or_value_of_a_config_file_is_told(tmp_path):
    for content, told in {
        '{"num_blokcs": 6}': "num_blokcs",
        '{"seed": -1}': "`seed` must be at least 0. Received: -1.",
        '{"seed": "1"}': "`seed` must be int. Received: '1'.",
        '{"beta_2": NaN}': "`beta_2` must be a finite number. Received: nan.",
        '{"lambda_r1": 0.2}': "it uses `lambda_r1`, which",
        '{"beta_1": 0.9}': "it uses `beta_1`, which",
    }.items():
        (tmp_path / "config.json").write_text(content)
        with refused(told):
            load_config(tmp_path)


def test_field_that_went_is_read_where_it_changed_nothing(tmp_path):
    gone = {"lambda_r1": 0.0, "critic_steps": 1, "output_skip": False, "beta_1": 0.5}
    for rows in (4, 2):  # A number of pictures never decided what was learned.
        values = {**gone, "num_grid_images": rows, "seed": 4}
        (tmp_path / "config.json").write_text(json.dumps(values))
        assert load_config(tmp_path).seed == 4


def test_config_file_names_its_model_and_without_a_name_is_a_cyclegans(tmp_path):
    for values, kind in (
        ({"seed": 4}, Config),
        ({"model": "cyclegan"}, Config),
        ({"model": "points", "beta_1": 0.25, "critic_steps": 3}, Points),
    ):
        (tmp_path / "config.json").write_text(json.dumps(values))
        options = load_options(tmp_path)
        assert type(options) is kind
        assert {"model": kind.model, **dataclasses.asdict(options)}.items() >= (
            values.items()
        )


# --- Differences


def test_what_may_change_is_not_what_is_learned():
    """Where it is computed, stored and told may change, and when it stops."""
    assert {"data_dir", "cache", "max_steps", "strategy", "run_dir"} < CHANGEABLE
    assert {"save_every_steps", "jit_compile", "recompute"} < CHANGEABLE
    groups = {FIELDS[name].metadata["group"] for name in CHANGEABLE}
    assert not groups & {"Networks", "Losses"}
    assert not CHANGEABLE & {"seed", "batch_size", "precision", "image_size", "flip"}


def test_differences_name_every_field_that_decides_what_is_learned():
    told = differences(Config(**OTHER_VALUES), Config())
    assert [*told] == [name for name in FIELDS if name not in CHANGEABLE]


def test_differences_tell_both_values():
    told = differences(Config(seed=5, flip=False), Config(seed=3))
    assert told == {
        "seed": "seed: 3 there, 5 requested",
        "flip": "flip: True there, False requested",
    }


def test_an_integer_and_its_float_do_not_differ():
    assert differences(Config(lambda_cycle=10), Config()) == {}


@pytest.mark.parametrize(
    ("before", "now", "longer"),
    [
        ({}, {}, []),
        ({"num_decay_epochs": 0}, {"num_decay_epochs": 9}, ["num_decay_epochs: 0"]),
        (
            {"num_epochs": 1, "num_decay_epochs": 2},
            {"num_epochs": 2, "num_decay_epochs": 3},
            ["num_decay_epochs: 2", "num_epochs: 1"],
        ),
        ({"num_steps": 8}, {"num_steps": 9}, ["num_steps: 8"]),
    ],
)
def test_run_may_become_longer(tmp_path, before, now, longer):
    save_config(Config(run_dir=str(tmp_path), **before))
    lines = check_same(Config(run_dir=str(tmp_path), **now)).split("; ")
    assert [line.partition(" there, ")[0] for line in lines if line] == longer


@pytest.mark.parametrize(
    ("before", "now", "field"),
    [
        ({"num_epochs": 3}, {"num_epochs": 2}, "num_epochs: 3 there, 2 requested"),
        ({"num_steps": 9}, {"num_steps": 0}, "num_steps: 9 there, 0 requested"),
        ({"num_steps": 0}, {"num_steps": 9}, "num_steps: 0 there, 9 requested"),
        ({}, {"num_epochs": 200, "seed": 5}, "seed: 0 there, 5 requested"),
        ({}, {"dataset": "maps"}, "dataset: horse2zebra there, maps requested"),
    ],
)
def test_other_changes_are_refused_and_initialize_from_is_named(
    tmp_path, before, now, field
):
    save_config(Config(run_dir=str(tmp_path), **before))
    with refused(field) as error:
        check_same(Config(run_dir=str(tmp_path), **now))
    assert f"--initialize_from {tmp_path} " in str(error.value)


def test_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    for name in ("photos", "shapes", "maps"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    names = ("photos", "shapes", "maps", "cycle_gan/maps", "horse2zebra", "none")
    for dataset in names:
        kept = with_absolute_paths(Config(dataset=dataset, data_dir="tfds"))
        expected = str(tmp_path / "photos") if dataset == "photos" else dataset
        assert (kept.dataset, kept.data_dir) == (expected, str(tmp_path / "tfds"))
    assert with_absolute_paths(Pix2Pix(dataset="maps")).dataset == str(
        tmp_path / "maps"
    )
    assert with_absolute_paths(Points()) == Points()
    with refused(f"`dataset` {tmp_path / 'gone'} is no folder"):
        with_absolute_paths(Config(dataset=str(tmp_path / "gone")))
