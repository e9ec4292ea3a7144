"""Versions and places of exports, without running the files."""

import re

import pytest
from helpers.exporting_samples import (
    BOTH,
    SAVED_MODEL,
    file_names,
    files,
    read,
    refuses,
    saved_run,
    write_pictures,
    write_version,
)

from cyclegan_tf.deploy import verify as verification
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.messages import UserError


def test_versions_follow_the_last_one(lightest, request_of, output, versions_of):
    (output / "saved_model/shapes_A2B/old").mkdir(parents=True)
    (output / "saved_model/shapes_A2B/99.bak").mkdir()
    write_version(output, "other_A2B/6")
    write_version(output, "kept_A2B/old")
    (output / "saved_model/empty_A2B/4").mkdir(parents=True)
    others = {"old", "99.bak"}
    export_run(request_of(**SAVED_MODEL))
    assert {*versions_of()} == {"1", *others}
    export_run(request_of(version=9, **SAVED_MODEL))
    export_run(request_of(**SAVED_MODEL))
    export_run(request_of(version=5, **SAVED_MODEL))
    export_run(request_of(**SAVED_MODEL))
    # Numbers, not texts: 10 is above 9.
    assert {*versions_of()} == {"1", "5", "9", "10", "11", *others}
    # The server loads only models that have a version.
    text = (output / "saved_model/models.config").read_text()
    assert re.findall(r"name: '(\w+)'", text) == ["other_A2B", "shapes_A2B"]


def test_later_version_leaves_the_earlier_as_they_were(lightest, request_of, output):
    export_run(request_of(**BOTH))
    first = {k: v for k, v in files(output).items() if "/1/" in k}
    assert len(first) == 6
    export_run(request_of(**BOTH))
    after = files(output)
    assert {k: v for k, v in after.items() if "/1/" in k} == first
    assert len([k for k in after if "/2/" in k]) == 6
    for direction in ("A2B", "B2A"):
        record = read(output / f"saved_model/shapes_{direction}/2/export.json")
        path = f"saved_model/shapes_{direction}/2:translate"
        assert [row["path"] for row in record["parity"]] == [path]


def test_both_directions_get_the_version_after_the_last_of_either(
    lightest, request_of, output, versions_of
):
    write_version(output, "shapes_B2A/4")
    export_run(request_of(**SAVED_MODEL))
    assert versions_of("A2B") == ["1"]
    export_run(request_of(**BOTH))
    assert versions_of("A2B") == ["1", "5"]
    assert versions_of("B2A") == ["4", "5"]


def test_version_that_exists_is_refused_and_nothing_changes(
    lightest, request_of, output
):
    write_version(output, "shapes_A2B/2")
    for directions in (("A2B",), ("A2B", "B2A")):
        again = request_of(version=2, directions=directions, **SAVED_MODEL)
        refuses(again, f"2 of shapes.*{output}/saved_model", output)


def test_version_that_another_export_makes_meanwhile_is_kept(
    lightest, request_of, output, monkeypatch
):
    verify = verification.verify

    def meanwhile(plan, references, folder):
        write_version(output, "shapes_B2A/1")
        return verify(plan, references, folder)

    monkeypatch.setattr(verification, "verify", meanwhile)
    with pytest.raises(UserError, match=str(output)):
        export_run(request_of(**BOTH))
    assert file_names(output) == {"saved_model/shapes_B2A/1/saved_model.pb"}
    theirs = output / "saved_model/shapes_B2A/1/saved_model.pb"
    assert theirs.read_text() == "theirs"


def test_files_of_the_last_export_take_the_place_of_earlier_ones(
    tried, request_of, run_of, output
):
    run = run_of()
    export_run(request_of(run))
    first = (output / "keras/shapes_A2B.keras").read_bytes()
    assert read(output / "export.json")["metrics"]["epoch"] == 2
    saved_run(run, step=8, seed=2)
    (run / "log.jsonl").unlink()
    export_run(request_of(run))
    assert (output / "keras/shapes_A2B.keras").read_bytes() != first
    record = read(output / "export.json")
    assert (record["step"], record["metrics"]) == (8, {})


def test_nothing_has_its_name_before_it_was_tried(
    lightest, request_of, output, monkeypatch
):
    (output / "saved_model").mkdir(parents=True)
    (output / "mine.txt").write_text("mine")
    verify = verification.verify

    def look(plan, references, folder):
        names = {path.name for path in output.iterdir()}
        assert names == {"saved_model", "mine.txt", folder.name}
        assert list((output / "saved_model").iterdir()) == []
        assert folder.parent == output and folder.name.startswith(".")
        for row in plan:
            assert (folder / row["path"].partition(":")[0]).exists()
        return verify(plan, references, folder)

    monkeypatch.setattr(verification, "verify", look)
    export_run(request_of(formats=("savedmodel", "keras")))
    names = {path.name for path in output.iterdir()}
    assert names == {"saved_model", "mine.txt", "keras", "README.md", "export.json"}


def test_exports_go_into_the_run_or_a_folder_of_the_home(
    lightest, request_of, run_of, tmp_path, monkeypatch
):
    run = run_of()
    export_run(request_of(run, output=""))
    assert (run / "export/keras/shapes_A2B.keras").is_file()
    monkeypatch.setenv("HOME", str(tmp_path))
    export_run(request_of(output="~/mine"))
    assert (tmp_path / "mine/keras/shapes_A2B.keras").is_file()


def test_name_of_the_model_is_the_one_asked_for_or_the_data_sets(
    lightest, request_of, run_of, output, tmp_path
):
    export_run(request_of(name="my-Model_2", formats=("savedmodel", "keras")))
    assert (output / "saved_model/my-Model_2_A2B/1/saved_model.pb").is_file()
    assert (output / "keras/my-Model_2_A2B.keras").is_file()
    assert "'my-Model_2_A2B'" in (output / "saved_model/models.config").read_text()
    record = read(output / "export.json")
    assert record["name"] == "my-Model_2"
    assert record["labels"] == {"A": "plain body", "B": "striped body"}
    write_pictures(tmp_path / "photos", 1)
    run = run_of(dataset="/data/cats2dogs/")
    photos = str(tmp_path / "photos")
    export_run(request_of(run, pictures=photos, directions=("B2A",)))
    assert (output / "keras/cats2dogs_B2A.keras").is_file()
