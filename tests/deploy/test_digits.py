"""Exports of generators of digits: signatures, files, labels, refusals."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import run_here, untrained_run
from tensorflow_serving.apis import prediction_log_pb2

from cyclegan_tf.deploy import verify
from cyclegan_tf.deploy.export import export
from cyclegan_tf.deploy.exportables import DigitMaker
from cyclegan_tf.deploy.load import load
from cyclegan_tf.family.shared import digits
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import save_config

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The options of a run of each model, by name."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "NUM_TRAIN", 100)
        digits.load.cache_clear()
        for name in ("dcgan", "conditional"):
            run_dir = str(tmp_path_factory.mktemp(name) / "run")
            sizes = {"num_filters": 2, "latent_size": 5, "batch_size": 4}
            found[name] = dataclasses.replace(
                preset(f"digits_{name}", run_dir=run_dir), **sizes
            )
            untrained_run(found[name], factor=5.0)
    digits.load.cache_clear()
    return found


@pytest.fixture(scope="module")
def exported(runs):
    """Rows of the exports and their folders, by the model's name."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "run_process", run_here)
        for name, options in runs.items():
            kinds = {"tflite_types": ("float32",)} if name == "dcgan" else {}
            rows = export(options.run_dir, name="maker", **kinds)
            found[name] = rows, pathlib.Path(options.run_dir, "export")
    return found


def test_files_are_all_there_and_give_what_the_generator_gives(
    exported,
):
    for name, (rows, folder) in exported.items():
        kinds = ["float32", "int8"] if name == "conditional" else ["float32"]
        assert [row["kind"] for row in rows] == ["serving_default", "generate", *kinds]
        assert not any(row["problem"] for row in rows)
        assert rows[1]["max_error"] < 1e-5 and rows[2]["max_error"] < 1e-4
        assert rows[0]["max_error"] > rows[1]["max_error"]
        record = json.loads((folder / "export.json").read_text())
        assert record["parity"] == rows and "run_dir" not in record["config"]
        assert record["verified_on"] == "8 digits" and record["recommended"] == {}
        assert "makes digits" in (folder / "README.md").read_text()
        names = {path.name for path in folder.iterdir()}
        assert names == {"README.md", "export.json", "saved_model", "tflite"}
        names = {path.name for path in folder.glob("*/*")}
        settings = {"models.config", "batching_parameters.config"}
        assert names == {"maker", *settings} | {
            f"maker_{kind}.tflite" for kind in kinds
        }
        assert "/models/maker" in (folder / "saved_model/models.config").read_text()


def test_latents_become_pngs(exported):
    _, folder = exported["dcgan"]
    signatures = tf.saved_model.load(f"{folder}/saved_model/maker/1").signatures
    latent = tf.random.stateless_normal([3, 5], (1, 2))
    images = signatures["generate"](latent=latent)["images"].numpy()
    pngs = signatures["serving_default"](latent=latent)["image_bytes"]
    assert pngs.shape == (3,)
    for png, image in zip(pngs, images, strict=True):
        pixels = tf.io.decode_png(png).numpy()
        np.testing.assert_array_equal(pixels, np.rint((image + 1) * 127.5))


def test_labels_and_seeds_become_pngs_of_their_own(exported):
    _, folder = exported["conditional"]
    signatures = tf.saved_model.load(f"{folder}/saved_model/maker/1").signatures
    label, seed = tf.constant([3, 3, 3, 4], tf.int64), tf.constant([7, 7, 8, 7])
    asked = signatures["from_label"](label=label, seed=tf.cast(seed, tf.int64))
    first, second, third, fourth = asked["image_bytes"].numpy()
    assert first == second and first != third and first != fourth
    latent = tf.random.stateless_normal([5], [7, 0])[tf.newaxis]
    same = signatures["serving_default"](latent=latent, label=label[:1])
    assert same["image_bytes"].numpy()[0] == first


def test_label_outside_the_range_is_refused(exported):
    _, folder = exported["conditional"]
    signatures = tf.saved_model.load(f"{folder}/saved_model/maker/1").signatures
    for wrong in (-1, 10):
        label = tf.constant([3, wrong], tf.int64)
        for name, rest in (
            ("from_label", {"seed": tf.zeros([2], tf.int64)}),
            ("serving_default", {"latent": tf.zeros([2, 5])}),
        ):
            told = rf"`label`.* 0 to 9\D*{wrong}"
            with pytest.raises(tf.errors.InvalidArgumentError, match=told):
                signatures[name](label=label, **rest)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`label`.*`latent`"):
        signatures["serving_default"](label=label[:1], latent=tf.zeros([2, 5]))


