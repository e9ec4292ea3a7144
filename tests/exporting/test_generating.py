"""Exports of what makes digits: signatures, files, labels, refusals."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from helpers.exporting_samples import run_here, untrained_run

from cyclegan_tf.commands import export as command
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.data import digits
from cyclegan_tf.exporting import generating
from cyclegan_tf.exporting.request import Request
from cyclegan_tf.presets import preset
from cyclegan_tf.validation import UserError

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
        patch.setattr(generating, "run_aside", run_here)
        for name, options in runs.items():
            kinds = {"dcgan": ("float32",), "conditional": generating.TFLITE_TYPES}
            request = Request(options.run_dir, name="maker", tflite_types=kinds[name])
            folder = pathlib.Path(options.run_dir, "export")
            found[name] = generating.export(request, options), folder
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
        record = json.loads((folder / "maker_export.json").read_text())
        assert record["parity"] == rows and "run_dir" not in record["options"]
        names = {path.name for path in folder.iterdir()}
        assert names == {"maker_export.json", "saved_model", "tflite"}
        names = {path.name for path in folder.glob("*/*")}
        assert names == {"maker", "models.config"} | {
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


@pytest.mark.slow
def test_fresh_process_runs_the_files(runs, tmp_path):
    options = runs["conditional"]
    request = Request(options.run_dir, output=str(tmp_path), tflite_types=("float32",))
    rows = generating.export(request, options)
    assert len(rows) == 3 and not any(row["problem"] for row in rows)


def test_versions_follow_one_another_and_are_never_written_over(
    runs, exported, monkeypatch
):
    monkeypatch.setattr(generating, "run_aside", run_here)
    options = runs["dcgan"]
    request = Request(options.run_dir, name="maker", formats=("savedmodel",))
    rows = generating.export(request, options)
    assert rows[0]["path"] == "saved_model/maker/2:serving_default"
    with pytest.raises(UserError, match="saved_model/maker/1 "):
        generating.export(dataclasses.replace(request, version=1), options)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(runs, tmp_path):
    request = Request("runs/points", output=str(tmp_path / "out"))
    with pytest.raises(UserError, match="`run_dir`.*`points`"):
        generating.export(request, preset("points"))
    request = Request(runs["dcgan"].run_dir, output=str(tmp_path / "out"))
    for field, values, told in (
        ("formats", ("tflite", "keras"), "`formats`.* savedmodel, tflite.*'keras'"),
        ("tflite_types", ("float16",), "`tflite_types`.* float32, int8.*'float16'"),
        ("run_dir", str(tmp_path), "`run_dir`.*checkpoint"),
    ):
        with pytest.raises(UserError, match=told):
            asked = dataclasses.replace(request, **{field: values})
            generating.export(asked, runs["dcgan"])
    assert list(tmp_path.iterdir()) == []


def test_file_that_gives_something_else_is_not_put_in_place(
    runs, tmp_path, monkeypatch
):
    make = generating._Maker.make
    calls = []

    def other(self, *args, **kwargs):
        calls.append(args)
        made = make(self, *args, **kwargs)
        return made if tf.is_symbolic_tensor(made) else -made

    monkeypatch.setattr(generating._Maker, "make", other)
    monkeypatch.setattr(generating, "run_aside", run_here)
    options, output = runs["dcgan"], tmp_path / "out"
    request = Request(options.run_dir, output=str(output), formats=("savedmodel",))
    with pytest.raises(UserError, match=r"generate: .* 0\.0001"):
        generating.export(request, options)
    assert calls and not output.exists()


def test_flag_that_means_nothing_to_the_model_is_refused():
    values = flags.FlagValues()
    define_flags(command.FLAGS, values)
    values(["export.py", "--run_dir=runs/x", "--name=y", "--direction=A2B"])
    with pytest.raises(UserError, match="`dcgan`.*`direction`.* run_dir, formats, "):
        command._check_flags(values, "dcgan")
    values["direction"].present = 0
    command._check_flags(values, "dcgan")
