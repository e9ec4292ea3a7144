"""Names, labels, `export.json` and the model card, against hand-worked cases."""

import dataclasses
import json
import re

import keras
import numpy as np
import PIL
import pytest
import tensorflow as tf

import cyclegan_tf
from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.exporting import records

LABELS = {
    "apple2orange": ("apple", "orange"),
    "cezanne2photo": ("cezanne", "photo"),
    "facades": ("A", "B"),
    "horse2zebra": ("horse", "zebra"),
    "iphone2dslr_flower": ("iphone", "dslr_flower"),
    "maps": ("A", "B"),
    "monet2photo": ("monet", "photo"),
    "summer2winter_yosemite": ("summer", "winter_yosemite"),
    "ukiyoe2photo": ("ukiyoe", "photo"),
    "vangogh2photo": ("vangogh", "photo"),
}

# Data set, name of the model, labels.
OTHERS = [
    ("shapes", "shapes", ("plain body", "striped body")),
    ("/a/b/cats2dogs/", "cats2dogs", ("cats", "dogs")),
    ("a/b/cats2dogs", "cats2dogs", ("cats", "dogs")),
    ("~/cats2dogs", "cats2dogs", ("cats", "dogs")),
    ("./shapes", "shapes", ("A", "B")),
    ("mnist2svhn", "mnist2svhn", ("mnist", "svhn")),
    ("été2hiver", "été2hiver", ("été", "hiver")),
    ("2", "2", ("A", "B")),
    ("a2", "a2", ("A", "B")),
    ("men2", "men2", ("A", "B")),
    ("2b", "2b", ("A", "B")),
    ("a2b", "a2b", ("a", "b")),
    ("photos_2023", "photos_2023", ("A", "B")),
    ("run12from", "run12from", ("A", "B")),
    ("day 1", "day_1", ("A", "B")),
    ("my cats2dogs", "my_cats2dogs", ("my_cats", "dogs")),
    ("cats:2:dogs", "cats_2_dogs", None),
    ("cats.v1", "cats_v1", ("A", "B")),
    ('a"b', "a_b", ("A", "B")),
    ("_x_", "x", ("A", "B")),
    ("..", "model", ("A", "B")),
    (".", "model", ("A", "B")),
    ("/", "model", ("A", "B")),
    ("~", "model", ("A", "B")),
]


def test_every_tfds_data_set_has_a_row():
    assert tuple(LABELS) == TFDS_CONFIGS


@pytest.mark.parametrize("prefix", ["", "cycle_gan/"])
@pytest.mark.parametrize("dataset", LABELS)
def test_tfds_data_set_gives_its_name_and_labels(dataset, prefix):
    assert records.model_name(prefix + dataset) == dataset
    assert records.labels(prefix + dataset) == LABELS[dataset]


@pytest.mark.parametrize(("dataset", "name", "labels"), OTHERS)
def test_other_data_sets_give_name_and_labels(dataset, name, labels):
    assert records.model_name(dataset) == name
    assert labels is None or records.labels(dataset) == labels


@pytest.mark.parametrize("dataset", [row[0] for row in OTHERS])
def test_name_is_safe_in_paths_and_server_settings(dataset):
    assert re.fullmatch(r"[\w-]+", records.model_name(dataset))


# --- export.json


CONFIG = Config(
    dataset="/data/cats2dogs", data_dir="/home/me/tfds", run_dir="/home/me/run", seed=4
)


@pytest.fixture
def record():
    return records.record(
        name="pets",
        kind="CycleGAN (arXiv 1703.10593)",
        config=CONFIG,
        step=12345,
        version=3,
        metrics={"disc_x_loss": 0.25},
        licence="MIT",
    )


def test_record_tells_the_run(record):
    assert record.keys() == {
        "name",
        "kind",
        "version",
        "labels",
        "licence",
        "step",
        "metrics",
        "versions",
        "config",
    }
    assert record["name"] == "pets"
    assert (record["version"], record["step"]) == (3, 12345)
    assert record["labels"] == {"A": "cats", "B": "dogs"}
    assert record["licence"] == "MIT"
    assert record["metrics"] == {"disc_x_loss": 0.25}


