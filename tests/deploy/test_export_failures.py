"""Exports that fail or are refused: the error is one line, and nothing is left."""

import dataclasses
import errno
import pathlib
import shutil

import keras
import numpy as np
import pytest
from helpers.exporting_samples import (
    BOTH,
    file_names,
    files,
    nothing_changes,
    read,
    refuses,
    run_here,
    saved_run,
    write_pictures,
    write_version,
)

from cyclegan_tf.deploy import export, verify
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.messages import UserError
from cyclegan_tf.training import checkpoints

FULL = OSError(errno.ENOSPC, "No space left on device")

# --- Failures, of which nothing is left


def test_file_that_fails_its_bar_is_not_exported(
    request_of, tmp_path, monkeypatch, model
):
    write = export.WRITERS["keras"]

    def wrong(described, *more):
        other = dataclasses.replace(described, generator=model.generator_f)
        return write(other, *more)

    monkeypatch.setitem(export.WRITERS, "keras", wrong)
    monkeypatch.setattr(verify, "run_process", run_here)
    refuses(request_of(), r"keras/shapes_A2B\.keras: .* 0\.0001", tmp_path)


@pytest.mark.parametrize("place", ["writer", "verify"])
def test_failure_leaves_nothing_but_what_was_there(
    lightest, request_of, output, tmp_path, monkeypatch, place
):
    asked = ("savedmodel", "tflite") if place == "writer" else ("savedmodel",)
    interrupt = KeyboardInterrupt("failed")
    for error in (interrupt, SystemExit(143), UserError("failed"), FULL, None):
        if error is None:
            write_version(output, "shapes_A2B/1")
            (output / "empty").mkdir()
            error = interrupt

        def fail(*args, error=error):
            raise error

        if place == "writer":
            monkeypatch.setitem(export.WRITERS, "tflite", fail)
        else:
            monkeypatch.setattr(verify, "verify", fail)
        with nothing_changes(tmp_path), pytest.raises(BaseException) as caught:
            export_run(request_of(formats=asked))
        if error is FULL:
            assert type(caught.value) is UserError
            assert str(output) in str(caught.value)
            assert FULL.strerror in str(caught.value)
        else:
            assert caught.value is error


@pytest.fixture
def failing_rename(monkeypatch):
    """Makes renaming the folder of the second direction fail."""
    rename = pathlib.Path.rename

    def arrange(error) -> None:
        def fail(self, target):
            if "shapes_B2A" in str(target):
                raise error
            return rename(self, target)

        monkeypatch.setattr(pathlib.Path, "rename", fail)

    return arrange


def test_version_of_one_direction_goes_if_the_other_has_no_place(
    lightest, request_of, output, tmp_path, versions_of, failing_rename
):
    failing_rename(FULL)
    refuses(request_of(**BOTH), FULL.strerror, tmp_path)
    for error in (KeyboardInterrupt(), SystemExit(143)):
        failing_rename(error)
        with nothing_changes(tmp_path), pytest.raises(type(error)):
            export_run(request_of(**BOTH))
    write_version(output, "shapes_A2B/1")
    before = {name: files(output)[name] for name in file_names(output)}
    failing_rename(FULL)
    with pytest.raises(UserError, match=FULL.strerror):
        export_run(request_of(**BOTH))
    assert (versions_of("A2B"), versions_of("B2A")) == (["1"], [])
    assert {name: files(output)[name] for name in file_names(output)} == before


def test_version_goes_if_other_files_have_no_place(
    lightest, request_of, output, versions_of
):
    output.mkdir(parents=True)
    (output / "keras").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=str(output)):
        export_run(request_of(formats=("savedmodel", "keras")))
    assert versions_of("A2B") == []


def test_output_that_cannot_be_a_folder_is_refused(lightest, request_of, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file/below/it"):
        refuses(request_of(output=str(place)), f"^{place} ", tmp_path)


# --- Runs and data sets that can't be used


def cut_config(run):
    (run / "config.json").write_text('{"seed": ')


def cut_checkpoint(run):
    path = run / "checkpoints/step-3.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# What is done to the run, fields of its configuration, what must be named.
BROKEN_RUNS = {
    "no run": (shutil.rmtree, {}, "{run}/config.json"),
    "damaged configuration": (cut_config, {}, "{run}/config.json"),
    "no checkpoint": (lambda run: shutil.rmtree(run / "checkpoints"), {}, "{run} "),
    "half a checkpoint": (cut_checkpoint, {}, "{run}/.*step-3 "),
    "other networks": (lambda run: None, {"num_blocks": 2}, "generator_g/block_2_conv"),
}


@pytest.mark.parametrize("name", BROKEN_RUNS)
def test_run_that_cannot_be_used_is_refused(request_of, run_of, tmp_path, name):
    damage, fields, told = BROKEN_RUNS[name]
    run = run_of(**fields)
    damage(run)
    refuses(request_of(run), told.format(run=run), tmp_path)


def test_training_pictures_stand_in_for_missing_test_pictures(
    lightest, request_of, folder_run, output, monkeypatch
):
    monkeypatch.setattr("cyclegan_tf.deploy.exportables.NUM_TEST_PICTURES", 8)
    export_run(request_of(folder_run))
    ((_, references, _),) = lightest
    assert references["data_A2B/32x32"][1].shape == (3, 32, 32, 3)
    assert (output / "keras/data_A2B.keras").is_file()


def test_other_pictures_can_be_named_where_the_data_set_is_gone(
    lightest, request_of, folder_run, tmp_path, output
):
    shutil.rmtree(tmp_path / "data")
    refuses(request_of(folder_run), f"dataset.*{tmp_path}/data", tmp_path)
    photos = tmp_path / "photos"
    request = request_of(folder_run, pictures=str(photos))
    refuses(request, f"{photos}", tmp_path)
    photos.mkdir()
    refuses(request, f"^{photos} ", tmp_path)
    photos.rmdir()
    write_pictures(photos, 2)
    export_run(request)
    assert (output / "keras/data_A2B.keras").is_file()


def test_data_set_without_a_readable_picture_is_told(
    tried, request_of, folder_run, tmp_path
):
    for path in (tmp_path / "data/trainA").iterdir():
        path.write_bytes(b"no picture")
    for name in ("keras", "savedmodel"):
        refuses(request_of(folder_run, formats=(name,)), "trainA", tmp_path)
    write_pictures(tmp_path / "data/testA", 1)  # And none to calibrate with.
    request = request_of(folder_run, formats=("tflite",), tflite_types=("int8",))
    refuses(request, "trainA", tmp_path)


def test_checkpoint_saved_meanwhile_is_not_mixed_with_the_first(
    tried, request_of, run_of, model, output, monkeypatch
):
    run = run_of()
    load, later = checkpoints.load_network, []

    def load_after_a_save(*args, **kwargs):
        if not later:
            later.append(saved_run(run, step=8, seed=2))
        return load(*args, **kwargs)

    monkeypatch.setattr(checkpoints, "load_network", load_after_a_save)
    export_run(request_of(run))
    generators = {3: model.generator_g, 8: later[0].generator_g}
    of_step = generators[read(output / "export.json")["step"]]
    exported = keras.models.load_model(output / "keras/shapes_A2B.keras")
    np.testing.assert_array_equal(exported.get_weights()[0], of_step.get_weights()[0])
