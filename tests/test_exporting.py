"""Exports of a tiny run: what is written where, and what is left of a failure.

Most tests leave out the fresh process that tries the files, since it takes seconds.
"""

import contextlib
import dataclasses
import errno
import io
import json
import pathlib
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from cyclegan_tf import (
    checkpoints,
    export_formats,
    export_records,
    exporting,
    images,
    saved_models,
    shapes,
    tflite_files,
    tflite_models,
    verification,
)
from cyclegan_tf.checkpoints import Checkpoints
from cyclegan_tf.config import Config, UserError, save_config
from cyclegan_tf.cyclegan import CycleGAN, translate
from cyclegan_tf.export_request import TFLITE_TYPES, Request
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.tflite_interpreter import TFLiteGenerator

LOG = [
    {"step": 0, "error_x_to_y": 50.0, "error_y_to_x": 60.0},
    {"step": 2, "gen_g_loss": 1.5, "epoch": 1, "steps_per_second": 9.0},
    {"step": 3, "gen_g_loss": 1.25, "epoch": 2, "peak_memory_gigabytes": 0.5},
    {"step": 3, "error_x_to_y": 40.0},
    {"step": 4, "gen_g_loss": 99.0, "disc_x_loss": 0.5},
]
METRICS = {"error_x_to_y": 40.0, "error_y_to_x": 60.0, "gen_g_loss": 1.25, "epoch": 2}

SIGNATURES = ("translate_float", "translate", "serving_default")
VERSION_FILES = {
    "README.md",
    "export.json",
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets.extra/tf_serving_warmup_requests",
}
PASSED = {
    "bytes": 1000,
    "max_error": 0.0,
    "mean_error": 0.0,
    "psnr": None,
    "milliseconds": 1.0,
    "problem": None,
}


# --- Runs and requests


