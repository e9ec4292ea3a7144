"""Exports that fail or are refused: one line is told, and nothing is left."""

import dataclasses
import errno
import pathlib
import re
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
    saved_run,
    write_pictures,
)

from cyclegan_tf.exporting import formats as export_formats
from cyclegan_tf.exporting import verification
from cyclegan_tf.exporting.export import carry_out
from cyclegan_tf.training import checkpoints
from cyclegan_tf.validation import UserError

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
        carry_out(request_of(formats=("savedmodel", "keras")))
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
        carry_out(request)
    if kind is OSError:
        told = f"{output} can't be written to: No space left on device."
        assert (type(caught.value), str(caught.value)) == (UserError, told)
    else:
        assert caught.value is error


def test_failure_leaves_what_was_there(light, request_of, output, monkeypatch):
    carry_out(request_of(**BOTH))
    (output / "empty").mkdir()

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "verify", fail)
    with nothing_changes(output), pytest.raises(KeyboardInterrupt):
        carry_out(request_of(**BOTH))


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
    carry_out(request_of(**BOTH))
    before = {name: files(output)[name] for name in file_names(output)}
    failing_rename(FULL)
    with pytest.raises(UserError, match="can't be written to: No space left"):
        carry_out(request_of(**BOTH))
    assert versions_of("A2B") == versions_of("B2A") == ["1"]
    assert {name: files(output)[name] for name in file_names(output)} == before


def test_no_folder_is_left_where_a_version_has_no_place(
    light, request_of, tmp_path, failing_rename
):
    failing_rename(FULL)
    with nothing_changes(tmp_path), pytest.raises(UserError):
        carry_out(request_of(**BOTH))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_interrupt_between_two_versions_leaves_neither(
    light, request_of, versions_of, failing_rename, error
):
    failing_rename(error)
    with pytest.raises(type(error)):
        carry_out(request_of(**BOTH))
    assert versions_of("A2B") == []


def test_version_goes_if_other_files_have_no_place(
    light, request_of, output, versions_of
):
    output.mkdir(parents=True)
    (output / "keras").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="can't be written to"):
        carry_out(request_of(formats=("savedmodel", "keras")))
    assert versions_of("A2B") == []


@pytest.mark.parametrize("below", ["", "below/it"])
def test_output_that_cannot_be_a_folder_is_refused(tried, request_of, tmp_path, below):
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" / below
    with nothing_changes(tmp_path), pytest.raises(UserError) as error:
        carry_out(request_of(output=str(place)))
    assert str(error.value).startswith(f"{place} can't be written to: ")


# --- Runs and data sets that can't be used


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
    told = r"not match the configuration [(]missing: generator_g/block_2_conv_1_k"
    refuses(request_of(run), told, tmp_path)


def test_training_pictures_stand_in_for_missing_test_pictures(
    tried, request_of, folder_run, output
):
    carry_out(request_of(folder_run))
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
    carry_out(request_of(folder_run, pictures=str(tmp_path / "photos")))
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
        carry_out(request)
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
    load, later = checkpoints.load_network, []

    def load_after_a_save(*args, **kwargs):
        if not later:
            later.append(saved_run(run, step=8, seed=2))
        return load(*args, **kwargs)

    monkeypatch.setattr(checkpoints, "load_network", load_after_a_save)
    carry_out(request_of(run))
    generators = {3: model.generator_g, 8: later[0].generator_g}
    of_step = generators[read(output / "export.json")["step"]]
    exported = keras.models.load_model(output / "keras/shapes_A2B.keras")
    np.testing.assert_array_equal(exported.get_weights()[0], of_step.get_weights()[0])