def test_warmup_request_is_one_that_the_server_can_answer(exported):
    for name, (_, folder) in exported.items():
        version = folder / "saved_model/maker/1"
        path = version / "assets.extra/tf_serving_warmup_requests"
        (record,) = tf.data.TFRecordDataset(str(path))
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        inputs = log.predict_log.request.inputs
        assert set(inputs) == {"latent"} | (
            {"label"} if name == "conditional" else set()
        )
        signature = tf.saved_model.load(str(version)).signatures["serving_default"]
        feeds = {key: tf.constant(tf.make_ndarray(t)) for key, t in inputs.items()}
        assert signature(**feeds)["image_bytes"].shape == (1,)


def test_loaded_run_generates_what_the_export_does(runs, exported):
    for name, options in runs.items():
        latent = tf.random.stateless_normal([3, 5], (1, 2)).numpy()
        labels = {"label": np.array([3, 9, 0])} if name == "conditional" else {}
        made = load(options.run_dir).generate(latent, **labels)
        folder = exported[name][1]
        signatures = tf.saved_model.load(f"{folder}/saved_model/maker/1").signatures
        images = signatures["generate"](latent=latent, **labels)["images"].numpy()
        np.testing.assert_array_equal(made, np.rint((images + 1) * 127.5))
        with pytest.raises(UserError, match=r"`latent`.* 5.*\[3, 4\]"):
            load(options.run_dir).generate(latent[:, :4], **labels)
    for wrong in (None, [1, 2], [0, 1, 10]):
        with pytest.raises(UserError, match="`label`.* 3 .* 9"):
            load(options.run_dir).generate(latent, wrong)


@pytest.mark.slow
def test_fresh_process_runs_the_files(runs, tmp_path):
    run_dir = runs["conditional"].run_dir
    rows = export(run_dir, output=str(tmp_path), tflite_types=("float32",))
    assert len(rows) == 3 and not any(row["problem"] for row in rows)


def test_versions_follow_one_another_and_are_never_written_over(
    runs, exported, monkeypatch
):
    monkeypatch.setattr(verify, "run_process", run_here)
    asked = {"name": "maker", "formats": ("savedmodel",)}
    rows = export(runs["dcgan"].run_dir, **asked)
    assert rows[0]["path"] == "saved_model/maker/2:serving_default"
    with pytest.raises(UserError, match="Version 1 of maker .*saved_model"):
        export(runs["dcgan"].run_dir, version=1, **asked)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(runs, tmp_path):
    (tmp_path / "points/checkpoints").mkdir(parents=True)
    (tmp_path / "points/checkpoints/step-1.index").touch()
    points = preset("points", run_dir=str(tmp_path / "points"))
    save_config(points)
    output = str(tmp_path / "out")
    with pytest.raises(UserError, match="`run_dir`.*`points`.* dcgan"):
        export(points.run_dir, output=output)
    for field, value, told in (
        ("formats", ("tflite", "keras"), "`formats`.* savedmodel, tflite.*'keras'"),
        ("tflite_types", ("float16",), "`tflite_types`.* float32, int8.*'float16'"),
        ("directions", ("A2B",), "`dcgan`.*`directions`"),
        ("tflite_io", "float32", "`dcgan`.*`tflite_io`"),
        ("checkpoint", "7", "`checkpoint`.*'7'"),
    ):
        with pytest.raises(UserError, match=told):
            export(runs["dcgan"].run_dir, output=output, **{field: value})
    assert not (tmp_path / "out").exists()


def test_file_that_gives_something_else_is_not_put_in_place(
    runs, tmp_path, monkeypatch
):
    generate = DigitMaker.generate
    calls = []

    def other(self, *args, **kwargs):
        calls.append(args)
        made = generate(self, *args, **kwargs)
        return made if tf.is_symbolic_tensor(made) else -made

    monkeypatch.setattr(DigitMaker, "generate", other)
    monkeypatch.setattr(verify, "run_process", run_here)
    output = tmp_path / "out"
    with pytest.raises(UserError, match=r"generate: .* 0\.0001"):
        export(runs["dcgan"].run_dir, output=str(output), formats=("savedmodel",))
    assert calls and not output.exists()