def saved_run(folder, step=3, seed=1, **fields) -> CycleGAN:
    """A run of larger weights: another generator then makes another picture."""
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    values = {**PRESETS["tiny"].values, "run_dir": str(folder), **fields}
    model = CycleGAN(Config(**values), 10)
    for generator in (model.generator_g, model.generator_f):
        for variable in generator.trainable_variables:
            variable.assign(2 * variable)
    save_config(model.config)
    Checkpoints(model, folder).save(step)
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A CycleGAN, saved as a run at step 3, with a log that goes on to step 4."""
    model = saved_run(tmp_path_factory.mktemp("runs") / "run")
    lines = [json.dumps(entry) + "\n" for entry in LOG]
    log = pathlib.Path(model.config.run_dir) / "log.jsonl"
    log.write_text("".join(lines) + '{"step": 3, "gen_g_lo')
    return model


@pytest.fixture
def run_of(model, tmp_path):
    """Makes a copy of the run, with other values in its configuration."""

    def make(**fields) -> pathlib.Path:
        run = tmp_path / "run"
        shutil.copytree(model.config.run_dir, run)
        fields = {**fields, "run_dir": str(run)}
        save_config(dataclasses.replace(model.config, **fields))
        return run

    return make


@pytest.fixture
def output(tmp_path):
    return tmp_path / "above" / "exports"


@pytest.fixture
def request_of(model, output):
    """Makes a request of A2B as a Keras file, into `output`."""

    def make(run=None, **fields) -> Request:
        fields = {"directions": ("A2B",), "formats": ("keras",), **fields}
        fields = {"output": str(output), "num_calibration_pictures": 2, **fields}
        return Request(str(run or model.config.run_dir), **fields)

    return make


def files(folder) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of each file below a folder, and all folders."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else (b"", 0)
        for path in pathlib.Path(folder).rglob("*")
    }


def file_names(folder) -> set[str]:
    return {name for name in files(folder) if (folder / name).is_file()}


def read(path) -> dict:
    return json.loads(path.read_text())


@contextlib.contextmanager
def nothing_changes(folder):
    """What is below a folder, and when it was written, stays as it is."""
    before = files(folder)
    yield
    assert files(folder) == before


def passes(plan, references, folder) -> list[dict]:
    """Stands in for `verify`."""
    return [{**row, **PASSED} for row in plan]


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
            rows = exporting.export(request)
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
    assert text == saved_models.batching_parameters()


@pytest.mark.parametrize(("direction", "part", "which"), [("A2B", 2, 0), ("B2A", 3, 1)])
def test_warmup_request_is_a_test_picture_of_the_training_size(
    exported, direction, part, which
):
    output, _ = exported
    version = output / f"saved_model/shapes_{direction}/1"
    (record,) = tf.data.TFRecordDataset(str(version / saved_models.WARMUP_FILE))
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
        "A2B": verification.recommended(steps["A2B"]["rows"])
    }
    assert record.pop("verified_on") == "8 test pictures of shapes"
    assert record == export_records.record(
        name="shapes",
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
    assert card == export_records.model_card(record)


def test_card_of_all_files_is_that_of_the_record(exported):
    _, steps = exported
    for step in steps.values():
        assert step["card"] == export_records.model_card(step["record"])
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
        shown = verification.table(step["rows"]).splitlines()
        assert printed[at : at + len(shown)] == shown
        advice = [
            f"For a phone, {d}: {output / path}"
            for d, path in (step["record"]["recommended"].items())
        ]
        assert printed[at + len(shown) : -1] == advice
        assert len(advice) == (1 if direction == "A2B" else 0)


# --- Without the fresh process


@pytest.fixture
def tried(monkeypatch):
    """Every file passes; gives the (plan, references, folder) of each export."""
    calls = []

    def verify(plan, references, folder):
        calls.append((plan, references, folder))
        return passes(plan, references, folder)

    monkeypatch.setattr(verification, "verify", verify)
    return calls


@pytest.fixture
def light(tried, monkeypatch):
    """SavedModels are a file that names them, tried on one picture."""

    def write(model, request, folder):
        place = f"saved_model/{model.name}/{request.version}"
        (folder / place).mkdir(parents=True)
        (folder / place / "saved_model.pb").write_text(model.name)
        path = f"{place}:translate"
        return [{"path": path, "kind": "translate", "sizes": [model.size]}]

    monkeypatch.setitem(export_formats.WRITERS, "savedmodel", write)
    monkeypatch.setattr(exporting, "_NUM_TEST_PICTURES", 1)
    return tried


@pytest.fixture
def versions_of(output):
    def found(direction="A2B", name="shapes") -> list[str]:
        folder = output / "saved_model" / f"{name}_{direction}"
        return sorted(path.name for path in folder.glob("*"))

    return found


SAVED_MODEL = {"formats": ("savedmodel",)}
BOTH = {"formats": ("savedmodel",), "directions": ("A2B", "B2A")}


def test_versions_follow_the_last_one(light, request_of, versions_of):
    exporting.export(request_of(**SAVED_MODEL))
    exporting.export(request_of(**SAVED_MODEL))
    assert versions_of() == ["1", "2"]
    exporting.export(request_of(version=7, **SAVED_MODEL))
    exporting.export(request_of(**SAVED_MODEL))
    assert versions_of() == ["1", "2", "7", "8"]
    exporting.export(request_of(version=5, **SAVED_MODEL))
    exporting.export(request_of(version=10, **SAVED_MODEL))
    exporting.export(request_of(**SAVED_MODEL))
    # Numbers, not texts: 10 is above 8.
    assert set(versions_of()) == {"1", "2", "5", "7", "8", "10", "11"}


def test_later_version_leaves_the_earlier_as_they_were(light, request_of, output):
    exporting.export(request_of(**BOTH))
    first = {k: v for k, v in files(output).items() if "/1/" in k}
    assert len(first) == 6
    exporting.export(request_of(**BOTH))
    after = files(output)
    assert {k: v for k, v in after.items() if "/1/" in k} == first
    assert len([k for k in after if "/2/" in k]) == 6


def test_both_directions_get_the_version_after_the_last_of_either(
    light, request_of, versions_of
):
    exporting.export(request_of(version=4, directions=("B2A",), **SAVED_MODEL))
    exporting.export(request_of(**SAVED_MODEL))
    assert versions_of("A2B") == ["1"]
    exporting.export(request_of(**BOTH))
    assert versions_of("A2B") == ["1", "5"]
    assert versions_of("B2A") == ["4", "5"]


def test_what_is_no_version_is_not_counted(light, request_of, output, versions_of):
    (output / "saved_model/shapes_A2B/old").mkdir(parents=True)
    (output / "saved_model/shapes_A2B/9.bak").mkdir()
    (output / "saved_model/other_A2B/6").mkdir(parents=True)
    exporting.export(request_of(**SAVED_MODEL))
    assert versions_of() == ["1", "9.bak", "old"]


def test_models_file_names_only_models_that_have_a_version(light, request_of, output):
    for path in ("other_A2B/3", "empty_A2B/4", "kept_A2B/old"):
        (output / "saved_model" / path).mkdir(parents=True)
    for path in ("other_A2B/3", "kept_A2B/old"):
        (output / "saved_model" / path / "saved_model.pb").write_text("a model")
    exporting.export(request_of(**SAVED_MODEL))
    text = (output / "saved_model/models.config").read_text()
    assert re.findall(r"name: '(\w+)'", text) == ["other_A2B", "shapes_A2B"]


@pytest.mark.parametrize("directions", [("A2B",), ("A2B", "B2A")])
def test_version_that_exists_is_refused_and_nothing_changes(
    light, request_of, output, directions
):
    exporting.export(request_of(version=2, **SAVED_MODEL))
    told = (
        f"Version 2 of shapes exists in {output}/saved_model. Versions are never "
        "written over."
    )
    again = request_of(version=2, formats=("savedmodel",), directions=directions)
    with nothing_changes(output), pytest.raises(UserError, match=f"^{told}$"):
        exporting.export(again)


def test_version_that_another_export_makes_meanwhile_is_kept(
    light, request_of, output, monkeypatch
):
    verify = verification.verify

    def meanwhile(plan, references, folder):
        theirs = output / "saved_model/shapes_B2A/1"
        theirs.mkdir(parents=True)
        (theirs / "saved_model.pb").write_text("theirs")
        return verify(plan, references, folder)

    monkeypatch.setattr(verification, "verify", meanwhile)
    with pytest.raises(UserError, match="not empty"):
        exporting.export(request_of(**BOTH))
    assert file_names(output) == {"saved_model/shapes_B2A/1/saved_model.pb"}
    theirs = output / "saved_model/shapes_B2A/1/saved_model.pb"
    assert theirs.read_text() == "theirs"


def test_files_of_the_last_export_take_the_place_of_earlier_ones(
    tried, request_of, run_of, output
):
    exporting.export(request_of())
    first = (output / "keras/shapes_A2B.keras").read_bytes()
    run = run_of()
    saved_run(run, step=8, seed=2)
    exporting.export(request_of(run))
    assert (output / "keras/shapes_A2B.keras").read_bytes() != first
    assert read(output / "export.json")["step"] == 8


def test_nothing_has_its_name_before_it_was_tried(light, request_of, output):
    (output / "saved_model").mkdir(parents=True)
    (output / "mine.txt").write_text("mine")
    with pytest.MonkeyPatch.context() as patch:
        verify = verification.verify

        def look(plan, references, folder):
            assert {p.name for p in output.iterdir()} == {
                "saved_model",
                "mine.txt",
                folder.name,
            }
            assert list((output / "saved_model").iterdir()) == []
            assert folder.parent == output and folder.name.startswith(".")
            for row in plan:
                assert (folder / row["path"].partition(":")[0]).exists()
            return verify(plan, references, folder)

        patch.setattr(verification, "verify", look)
        exporting.export(request_of(formats=("savedmodel", "keras")))
    assert {p.name for p in output.iterdir()} == {
        "saved_model",
        "mine.txt",
        "keras",
        "README.md",
        "export.json",
    }


def test_exports_go_into_the_run_if_no_output_is_named(tried, request_of, run_of):
    run = run_of()
    exporting.export(request_of(run, output=""))
    assert (run / "export/keras/shapes_A2B.keras").is_file()


def test_home_folder_is_found(tried, request_of, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    exporting.export(request_of(output="~/mine"))
    assert (tmp_path / "mine/keras/shapes_A2B.keras").is_file()


def test_name_of_the_model_is_the_one_asked_for(light, request_of, output):
    exporting.export(request_of(name="my-Model_2", formats=("savedmodel", "keras")))
    assert (output / "saved_model/my-Model_2_A2B/1/saved_model.pb").is_file()
    assert (output / "keras/my-Model_2_A2B.keras").is_file()
    assert "'my-Model_2_A2B'" in (output / "saved_model/models.config").read_text()
    record = read(output / "export.json")
    assert record["name"] == "my-Model_2"
    assert record["labels"] == {"A": "plain body", "B": "striped body"}


def test_name_of_the_model_is_that_of_the_data_set(tried, request_of, run_of, output):
    run = run_of(dataset="/data/cats2dogs/")
    photos = output.parent / "photos"
    write_pictures(photos, 1)
    exporting.export(request_of(run, pictures=str(photos), directions=("B2A",)))
    assert (output / "keras/cats2dogs_B2A.keras").is_file()


def test_run_without_a_log_has_no_metrics(tried, request_of, run_of, output):
    run = run_of()
    (run / "log.jsonl").unlink()
    exporting.export(request_of(run))
    assert read(output / "export.json")["metrics"] == {}


# --- The pictures that files are tried on and calibrated with


def write_pictures(folder, number, seed=0):
    """Pictures of 40x48; gives their pixels."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    made = random.integers(0, 256, (number, 40, 48, 3), dtype=np.uint8)
    for i, pixels in enumerate(made):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return made