def test_record_leaves_out_the_folders_of_the_machine(record):
    expected = dataclasses.asdict(CONFIG)
    assert expected.pop("run_dir") == "/home/me/run"
    assert expected.pop("data_dir") == "/home/me/tfds"
    assert expected["dataset"] == "/data/cats2dogs"
    expected["dataset"] = "cats2dogs"
    assert record["config"] == expected
    assert "/home/me" not in json.dumps(record)


def test_record_is_kept_by_json(record):
    assert json.loads(json.dumps(record)) == record


def test_versions_are_those_of_the_imported_packages(record):
    assert record["versions"].pop("python").startswith("3.")
    assert record["versions"] == {
        "cyclegan_tf": cyclegan_tf.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


# --- The model card


def row(path, psnr, **fields):
    return {
        "path": path,
        "psnr": psnr,
        "bytes": 1_234_567,
        "max_error": 0.01234,
        "mean_error": 0.02,
        "milliseconds": 12.34,
        **fields,
    }


@pytest.fixture
def about(record):
    return {
        **record,
        "verified_on": "8 pictures of a folder",
        "parity": [
            row("saved_model/pets_A2B/3:translate", None, max_error=0.0, mean_error=0),
            row("tflite/pets_A2B_int8.tflite", 38.16),
            row("keras/pets_B2A.keras", 120.0, bytes=50_000_000, milliseconds=1999.96),
        ],
        "recommended": {
            "A2B": "tflite/pets_A2B_int8.tflite",
            "B2A": "tflite/pets_B2A_float16.tflite",
        },
    }


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each run of lines that begin with a bar."""
    found, before = [], ""
    for line in card.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
            if not before.startswith("|"):
                assert before == "", "a table needs an empty line above"
                found.append([])
            found[-1].append([cell.strip() for cell in line[1:-1].split("|")])
        before = line
    return found


def test_card_has_a_row_for_each_file(about):
    (table,) = tables(records.model_card(about))
    heads, rule, *rows = table
    assert heads == [
        "file",
        "MB",
        "largest error",
        "mean error in levels of 255",
        "PSNR",
        "ms",
    ]
    assert rule == ["---"] * len(heads)
    assert rows == [
        ["`saved_model/pets_A2B/3:translate`", "1.23", "0", "0.00", "exact", "12.3"],
        ["`tflite/pets_A2B_int8.tflite`", "1.23", "0.012", "2.55", "38.2", "12.3"],
        ["`keras/pets_B2A.keras`", "50.00", "0.012", "2.55", "120.0", "2000.0"],
    ]


def test_card_begins_with_a_title_and_tells_the_training(about):
    lines = records.model_card(about).splitlines()
    assert lines[:2] == ["# pets, version 3", ""]
    text = " ".join(lines)
    assert "A2B translates cats to dogs, B2A dogs to cats." in text
    assert "12,345 steps on `cats2dogs` at 256 px" in text
    assert "a `resnet` generator" in text
    assert "Licence: MIT." in text
    assert "on 8 pictures of a folder;" in text


def test_card_names_the_recommended_file_of_each_direction(about):
    lines = records.model_card(about).splitlines()
    assert "For a phone, A2B: `tflite/pets_A2B_int8.tflite`." in lines
    assert "For a phone, B2A: `tflite/pets_B2A_float16.tflite`." in lines
    about["recommended"] = {}
    assert "For a phone" not in records.model_card(about)


def test_card_lists_the_metrics_where_there_are_any(about):
    card = records.model_card(about)
    assert "Last training metrics" in card
    assert "\n- disc_x_loss: 0.25\n" in card
    about["metrics"] = {}
    assert "metrics" not in records.model_card(about)


def test_card_ends_with_one_newline(about):
    card = records.model_card(about)
    assert card.endswith(".\n")
    assert "\n\n\n" not in card
