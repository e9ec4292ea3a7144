"""The files that an evaluation leaves."""

import json
import math

import numpy as np
import pytest
from helpers.quality_samples import PIXELS, array, drawn
from PIL import Image

from cyclegan_tf.evaluation import report
from cyclegan_tf.evaluation.evaluator import Evaluator, halves
from cyclegan_tf.evaluation.translations import Translations


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator({"A2B": halves(drawn(1, 1))}, PIXELS)


def test_json_has_all_and_no_infinity(evaluator, tmp_path):
    inputs, truth = array(drawn(2, 0, 6)), array(drawn(2, 1, 6))
    made = [Translations("A2B", inputs, truth, cycled=inputs, truth=truth)]
    numbers, problems = evaluator.evaluate(made)
    log = [{"step": s, "A2B/cycle_error": float(s)} for s in range(1, 8)]
    about = {"step": 7, "deep": [1.5, math.inf, {"b": math.nan}]}
    paths = report.write(
        tmp_path / "new", evaluator, made, numbers, problems, about, log
    )
    text = paths[0].read_text()
    assert "Infinity" not in text and "NaN" not in text
    record = json.loads(text)
    assert record["step"] == 7 and record["deep"] == [1.5, None, {"b": None}]
    assert record["pictures"] == {"A2B": 6}
    assert record["features"] == "pixels"
    assert record["numbers"]["A2B/cycle_psnr"]["model"] is None
    assert record["numbers"]["A2B/paired_error"]["model"] == 0
    assert record["problems"] == problems
    assert record["last_five_evaluations"]["A2B/cycle_error"]["mean"] == 5
    assert record["best_not_the_result"]["A2B/cycle_error"] == {"value": 1, "step": 1}
    assert set(record["versions"]) == {"python", "tensorflow", "keras", "numpy"}
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"evaluation.json", "evaluation.png"}


def shown(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def has_colour(page: np.ndarray, colour) -> bool:
    return bool((np.abs(page - colour).max(axis=-1) <= 1).any())


def test_page_shows_the_best_the_median_and_the_worst(evaluator, tmp_path):
    truth = np.full((5, 32, 32, 3), 128, np.uint8)
    offsets = (10, 90, 0, 60, 30)
    colours = [(128 + by, 128 - by, 128) for by in offsets]
    outputs = np.stack([np.full((32, 32, 3), c, np.uint8) for c in colours])
    made = Translations("A2B", truth, outputs, truth=truth)
    page = shown(report.write_page(evaluator, [made], tmp_path))
    seen = [by for by, c in zip(offsets, colours, strict=True) if has_colour(page, c)]
    assert seen == [90, 0, 30]


def test_page_without_probe_and_truth_is_ordered_by_features(evaluator, tmp_path):
    outputs = array(drawn(2, 1, 5))
    outputs[3] = (255, 0, 255)
    for inputs in (None, array(drawn(2, 0, 5))):
        made = Translations("A2B", inputs, outputs)
        order, texts = report._ranked(evaluator, made)
        assert order[0] == 3
        assert texts[3].startswith("distance ")
        page = shown(report.write_page(evaluator, [made], tmp_path))
        assert has_colour(page, (255, 0, 255))