@pytest.fixture
def calibrated(monkeypatch):
    """Ends an export at the first conversion; gives the calibration pictures."""
    given = []

    def convert(generator, multiple, kind, size, io, calibration):
        given.extend(calibration)
        raise UserError("seen enough")

    monkeypatch.setattr(tflite_models, "convert", convert)
    return given


@pytest.mark.parametrize(("direction", "part", "which"), [("A2B", 2, 0), ("B2A", 3, 1)])
def test_files_are_tried_on_test_pictures_of_what_they_translate(
    tried, request_of, model, direction, part, which
):
    exporting.export(request_of(directions=(direction,)))
    ((_, references, _),) = tried
    ((name, (pictures, outputs)),) = references.items()
    assert name == f"shapes_{direction}/32x32"
    drawn = [shapes.draw_pair((part, i), 36)[which] for i in range(8)]
    np.testing.assert_array_equal(pictures, [images.resize(p, 32) for p in drawn])
    generator = model.generator_g if direction == "A2B" else model.generator_f
    expected = generator(images.to_float(pictures), training=False)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_files_of_any_size_are_tried_on_an_odd_size_too(tried, request_of, model):
    exporting.export(request_of(formats=("savedmodel",)))
    ((plan, references, _),) = tried
    assert list(references) == ["shapes_A2B/32x32", "shapes_A2B/25x19"]
    pictures, outputs = references["shapes_A2B/25x19"]
    assert pictures.shape == (8, 25, 19, 3)
    expected = translate(model.generator_g, images.to_float(pictures), 4)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(("direction", "part", "which"), [("A2B", 0, 0), ("B2A", 1, 1)])
