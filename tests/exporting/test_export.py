"""Exports of a tiny run: what is written where, and what is left of a failure.

Most tests leave out the fresh process that tries the files, since it takes seconds.
"""

import contextlib
import dataclasses
import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from helpers.exporting_samples import (
    METRICS,
    SIGNATURES,
    VERSION_FILES,
    file_names,
    files,
    passes,
    read,
    saved_run,
)
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from cyclegan_tf.data import images, shapes
from cyclegan_tf.exporting import records, saved_model, tflite_files, verification
from cyclegan_tf.exporting.export import carry_out
from cyclegan_tf.exporting.request import TFLITE_TYPES, Request
from cyclegan_tf.exporting.tflite_files import TFLiteGenerator
from cyclegan_tf.networks.generators import translate

# --- One export in each format, then one of the other direction


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """Both exports: the rows, printed lines, files and record of each."""
    output = tmp_path_factory.mktemp("exported") / "exports"
    common = Request(
        model.config.run_dir,
        output=str(output),
        max_pixels=1200,
        licence="CC0-1.0",
        num_calibration_pictures=3,
    )
    of_a2b = dataclasses.replace(common, directions=("A2B",))
    of_b2a = dataclasses.replace(
        common, directions=("B2A",), formats=("savedmodel",), licence="MIT"
    )
    steps = {}
    for name, request in (("A2B", of_a2b), ("B2A", of_b2a)):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
            if name == "B2A":
                patch.setattr(verification, "verify", passes)
            rows = carry_out(request)
        steps[name] = {
            "rows": rows,
            "printed": printed.getvalue().splitlines(),
            "files": files(output),
            "record": read(output / "export.json"),
            "card": (output / "README.md").read_text(),
        }
    return output, steps


def paths_of(direction) -> list[str]:
    folder = f"saved_model/shapes_{direction}/1"
    return [f"{folder}:{signature}" for signature in SIGNATURES]


ALL_PATHS = [
    *paths_of("A2B"),
    *(f"tflite/shapes_A2B_{kind}.tflite" for kind in TFLITE_TYPES),
    "keras/shapes_A2B.keras",
]


def test_files_lie_where_they_should_and_nothing_else_does(exported):
    output, steps = exported
    expected = {"README.md", "export.json", "keras/shapes_A2B.keras"}
    expected |= {"saved_model/models.config", "saved_model/batching_parameters.config"}
    for kind in TFLITE_TYPES:
        expected |= {f"tflite/shapes_A2B_{kind}.{end}" for end in ("tflite", "json")}
    expected |= {f"saved_model/shapes_A2B/1/{name}" for name in VERSION_FILES}
    after_a2b = steps["A2B"]["files"]
    assert {name for name in after_a2b if (output / name).is_file()} == expected
    expected |= {f"saved_model/shapes_B2A/1/{name}" for name in VERSION_FILES}
    assert file_names(output) == expected


def test_export_of_one_direction_leaves_the_files_of_the_other(exported):
    _, steps = exported
    of_both = {"README.md", "export.json"}
    of_both |= {"saved_model/models.config", "saved_model/batching_parameters.config"}
    before, after = steps["A2B"]["files"], steps["B2A"]["files"]
    for name in before.keys() - of_both:
        assert after[name] == before[name], name


def test_models_file_names_the_models_of_both_exports(exported):
    output, _ = exported
    settings = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((output / "saved_model/models.config").read_text(), settings)
    found = {m.name: m.base_path for m in settings.model_config_list.config}
    assert found == {
        "shapes_A2B": "/models/shapes_A2B",
        "shapes_B2A": "/models/shapes_B2A",
    }


def test_batching_file_is_written(exported):
    output, _ = exported
    text = (output / "saved_model/batching_parameters.config").read_text()
    assert text == saved_model.batching_parameters()


@pytest.mark.parametrize(("direction", "part", "which"), [("A2B", 2, 0), ("B2A", 3, 1)])
def test_warmup_request_is_a_test_picture_of_the_training_size(
    exported, direction, part, which
):
    output, _ = exported
    version = output / f"saved_model/shapes_{direction}/1"
    (record,) = tf.data.TFRecordDataset(str(version / saved_model.WARMUP_FILE))
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    assert log.predict_log.request.model_spec.name == f"shapes_{direction}"
    assert log.predict_log.request.model_spec.signature_name == "serving_default"
    sent = log.predict_log.request.inputs["image_bytes"]
    (encoded,) = tf.make_ndarray(sent)
    drawn = shapes.draw_pair((part, 0), 36)[which]
    np.testing.assert_array_equal(images.decode(encoded), images.resize(drawn, 32))


def test_record_tells_the_run_and_what_was_measured(exported, model):
    _, steps = exported
    record = dict(steps["A2B"]["record"])
    assert record.pop("parity") == steps["A2B"]["rows"]
    assert record.pop("recommended") == {
        "A2B": records.recommended(steps["A2B"]["rows"])
    }
    assert record.pop("verified_on") == "8 test pictures of shapes"
    assert record == records.record(
        name="shapes",
        kind="CycleGAN (arXiv 1703.10593)",
        config=model.config,
        step=3,
        version=1,
        metrics=METRICS,
        licence="CC0-1.0",
    )


