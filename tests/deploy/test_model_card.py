"""Records and cards of exports, and the choice of the file for a phone."""

import itertools
import json
import re
from dataclasses import asdict

import keras
import numpy as np
import PIL
import pytest
import tensorflow as tf

import cyclegan_tf
from cyclegan_tf.config import Config
from cyclegan_tf.deploy import model_card

# Data set, name of the model, labels.
DATA_SETS = [
    ("cycle_gan/facades", "facades", ("A", "B")),
    ("maps", "maps", ("A", "B")),
    ("cycle_gan/horse2zebra", "horse2zebra", ("horse", "zebra")),
    ("iphone2dslr_flower", "iphone2dslr_flower", ("iphone", "dslr_flower")),
    ("shapes", "shapes", ("plain body", "striped body")),
    ("/a/b/cats2dogs/", "cats2dogs", ("cats", "dogs")),
    ("a/b/cats2dogs", "cats2dogs", ("cats", "dogs")),
    ("~/cats2dogs", "cats2dogs", ("cats", "dogs")),
    ("./shapes", "shapes", ("A", "B")),
    ("mnist2svhn", "mnist2svhn", ("mnist", "svhn")),
    ("été2hiver", "été2hiver", ("été", "hiver")),
    ("2", "2", ("A", "B")),
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
    ("/", "model", ("A", "B")),
    ("~", "model", ("A", "B")),
]


def test_data_sets_give_labels_and_a_name_that_is_safe_in_paths():
    for dataset, name, labels in DATA_SETS:
        assert model_card.model_name(dataset) == name
        assert re.fullmatch(r"[\w-]+", name)
        assert labels is None or model_card.labels(dataset) == labels, dataset


# --- export.json


CONFIG = Config(
    dataset="/data/cats2dogs", data_dir="/home/me/tfds", run_dir="/home/me/run", seed=4
)


@pytest.fixture
def record():
    return model_card.record(
        name="pets",
        options=CONFIG,
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
    card = model_card.model_card(about)
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
    lines = model_card.model_card(about).splitlines()
    assert "For a phone, A2B: `tflite/pets_A2B_int8.tflite`." in lines
    assert "For a phone, B2A: `tflite/pets_B2A_float16.tflite`." in lines
    assert "- disc_x_loss: 0.25" in lines
    without = model_card.model_card({**about, "recommended": {}, "metrics": {}})
    assert "phone" not in without and "metrics" not in without


# --- Which TFLite file a phone should get

# Kinds with decibels and milliseconds, and size where it is another; what is chosen.
FLOATS = "float32 140 5, float16 80 5"
RECOMMENDED = {
    f"{FLOATS}, int8 29.99 10, dynamic_int8 12 10": "float16",  # None has 30 dB.
    f"{FLOATS}, int8 30 10": "int8",
    f"{FLOATS}, int8 31 99": "int8",  # Before floats that are faster and better.
    # The most exact of the equally fast; and exact is better than any number.
    f"int8 38 10, dynamic_int8 50 10, {FLOATS}": "dynamic_int8",
    "int8 150 10, dynamic_int8 exact 10": "dynamic_int8",
    # Up to twice as slow as the fastest.
    "int8 38 10, dynamic_int8 50 20": "dynamic_int8",
    "int8 38 10, dynamic_int8 50 20.1": "int8",
    "dynamic_int8 45 19, int8 35 10": "dynamic_int8",
    "int8 20 1, dynamic_int8 40 10": "dynamic_int8",  # A bad one is no pace.
    # Other sizes are left out, and other formats: the SavedModel comes first.
    f"{FLOATS}, int8 31 10, int8 60 1 64x64, float16 90 1 64x64": "int8",
    "float32 140 10, float16 80 10 64x64": None,
    f"translate_float exact 1 32x32+25x19, keras exact 1, {FLOATS}, int8 38 10": "int8",
    "float32 140 5": None,
    "translate_float exact 1, keras exact 10": None,
}


def candidate(text: str) -> dict:
    kind, psnr, milliseconds, size = (*text.split(), "32x32")[:4]
    return {
        "path": f"{kind} {size}".removesuffix(" 32x32"),
        "kind": kind,
        "psnr": None if psnr == "exact" else float(psnr),
        "milliseconds": float(milliseconds),
        "pictures": [f"shapes_A2B/{one}" for one in size.split("+")],
    }


def test_file_for_a_phone_is_chosen_by_the_rule_in_any_order():
    assert model_card.recommended([]) is None
    for text, chosen in RECOMMENDED.items():
        rows = [candidate(part) for part in text.split(", ")]
        assert model_card.recommended(rows) == chosen, text
    rows = [candidate(part) for part in list(RECOMMENDED)[3].split(", ")]
    for order in itertools.permutations(rows):
        assert model_card.recommended(list(order)) == "dynamic_int8"


def test_table_aligns_the_numbers_of_all_files():
    rows = [
        row("tflite/pets_int8.tflite", 38.16, bytes=11_376_000, max_error=0.1516),
        row("keras/pets.keras", None, bytes=5_000, max_error=8.3e-7, milliseconds=2.0),
    ]
    rows[0]["milliseconds"] = 1234.56
    assert model_card.table(rows).splitlines() == [
        "file                          MB  max error   PSNR       ms",
        "tflite/pets_int8.tflite    11.38       0.15   38.2   1234.6",
        "keras/pets.keras            0.01    8.3e-07  exact      2.0",
    ]