def test_scales_are_set_by_training_pictures_of_what_is_translated(
    calibrated, request_of, direction, part, which
):
    request = request_of(
        formats=("tflite",),
        directions=(direction,),
        tflite_types=("int8",),
        tflite_sizes=((24, 40),),
        num_calibration_pictures=3,
    )
    with pytest.raises(UserError, match="seen enough"):
        exporting.export(request)
    drawn = [shapes.draw_pair((part, i), 36)[which] for i in range(3)]
    expected = [images.resize(picture, (24, 40)) for picture in drawn]
    np.testing.assert_array_equal(calibrated, expected)


def test_named_folder_is_what_files_are_calibrated_with(
    calibrated, request_of, tmp_path
):
    pixels = write_pictures(tmp_path / "photos", 3)
    fields = {"formats": ("tflite",), "tflite_types": ("int16x8",)}
    with pytest.raises(UserError, match="seen enough"):
        exporting.export(request_of(pictures=str(tmp_path / "photos"), **fields))
    expected = [images.resize(pixels[i], 32) for i in (0, 2)]
    np.testing.assert_array_equal(calibrated, expected)


def test_named_folder_is_what_files_are_tried_on(tried, request_of, tmp_path, output):
    pixels = write_pictures(tmp_path / "photos", 9)
    exporting.export(request_of(pictures=str(tmp_path / "photos")))
    ((_, references, _),) = tried
    pictures, _ = references["shapes_A2B/32x32"]
    # Of nine, spread evenly over the folder.
    chosen = [0, 1, 2, 3, 5, 6, 7, 8]
    expected = [images.resize(pixels[i], 32) for i in chosen]
    np.testing.assert_array_equal(pictures, expected)
    assert read(output / "export.json")["verified_on"] == "8 pictures of a folder"


