"""Names, labels, `export.json` and the model card, against hand-worked cases."""

import json
import re
from dataclasses import asdict

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


def test_tfds_data_set_gives_its_name_and_labels():
    assert tuple(LABELS) == TFDS_CONFIGS
    for dataset, labels in LABELS.items():
        for name in (dataset, f"cycle_gan/{dataset}"):
            assert records.model_name(name) == dataset
            assert records.labels(name) == labels


def test_other_data_sets_give_labels_and_a_name_that_is_safe_in_paths():
    for dataset, name, labels in OTHERS:
        assert records.model_name(dataset) == name
        assert re.fullmatch(r"[\w-]+", name)
        assert labels is None or records.labels(dataset) == labels, dataset


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


def test_record_tells_the_run_but_not_the_folders_of_the_machine(record):
    values = asdict(CONFIG)
    assert values.pop("run_dir") == "/home/me/run"
    assert values.pop("data_dir") == "/home/me/tfds"
    assert values["dataset"] == "/data/cats2dogs"
    assert {key: value for key, value in record.items() if key != "versions"} == {
        "name": "pets",
        "kind": "CycleGAN (arXiv 1703.10593)",
        "version": 3,
        "step": 12345,
        "labels": {"A": "cats", "B": "dogs"},
        "licence": "MIT",
        "metrics": {"disc_x_loss": 0.25},
        "config": {**values, "dataset": "cats2dogs"},
    }
    assert "/home/me" not in json.dumps(record)
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


def test_card_is_one_title_a_table_of_all_files_and_what_was_measured(about):
    card = records.model_card(about)
    lines = card.splitlines()
    assert lines[:2] == ["# pets, version 3", ""]
    assert card.endswith(".\n") and "\n\n\n" not in card
    text = " ".join(lines)
    for told in ("A2B translates cats to dogs", "12,345 steps", "`cats2dogs`"):
        assert told in text
    for told in ("256 px", "`resnet`", "MIT.", "8 pictures of a folder;"):
        assert told in text
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    assert lines[first - 1] == ""
    heads, rule, *rows = (
        [cell.strip() for cell in line[1:-1].split("|")]
        for line in lines[first:]
        if line.startswith("|")
    )
    assert rule == ["---"] * len(heads)
    assert rows == [
        ["`saved_model/pets_A2B/3:translate`", "1.23", "0", "0.00", "exact", "12.3"],
        ["`tflite/pets_A2B_int8.tflite`", "1.23", "0.012", "2.55", "38.2", "12.3"],
        ["`keras/pets_B2A.keras`", "50.00", "0.012", "2.55", "120.0", "2000.0"],
    ]


def test_card_names_recommended_files_and_metrics_where_there_are_any(about):
    lines = records.model_card(about).splitlines()
    assert "For a phone, A2B: `tflite/pets_A2B_int8.tflite`." in lines
    assert "For a phone, B2A: `tflite/pets_B2A_float16.tflite`." in lines
    assert "- disc_x_loss: 0.25" in lines
    without = records.model_card({**about, "recommended": {}, "metrics": {}})
    assert "phone" not in without and "metrics" not in without