def test_rows_are_those_of_all_files_and_pass(exported):
    _, steps = exported
    rows = {row["path"]: row for row in steps["A2B"]["rows"]}
    assert list(rows) == ALL_PATHS
    for row in rows.values():
        assert row["problem"] is None
        assert row["direction"] == "A2B"
    any_size = ["shapes_A2B/32x32", "shapes_A2B/25x19"]
    assert [rows[path]["pictures"] for path in ALL_PATHS[:3]] == [any_size] * 3
    assert [rows[path]["pictures"] for path in ALL_PATHS[3:]] == [any_size[:1]] * 6
    assert rows["keras/shapes_A2B.keras"]["max_error"] < 1e-5
    # Rounded to a level, of a float that may lie half a level away.
    of_bytes = rows["saved_model/shapes_A2B/1:translate"]["max_error"]
    assert 0.9 / 255 < of_bytes < 1.01 / 255
    for kind in ("dynamic_int8", "int8", "int16x8"):
        assert rows[f"tflite/shapes_A2B_{kind}.tflite"]["psnr"] > 20


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_version_has_a_record_and_a_card_of_its_own_rows(exported, direction):
    output, steps = exported
    version = output / f"saved_model/shapes_{direction}/1"
    record = read(version / "export.json")
    assert [row["path"] for row in record["parity"]] == paths_of(direction)
    assert record["name"] == f"shapes_{direction}"
    assert record["recommended"] == {}
    whole = steps[direction]["record"]
    same = whole.keys() - {"parity", "name", "recommended"}
    assert {key: record[key] for key in same} == {key: whole[key] for key in same}
    card = (version / "README.md").read_text()
    assert card == records.model_card(record)


def test_card_of_all_files_is_that_of_the_record(exported):
    _, steps = exported
    for step in steps.values():
        assert step["card"] == records.model_card(step["record"])
    assert all(f"| `{path}` |" in steps["A2B"]["card"] for path in ALL_PATHS)


@pytest.mark.parametrize("kind", TFLITE_TYPES)
def test_tflite_file_holds_the_description_that_lies_beside_it(exported, kind):
    output, _ = exported
    path = output / f"tflite/shapes_A2B_{kind}.tflite"
    inside = tflite_files.read_metadata(path.read_bytes())
    assert inside == read(path.with_suffix(".json"))
    expected = {
        "name": "shapes_A2B",
        "description": "CycleGAN generator that translates plain body to striped body",
        "direction": "A2B",
        "labels": {"input": "plain body", "output": "striped body"},
        "version": 1,
        "step": 3,
        "licence": "CC0-1.0",
        "kind": kind,
        "channels": "RGB",
    }
    assert inside.items() >= expected.items()
    dtype = "uint8" if kind in ("dynamic_int8", "int8") else "float32"
    assert inside["input"]["dtype"] == inside["output"]["dtype"] == dtype
    assert inside["input"]["shape"] == [1, 32, 32, 3]
    assert inside["operations"] == tflite_files.operations(path.read_bytes())


def test_files_compute_what_the_generator_of_their_direction_does(exported, model):
    output, _ = exported
    picture = images.to_float(shapes.draw_pair((7,), 32)[0][np.newaxis])
    expected = {
        direction: translate(generator, picture, 4).numpy()
        for direction, generator in (
            ("A2B", model.generator_g),
            ("B2A", model.generator_f),
        )
    }
    assert np.abs(expected["A2B"] - expected["B2A"]).mean() > 0.2
    for direction, made in expected.items():
        version = output / f"saved_model/shapes_{direction}/1"
        loaded = tf.saved_model.load(str(version))
        ours = loaded.signatures["translate_float"](images=picture)["images"]
        np.testing.assert_allclose(ours, made, atol=1e-4)
    path = output / "keras/shapes_A2B.keras"
    ours = keras.models.load_model(path)(picture)
    np.testing.assert_allclose(ours, expected["A2B"], atol=1e-4)
    for kind in TFLITE_TYPES:
        path = output / f"tflite/shapes_A2B_{kind}.tflite"
        difference = TFLiteGenerator(str(path))(picture.numpy()) - expected["A2B"]
        assert np.abs(difference).mean() < 0.1, kind


def test_larger_pictures_than_allowed_are_refused_by_the_saved_model(exported):
    output, _ = exported
    loaded = tf.saved_model.load(str(output / "saved_model/shapes_A2B/1"))

    def send(height, width):
        picture = tf.io.encode_png(np.zeros((height, width, 3), np.uint8))
        return loaded.signatures["serving_default"](image_bytes=[picture])

    assert send(30, 40)["image_bytes"].shape == (1,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="1200"):
        send(30, 41)


def test_table_and_recommended_file_are_printed(exported):
    output, steps = exported
    for direction, step in steps.items():
        printed = step["printed"]
        assert printed[-1] == f"Exported version 1 to {output}"
        at = printed.index("Verifying in a fresh process") + 1
        shown = records.table(step["rows"]).splitlines()
        assert printed[at : at + len(shown)] == shown
        advice = [
            f"For a phone, {d}: {output / path}"
            for d, path in (step["record"]["recommended"].items())
        ]
        assert printed[at + len(shown) : -1] == advice
        assert len(advice) == (1 if direction == "A2B" else 0)


# --- Another generator


def test_unet_run_is_exported_and_passes(tmp_path, output):
    saved_run(tmp_path / "run", generator="unet", num_downs=3)
    request = Request(
        str(tmp_path / "run"),
        output=str(output),
        directions=("B2A",),
        tflite_types=("float32",),
    )
    rows = carry_out(request)
    assert [row["kind"] for row in rows] == [*SIGNATURES, "float32", "keras"]
    assert rows[0]["pictures"] == ["shapes_B2A/32x32", "shapes_B2A/25x19"]
    assert all(row["problem"] is None for row in rows)
    assert read(output / "export.json")["config"]["generator"] == "unet"