def test_card_tells_how_many_pictures_files_were_tried_on(
    tried, request_of, tmp_path, output
):
    write_pictures(tmp_path / "photos", 3)
    exporting.export(request_of(pictures=str(tmp_path / "photos")))
    assert read(output / "export.json")["verified_on"] == "3 pictures of a folder"


# --- TFLite files of other sizes and types


def test_files_of_other_sizes_have_them_in_their_names(tried, request_of, output):
    request = request_of(
        formats=("tflite",),
        tflite_types=("float32", "int16x8"),
        tflite_sizes=(None, (24, 40)),
    )
    rows = exporting.export(request)
    sizes = {
        "tflite/shapes_A2B_float32_any.tflite": None,
        "tflite/shapes_A2B_float32_24x40.tflite": (24, 40),
        "tflite/shapes_A2B_int16x8_24x40.tflite": (24, 40),
    }
    assert [row["path"] for row in rows] == list(sizes)
    for path, size in sizes.items():
        assert TFLiteGenerator(str(output / path)).size == size
        assert (output / path).with_suffix(".json").is_file()
    assert len(list((output / "tflite").iterdir())) == 6
    assert [row["pictures"] for row in rows] == [
        ["shapes_A2B/32x32", "shapes_A2B/25x19"],
        ["shapes_A2B/24x40"],
        ["shapes_A2B/24x40"],
    ]


def test_description_tells_the_types_and_labels_of_what_was_asked_for(
    tried, request_of, output
):
    request = request_of(
        formats=("tflite",),
        directions=("B2A",),
        tflite_types=("int8",),
        tflite_io="float32",
    )
    exporting.export(request)
    told = read(output / "tflite/shapes_B2A_int8.json")
    assert told["input"]["dtype"] == told["output"]["dtype"] == "float32"
    assert told["labels"] == {"input": "striped body", "output": "plain body"}
    assert told["description"].endswith("translates striped body to plain body")


@pytest.mark.parametrize(
    ("fields", "size", "multiple"),
    [
        ({}, (30, 32), 4),
        ({}, (32, 34), 4),
        ({}, (4, 32), 4),
        ({}, (32, 0), 4),
        ({}, (0, 0), 4),
        ({"generator": "unet", "num_downs": 3}, (32, 20), 8),
    ],
)
def test_size_that_does_not_fit_the_generator_is_refused(
    tried, request_of, run_of, tmp_path, fields, size, multiple
):
    run = run_of(**fields)
    told = (
        f"`tflite_size` must be multiples of {multiple}, at least 8, for this "
        f"generator. Received: {size[0]}x{size[1]}."
    )
    request = request_of(run, tflite_sizes=((32, 32), size))
    with nothing_changes(tmp_path), pytest.raises(UserError, match=f"^{told}$"):
        exporting.export(request)


def test_size_named_twice_is_written_once(tried, request_of):
    request = request_of(
        formats=("tflite",),
        tflite_types=("float32",),
        tflite_sizes=((32, 32), (32, 32)),
    )
    assert len(exporting.export(request)) == 1


def test_request_that_leaves_no_file_is_refused(tried, request_of):
    request = request_of(
        formats=("tflite",), tflite_types=("int16x8",), tflite_sizes=(None,)
    )
    with pytest.raises(UserError, match="int16x8"):
        exporting.export(request)


# --- Failures, of which nothing is left


def test_file_that_fails_its_bar_is_not_exported(
    request_of, output, tmp_path, monkeypatch, model
):
    write = export_formats.WRITERS["keras"]

    def wrong(described, request, folder):
        other = dataclasses.replace(described, generator=model.generator_f)
        return write(other, request, folder)

    monkeypatch.setitem(export_formats.WRITERS, "keras", wrong)
    with nothing_changes(tmp_path), pytest.raises(UserError) as error:
        exporting.export(request_of(formats=("savedmodel", "keras")))
    assert re.fullmatch(
        r"Not exported\. keras/shapes_A2B\.keras: its largest error is [\d.]+, "
        r"more than 0\.0001\.",
        str(error.value),
    )


