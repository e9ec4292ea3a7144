"""One export in each format, by the command: what is written where, and printed.

Other tests leave out the fresh process that tries the files, since it takes seconds.
"""

import contextlib
import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from google.protobuf import text_format
from helpers.exporting_samples import (
    METRICS,
    ROOT,
    SIGNATURES,
    VERSION_FILES,
    file_names,
    files,
    passes,
    program,
    read,
    run_here,
    saved_run,
)
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from cyclegan_tf.commands.export import EXPORT
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.core.generators import translate
from cyclegan_tf.data import images, shapes
from cyclegan_tf.deploy import model_card, saved_model, verify
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.deploy.export_options import ExportOptions
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator

pytestmark = pytest.mark.stack

VERSION = "saved_model/shapes_A2B/1"
KINDS = ("float32", "int8")
PATHS = [
    *(f"{VERSION}:{signature}" for signature in SIGNATURES),
    *(f"tflite/shapes_A2B_{kind}.tflite" for kind in KINDS),
    "keras/shapes_A2B.keras",
]


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The folder of A2B in each format, what was printed, its record and its card."""
    output = tmp_path_factory.mktemp("exported") / "exports"
    arguments = [
        f"--run_dir={model.config.run_dir}",
        f"--output={output}",
        "--direction=A2B",
        "--tflite_types=float32,int8",
        "--calibration_pictures=3",
        "--max_pixels=1200",
        "--licence=CC0-1.0",
    ]
    values, printed = flags.FlagValues(), io.StringIO()
    define_flags(EXPORT.flags, values)
    values(["export.py", *arguments])
    with contextlib.redirect_stdout(printed):
        EXPORT(values)
    record, card = read(output / "export.json"), (output / "README.md").read_text()
    return output, printed.getvalue().splitlines(), record, card


def test_files_lie_where_they_should_and_nothing_else_does(exported):
    expected = {"README.md", "export.json", "keras/shapes_A2B.keras"}
    expected |= {"saved_model/models.config", "saved_model/batching_parameters.config"}
    for kind in KINDS:
        expected |= {f"tflite/shapes_A2B_{kind}.tflite"}
    expected |= {f"{VERSION}/{name}" for name in VERSION_FILES}
    assert file_names(exported[0]) == expected
    settings = model_server_config_pb2.ModelServerConfig()
    folder = exported[0] / "saved_model"
    text_format.Parse((folder / "models.config").read_text(), settings)
    (model,) = settings.model_config_list.config
    assert (model.name, model.base_path) == ("shapes_A2B", "/models/shapes_A2B")
    batching = (folder / "batching_parameters.config").read_text()
    assert batching == saved_model.BATCHING_PARAMETERS


def test_warmup_request_is_a_test_picture_of_the_training_size(exported):
    path = exported[0] / VERSION / saved_model.WARMUP_FILE
    (record,) = tf.data.TFRecordDataset(str(path))
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    assert log.predict_log.request.model_spec.name == "shapes_A2B"
    assert log.predict_log.request.model_spec.signature_name == "serving_default"
    (encoded,) = tf.make_ndarray(log.predict_log.request.inputs["image_bytes"])
    drawn = shapes.draw_pair((2, 0), 36)[0]
    np.testing.assert_array_equal(images.decode(encoded), images.resize(drawn, 32))


def test_record_and_what_is_printed_tell_the_run_and_what_was_measured(exported, model):
    output, printed, record, _ = exported
    record = dict(record)
    rows, recommended = record.pop("parity"), record.pop("recommended")
    assert recommended == {"A2B": model_card.recommended(rows)}
    assert printed[printed.index("Verifying in a fresh process") + 1 :] == [
        *model_card.table(rows).splitlines(),
        f"For a phone, A2B: {output / recommended['A2B']}",
        f"Exported version 1 to {output}",
    ]
    assert record.pop("verified_on") == "8 test pictures of shapes"
    assert record == model_card.record(
        name="shapes",
        options=model.config,
        step=3,
        version=1,
        metrics=METRICS,
        licence="CC0-1.0",
    )


def test_rows_are_those_of_all_files_and_pass(exported):
    rows = {row["path"]: row for row in exported[2]["parity"]}
    assert list(rows) == PATHS
    for row in rows.values():
        assert (row["problem"], row["direction"]) == (None, "A2B")
    any_size = ["shapes_A2B/32x32", "shapes_A2B/25x19"]
    assert [rows[path]["pictures"] for path in PATHS[:3]] == [any_size] * 3
    assert [rows[path]["pictures"] for path in PATHS[3:]] == [any_size[:1]] * 3
    assert rows["keras/shapes_A2B.keras"]["max_error"] < 1e-5
    # Rounded to a level, of a float that may lie half a level away.
    assert 0.9 / 255 < rows[f"{VERSION}:translate"]["max_error"] < 1.01 / 255
    assert rows["tflite/shapes_A2B_int8.tflite"]["psnr"] > 20


def test_version_has_a_record_and_a_card_of_its_own_rows(exported):
    output, _, whole, card = exported
    assert card == model_card.model_card(whole)
    assert all(f"| `{path}` |" in card for path in PATHS)
    record = read(output / VERSION / "export.json")
    assert [row["path"] for row in record["parity"]] == PATHS[:3]
    assert (record["name"], record["recommended"]) == ("shapes_A2B", {})
    same = whole.keys() - {"parity", "name", "recommended"}
    assert {key: record[key] for key in same} == {key: whole[key] for key in same}
    assert (output / VERSION / "README.md").read_text() == model_card.model_card(record)


def test_rows_describe_the_images_of_tflite_files(exported):
    rows = {row["path"]: row for row in exported[2]["parity"]}
    for kind, dtype in {"float32": "float32", "int8": "uint8"}.items():
        row = rows[f"tflite/shapes_A2B_{kind}.tflite"]
        content = (exported[0] / row["path"]).read_bytes()
        described = TFLiteGenerator(content).tensors()
        assert {role: row[role] for role in ("input", "output")} == described
        assert row["input"]["dtype"] == row["output"]["dtype"] == dtype
        assert row["input"]["shape"] == [1, 32, 32, 3]


def test_files_compute_what_the_generator_does(exported, model):
    output, *_ = exported
    picture = images.to_float(shapes.draw_pair((7,), 32)[0][np.newaxis])
    expected = translate(model.generator_g, picture, 4).numpy()
    other = translate(model.generator_f, picture, 4).numpy()
    assert np.abs(expected - other).mean() > 0.2
    loaded = tf.saved_model.load(str(output / VERSION))
    ours = loaded.signatures["translate_float"](images=picture)["images"]
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    ours = keras.models.load_model(output / "keras/shapes_A2B.keras")(picture)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    for kind in KINDS:
        path = output / f"tflite/shapes_A2B_{kind}.tflite"
        difference = TFLiteGenerator(str(path))(picture.numpy()) - expected
        assert np.abs(difference).mean() < 0.1, kind

    def send(height, width):
        encoded = tf.io.encode_png(np.zeros((height, width, 3), np.uint8))
        return loaded.signatures["serving_default"](image_bytes=[encoded])

    assert send(30, 40)["image_bytes"].shape == (1,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="1200"):
        send(30, 41)


def test_export_of_one_direction_leaves_the_files_of_the_other(
    exported, model, monkeypatch
):
    output, *_ = exported
    before = files(output)
    monkeypatch.setattr(verify, "verify", passes)
    request = ExportOptions(
        model.config.run_dir,
        output=str(output),
        directions=("B2A",),
        formats=("keras",),
    )
    rows = export_run(request)
    after = files(output)
    assert after.keys() - before.keys() == {"keras/shapes_B2A.keras"}
    of_both = {"README.md", "export.json", "saved_model/models.config"}
    for name in before.keys() - of_both:
        assert after[name] == before[name], name
    assert read(output / "export.json")["parity"] == rows
    picture = images.to_float(shapes.draw_pair((7,), 32)[0][np.newaxis])
    made = keras.models.load_model(output / "keras/shapes_B2A.keras")(picture)
    expected = translate(model.generator_f, picture, 4)
    np.testing.assert_allclose(made, expected, atol=1e-4)


# --- Another generator, and the program


@pytest.mark.slow
def test_unet_run_is_exported_and_passes(tmp_path, output, monkeypatch):
    monkeypatch.setattr(verify, "run_process", run_here)
    saved_run(tmp_path / "run", generator="unet", num_downs=3)
    kinds = ("float16", "dynamic_int8", "int8")
    rows = export_run(
        ExportOptions(
            str(tmp_path / "run"),
            output=str(output),
            formats=("tflite", "keras"),
            directions=("B2A",),
            tflite_types=kinds,
            num_calibration_pictures=3,
        )
    )
    assert [row["kind"] for row in rows] == [*kinds, "keras"]
    for row in rows:
        assert (row["problem"], row["pictures"]) == (None, ["shapes_B2A/32x32"])
        assert row["kind"] == "keras" or row["psnr"] > 20
        path = output / row["path"]
        if row["kind"] != "keras":
            dtype = "float32" if row["kind"] == "float16" else "uint8"
            assert row["input"]["dtype"] == dtype
            assert path.is_file()
    assert read(output / "export.json")["config"]["generator"] == "unet"


@pytest.mark.slow
def test_program_is_quiet_and_prints_where_the_file_for_a_phone_is(tmp_path):
    saved_run(tmp_path / "run")
    arguments = ["--run_dir=run", "--output=exports", "--formats=tflite"]
    arguments += ["--direction=B2A", "--tflite_types=int8", "--calibration_pictures=2"]
    result = program(tmp_path, str(ROOT / "export.py"), *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    path = "exports/tflite/shapes_B2A_int8.tflite"
    assert result.stdout.splitlines()[-2:] == [
        f"For a phone, B2A: {path}",
        "Exported version 1 to exports",
    ]
    assert (tmp_path / path).is_file()
