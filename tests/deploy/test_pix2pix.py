"""Exports of pix2pix runs: the right direction, from the right weights."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import run_here, untrained_run

from cyclegan_tf.data import images, shapes
from cyclegan_tf.deploy import conversion, verify
from cyclegan_tf.deploy.export import export as export_run
from cyclegan_tf.deploy.load import load
from cyclegan_tf.family.pix2pix import Pix2PixGAN
from cyclegan_tf.messages import UserError
from cyclegan_tf.training import checkpoints
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import newest_checkpoint, save_config

SIZES = {"image_size": 16, "load_size": 18, "num_downs": 4, "num_filters": 2}
SIZES |= {"discriminator_filters": 2, "discriminator_layers": 1, "num_steps": 3}
SERVED = ["translate_float", "translate", "serving_default", "float32"]

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("few_shapes")]


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Exports a run of a direction; gives its rows, and pictures with translations."""
    monkeypatch.setattr(verify, "run_process", run_here)

    def make(direction, **asked):
        options = preset("shapes_pix2pix", run_dir=str(tmp_path / "run"))
        options = dataclasses.replace(options, direction=direction, **SIZES)
        untrained_run(options, factor=2.0)
        log = json.dumps({"step": 3, "error": 40.0, "epoch": 2})
        (tmp_path / "run/log.jsonl").write_text(f"{log}\n")
        rows = export_run(options.run_dir, **asked)
        model = Pix2PixGAN(options)
        networks = {"generator": model.generator}
        checkpoints.restore_networks(newest_checkpoint(options.run_dir), networks)
        inputs, expected, _ = model.translate(range(2))
        assert np.abs(inputs.astype(int) - expected).mean() > 20
        return rows, inputs, expected

    return make


def test_exported_file_gives_what_the_generator_gives(export, tmp_path):
    rows, inputs, expected = export("a_to_b", formats=("keras",))
    assert [(row["kind"], row["problem"]) for row in rows] == [("keras", None)]
    generator = keras.models.load_model(tmp_path / "run/export/keras/shapes_A2B.keras")
    made = images.to_uint8(generator(images.to_float(inputs))).numpy()
    assert np.abs(made.astype(int) - expected).max() <= 1
    record = json.loads((tmp_path / "run/export/export.json").read_text())
    assert record["step"] == 3 and record["kind"].startswith("pix2pix")
    assert record["metrics"]["error"] == 40.0
    card = (tmp_path / "run/export/README.md").read_text()
    assert "pix2pix (arXiv 1611.07004)" in card


@pytest.mark.slow
def test_served_files_of_the_other_direction_give_the_same(export, tmp_path):
    asked = {"formats": ("savedmodel", "tflite"), "tflite_types": ("float32",)}
    rows, inputs, expected = export("b_to_a", **asked)
    assert [(row["kind"], row["problem"]) for row in rows] == [
        (kind, None) for kind in SERVED
    ]
    folder = tmp_path / "run/export"
    served = tf.saved_model.load(str(folder / "saved_model/shapes_B2A/1"))
    made = served.signatures["translate"](images=tf.constant(inputs))["images"]
    assert np.abs(made.numpy().astype(int) - expected).max() <= 1
    pngs = [tf.io.encode_png(picture) for picture in inputs]
    made = served.signatures["serving_default"](image_bytes=tf.stack(pngs))
    first = images.decode(made["image_bytes"].numpy()[0])
    assert np.abs(first.astype(int) - expected[0]).max() <= 1
    names = [path.name for path in folder.glob("tflite/*.tflite")]
    assert names == ["shapes_B2A_float32.tflite"]


def test_run_translates_in_its_direction_alone(export, tmp_path):
    _, inputs, expected = export("b_to_a", formats=("keras",))
    model = load(tmp_path / "run")
    for direction in (None, "B2A"):
        made = model.translate(inputs, direction)
        assert np.abs(made.astype(int) - expected).max() <= 1
    with pytest.raises(UserError, match="`direction`.* B2A.*'A2B'"):
        model.translate(inputs, "A2B")
    with pytest.raises(UserError, match="`direction`.* B2A.*'A2B'"):
        export_run(tmp_path / "run", directions=("A2B",))


def test_files_are_tried_on_test_inputs_and_calibrated_on_training_inputs(
    export, tmp_path, monkeypatch
):
    calls, convert = [], conversion.convert

    def spy(*args):
        calls.append(args[-1])
        return convert(*args)

    monkeypatch.setattr(conversion, "convert", spy)
    asked = {"tflite_types": ("int8",), "num_calibration_pictures": 5}
    export("a_to_b", formats=("tflite",), **asked)
    ((*calibration,),) = calls
    drawn = [shapes.draw_pair((0, i), 18)[0] for i in range(5)]
    expected = [images.resize(picture, 16) for picture in drawn]
    np.testing.assert_array_equal(calibration, expected)
    record = json.loads((tmp_path / "run/export/export.json").read_text())
    assert record["verified_on"] == "3 test pictures of shapes"
    assert record["config"]["direction"] == "a_to_b"


def test_run_without_a_checkpoint_is_refused(tmp_path):
    options = preset("shapes_pix2pix", run_dir=str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    save_config(options)
    with pytest.raises(UserError, match="run .*checkpoint"):
        export_run(options.run_dir)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