FAILURES = {
    "interrupt": KeyboardInterrupt,
    "SIGTERM": SystemExit,
    "refusal": UserError,
    "full disk": OSError,
}
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["writer", "verify"])
@pytest.mark.parametrize("failure", FAILURES)
def test_failure_leaves_nothing(
    light, request_of, output, tmp_path, monkeypatch, failure, place
):
    kind = FAILURES[failure]
    error = FULL if kind is OSError else kind("failed")

    def fail(*args):
        raise error

    if place == "writer":
        monkeypatch.setitem(export_formats.WRITERS, "tflite", fail)
    else:
        monkeypatch.setattr(verification, "verify", fail)
    formats = ("savedmodel", "tflite") if place == "writer" else ("savedmodel",)
    request = request_of(formats=formats)
    with nothing_changes(tmp_path), pytest.raises(BaseException) as caught:
        exporting.export(request)
    if kind is OSError:
        told = f"{output} can't be written to: No space left on device."
        assert (type(caught.value), str(caught.value)) == (UserError, told)
    else:
        assert caught.value is error


def test_failure_leaves_what_was_there(light, request_of, output, monkeypatch):
    exporting.export(request_of(**BOTH))
    (output / "empty").mkdir()

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "verify", fail)
    with nothing_changes(output), pytest.raises(KeyboardInterrupt):
        exporting.export(request_of(**BOTH))


@pytest.fixture
def failing_rename(monkeypatch):
    """Makes renaming the folder of the second direction fail."""

    def arrange(error) -> None:
        rename = pathlib.Path.rename

        def fail(self, target):
            if "shapes_B2A" in str(target):
                raise error
            return rename(self, target)

        monkeypatch.setattr(pathlib.Path, "rename", fail)

    return arrange


def test_version_of_one_direction_goes_if_the_other_has_no_place(
    light, request_of, output, versions_of, failing_rename
):
    exporting.export(request_of(**BOTH))
    before = {name: files(output)[name] for name in file_names(output)}
    failing_rename(FULL)
    with pytest.raises(UserError, match="can't be written to: No space left"):
        exporting.export(request_of(**BOTH))
    assert versions_of("A2B") == versions_of("B2A") == ["1"]
    assert {name: files(output)[name] for name in file_names(output)} == before


def test_no_folder_is_left_where_a_version_has_no_place(
    light, request_of, tmp_path, failing_rename
):
    failing_rename(FULL)
    with nothing_changes(tmp_path), pytest.raises(UserError):
        exporting.export(request_of(**BOTH))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_interrupt_between_two_versions_leaves_neither(
    light, request_of, versions_of, failing_rename, error
):
    failing_rename(error)
    with pytest.raises(type(error)):
        exporting.export(request_of(**BOTH))
    assert versions_of("A2B") == []


def test_version_goes_if_other_files_have_no_place(
    light, request_of, output, versions_of
):
    output.mkdir(parents=True)
    (output / "keras").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="can't be written to"):
        exporting.export(request_of(formats=("savedmodel", "keras")))
    assert versions_of("A2B") == []


