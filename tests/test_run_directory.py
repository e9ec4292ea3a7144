"""`config.json` of a run directory, and how configurations differ."""

import json
import subprocess
import sys

import pytest
from helpers.config_values import FIELDS, OTHER_VALUES, refused

from cyclegan_tf import config as configuration
from cyclegan_tf.config import Config
from cyclegan_tf.run_directory import differences, load_config, save_config

CHANGEABLE = {
    "allow_changed_data",
    "on_nonfinite",
    "deterministic",
    "data_dir",
    "cache",
    "max_steps",
    "strategy",
    "run_dir",
    "log_every_steps",
    "save_every_steps",
    "num_grid_images",
    "evaluate_every_epochs",
    "keep_best",
    "jit_compile",
    "recompute",
}


def test_other_values_cover_every_field_and_differ_from_the_defaults():
    assert set(OTHER_VALUES) == set(FIELDS)
    assert all(getattr(Config(), n) != value for n, value in OTHER_VALUES.items())


def test_saved_config_loads_as_the_same(tmp_path):
    config = Config(**{**OTHER_VALUES, "run_dir": str(tmp_path)})
    save_config(config)
    assert load_config(tmp_path) == config


def test_saving_replaces_and_leaves_one_file(tmp_path):
    for seed in (1, 2):
        save_config(Config(run_dir=str(tmp_path), seed=seed))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert load_config(tmp_path).seed == 2


def test_json_has_one_line_a_field_in_their_order():
    text = Config().to_json()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == list(FIELDS)
    assert len(text.splitlines()) == len(FIELDS) + 2


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
    path = tmp_path / run_dir
    with refused(f"No configuration at {path / 'config.json'}: "):
        load_config(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"seed": 1',
        b'{"seed": }',
        b"seed: 1",
        b'{"no_such_field": 1}',
        b"\xff\xfe\x00{}",
        b"\x00" * 64,
    ],
)
def test_damaged_config_file_is_told(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with refused(f"{path} is not a configuration of ours: "):
        load_config(tmp_path)


def test_unknown_field_of_a_config_file_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"num_blokcs": 6}')
    with refused("num_blokcs"):
        load_config(tmp_path)


@pytest.mark.parametrize("content", ["[]", "1", '"seed"', "null"])
def test_config_file_that_holds_no_object_is_told(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with refused(f"{path} is not a configuration of ours"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"seed": -1}', "`seed` must be at least 0. Received: -1."),
        ('{"seed": "1"}', "`seed` must be int. Received: '1'."),
        ('{"beta_1": NaN}', "`beta_1` must be a finite number. Received: nan."),
    ],
)
def test_bad_value_of_a_config_file_is_told(tmp_path, content, text):
    (tmp_path / "config.json").write_text(content)
    with refused(text):
        load_config(tmp_path)


# --- Differences


def test_changeable_fields_are_the_listed_ones():
    assert {n for n, f in FIELDS.items() if f.metadata["changeable"]} == CHANGEABLE


def test_differences_name_every_field_that_decides_what_is_learned():
    told = differences(Config(**OTHER_VALUES), Config())
    names = [line.partition(":")[0] for line in told]
    assert names == [name for name in FIELDS if name not in CHANGEABLE]


def test_differences_ignore_what_may_change():
    changed = {name: OTHER_VALUES[name] for name in CHANGEABLE}
    assert differences(Config(**changed), Config()) == []


def test_differences_tell_both_values():
    told = differences(Config(seed=5, flip=False), Config(seed=3))
    assert told == [
        "flip: True there, False asked for",
        "seed: 3 there, 5 asked for",
    ]


def test_an_integer_and_its_float_do_not_differ():
    assert differences(Config(lambda_cycle=10), Config()) == []


def test_config_and_flags_import_no_tensorflow():
    code = (
        "import cyclegan_tf.commands.train, sys; assert 'tensorflow' not in sys.modules"
    )
    root = configuration.__file__.rpartition("/cyclegan_tf/")[0]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