@pytest.mark.parametrize("below", ["", "below/it"])
def test_output_that_cannot_be_a_folder_is_refused(tried, request_of, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" / below
    with nothing_changes(tmp_path), pytest.raises(UserError) as error:
        exporting.export(request_of(output=str(place)))
    assert str(error.value).startswith(f"{place} can't be written to: ")


# --- Runs and data sets that can't be used


def refuses(request, told: str, unchanged) -> None:
    with nothing_changes(unchanged), pytest.raises(UserError, match=told) as error:
        exporting.export(request)
    assert "\n" not in str(error.value)


def test_folder_that_is_no_run_is_refused(request_of, tmp_path):
    run = tmp_path / "missing"
    refuses(request_of(run), f"^No configuration at {run}/config.json: No", tmp_path)


def test_run_with_a_damaged_configuration_is_refused(request_of, run_of, tmp_path):
    run = run_of()
    (run / "config.json").write_text('{"seed": ')
    refuses(request_of(run), f"^{run}/config.json is not a configuration", tmp_path)


def test_run_without_a_checkpoint_is_refused(request_of, run_of, tmp_path):
    run = run_of()
    shutil.rmtree(run / "checkpoints")
    refuses(request_of(run), f"^{run} has no checkpoint yet[.]$", tmp_path)


def test_run_with_half_a_checkpoint_is_refused(request_of, run_of, tmp_path):
    run = run_of()
    path = run / "checkpoints/step-3.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refuses(request_of(run), f"^Checkpoint {run}/.*step-3 is damaged [(]", tmp_path)


def test_run_of_other_networks_than_its_configuration_is_refused(
    request_of, run_of, tmp_path
):
    run = run_of(num_blocks=2)
    told = "step-3 does not hold the weights of generator_g[.]$"
    refuses(request_of(run), told, tmp_path)


@pytest.fixture
def folder_run(run_of, tmp_path):
    """A run on a folder of three training pictures a domain."""
    for domain in "AB":
        write_pictures(tmp_path / "data" / f"train{domain}", 3)
    return run_of(dataset=str(tmp_path / "data"))


def test_training_pictures_stand_in_for_missing_test_pictures(
    tried, request_of, folder_run, output
):
    exporting.export(request_of(folder_run))
    ((_, references, _),) = tried
    assert references["data_A2B/32x32"][0].shape == (3, 32, 32, 3)
    assert (output / "keras/data_A2B.keras").is_file()


def test_data_set_that_is_gone_is_told(request_of, folder_run, tmp_path):
    shutil.rmtree(tmp_path / "data")
    told = f"^Unknown dataset '{tmp_path}/data': no such folder"
    refuses(request_of(folder_run), told, tmp_path)


def test_other_pictures_can_be_named_where_the_data_set_is_gone(
    tried, request_of, folder_run, tmp_path, output
):
    shutil.rmtree(tmp_path / "data")
    write_pictures(tmp_path / "photos", 2)
    exporting.export(request_of(folder_run, pictures=str(tmp_path / "photos")))
    assert (output / "keras/data_A2B.keras").is_file()


@pytest.mark.parametrize("made", [False, True])
def test_named_folder_without_pictures_is_told(request_of, tmp_path, made):
    photos = tmp_path / "photos"
    if made:
        photos.mkdir()
    told = f"^{photos} has no picture" if made else f"^No such folder: {photos}"
    refuses(request_of(pictures=str(photos)), told, tmp_path)


def damage_all(folder):
    for path in folder.iterdir():
        path.write_bytes(b"no picture")


@pytest.mark.parametrize("format_name", ["keras", "savedmodel"])
def test_data_set_without_a_readable_test_picture_is_told(
    tried, request_of, folder_run, tmp_path, format_name
):
    damage_all(tmp_path / "data/trainA")
    request = request_of(folder_run, formats=(format_name,))
    try:
        exporting.export(request)
    except UserError as error:
        assert "trainA" in str(error)
    else:
        raise AssertionError("nothing was told")


def test_data_set_without_a_readable_calibration_picture_is_told(
    tried, request_of, folder_run, tmp_path
):
    write_pictures(tmp_path / "data/testA", 1)
    damage_all(tmp_path / "data/trainA")
    request = request_of(folder_run, formats=("tflite",), tflite_types=("int8",))
    refuses(request, "trainA", tmp_path)


def test_checkpoint_saved_meanwhile_is_not_mixed_with_the_first(
    tried, request_of, run_of, model, output, monkeypatch
):
    run = run_of()
    load, later = checkpoints.load_generator, []

    def load_after_a_save(*args, **kwargs):
        if not later:
            later.append(saved_run(run, step=8, seed=2))
        return load(*args, **kwargs)

    monkeypatch.setattr(checkpoints, "load_generator", load_after_a_save)
    exporting.export(request_of(run))
    generators = {3: model.generator_g, 8: later[0].generator_g}
    of_step = generators[read(output / "export.json")["step"]]
    exported = keras.models.load_model(output / "keras/shapes_A2B.keras")
    np.testing.assert_array_equal(exported.get_weights()[0], of_step.get_weights()[0])


# --- Another generator


def test_unet_run_is_exported_and_passes(tmp_path, output):
    saved_run(tmp_path / "run", generator="unet", num_downs=3)
    request = Request(
        str(tmp_path / "run"),
        output=str(output),
        directions=("B2A",),
        tflite_types=("float32",),
    )
    rows = exporting.export(request)
    assert [row["kind"] for row in rows] == [*SIGNATURES, "float32", "keras"]
    assert rows[0]["pictures"] == ["shapes_B2A/32x32", "shapes_B2A/25x19"]
    assert all(row["problem"] is None for row in rows)
    assert read(output / "export.json")["config"]["generator"] == "unet"
