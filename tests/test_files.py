"""What is written aside, and what killed processes left of it."""

import os
import pathlib
import tempfile

import pytest
from helpers.processes import running

from cyclegan_tf.files import (
    machine,
    plain_path,
    remove_stale,
    scratch,
    staging,
    written_whole,
)

OTHER = "0123abcd"
assert machine() != OTHER

# Writes aside in the folder it is given, tells that it does, and waits to be killed.
CODE = """
import pathlib, sys
from cyclegan_tf.files import scratch, staging, written_whole

folder = pathlib.Path(sys.argv[1])
with staging(folder) as staged, written_whole(folder / "a.png") as file, scratch() as s:
    for path in (staged / "half.pb", file, pathlib.Path(s) / "variables"):
        path.write_text("half")
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path, monkeypatch):
    """A process that writes aside in `tmp_path`, and in a scratch folder in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(CODE, tmp_path, "written", TMPDIR=str(tmp_path)) as process:
        yield process


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_file(folder):
    with written_whole(folder / "b.png") as file:
        file.write_text("whole")


def stage(folder):
    with staging(folder):
        pass


def scratch_once(folder):
    with scratch() as made:
        assert pathlib.Path(made).parent == folder


@pytest.mark.parametrize("write", [write_file, stage, scratch_once])
def test_what_was_written_aside_goes_with_the_next_writer_once_its_process_is_dead(
    writer, tmp_path, write
):
    before = names(tmp_path)
    assert len(before) == 3
    scratch_once(tmp_path)
    stage(tmp_path)
    assert names(tmp_path) == before
    writer.kill()
    writer.wait()
    write(tmp_path)
    assert names(tmp_path) == (["b.png"] if write is write_file else [])


def test_file_is_written_beside_what_a_living_process_writes(writer, tmp_path):
    before = names(tmp_path)
    write_file(tmp_path)
    assert names(tmp_path) == [*before, "b.png"]


def test_living_process_is_recognised_also_in_names_of_earlier_versions(tmp_path):
    living, dead = os.getpid(), 99999999
    names_of = (".cyclegan_tf-{}-{}-abcd_012", ".cyclegan_tf-{}-{}-567-abcd_012")
    for name in names_of:
        for process in (living, dead):
            (tmp_path / name.format(machine(), process)).mkdir()
    remove_stale(tmp_path)
    assert names(tmp_path) == sorted(n.format(machine(), living) for n in names_of)


@pytest.mark.parametrize("where", [OTHER, machine()])
@pytest.mark.parametrize(("age_hours", "stays"), [(23, True), (25, False)])
def test_what_is_not_known_to_be_dead_goes_after_a_day(
    tmp_path, age_hours, stays, where
):
    """A process number may belong to another process by now."""
    folder = tmp_path / f".cyclegan_tf-{where}-{os.getpid()}-abcd0123"
    file = folder.with_suffix(".tmp")
    folder.mkdir()
    for path in (folder / "half", file):
        path.write_text("half")
    for path in (file, folder / "half", folder):
        then = path.stat().st_mtime - age_hours * 3600
        os.utime(path, (then, then))
    remove_stale(tmp_path)
    assert names(tmp_path) == ([folder.name, file.name] if stays else [])


def test_folder_of_another_machine_is_as_old_as_its_newest_file(tmp_path):
    folder = tmp_path / f".cyclegan_tf-{OTHER}-1-2-abcd0123"
    (folder / "saved_model").mkdir(parents=True)
    (folder / "saved_model/half").write_text("half")
    for path in (folder, folder / "saved_model"):
        os.utime(path, (0, 0))
    remove_stale(tmp_path)
    assert names(tmp_path) == [folder.name]


def test_files_of_the_user_are_not_touched(tmp_path):
    dead = f".cyclegan_tf-{machine()}-0-0-abcd0123"
    mine = [".hidden", ".4711-12.tmp", ".export-abcd0123", f"{dead}.tmp.txt"]
    mine += [f"my{dead}", f"{dead}4", dead.upper(), dead.replace(machine(), "machine")]
    for name in mine:
        (tmp_path / name).write_text("mine")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    (tmp_path / f".cyclegan_tf-{machine()}-99999999-1-linked00").symlink_to(kept)
    # Places that are no folders are passed over.
    for place in (tmp_path, tmp_path / "missing", tmp_path / ".hidden", "x" * 300):
        remove_stale(place)
    assert set(mine) <= set(names(tmp_path))
    assert (kept / "file").read_text() == "mine"


def test_file_of_the_longest_name_is_written(tmp_path):
    with written_whole(tmp_path / f"{'x' * 251}.png") as file:
        assert len(file.name) < 64 and file.name.startswith(".")
        file.write_text("whole")
    assert (tmp_path / f"{'x' * 251}.png").read_text() == "whole"


@pytest.mark.parametrize("name", ["plain", "a [v2]", "a*", "a?", "a\\b"])
def test_plain_path_leads_to_the_folder_and_is_no_pattern(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_text("mine")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    for path in (folder, name):
        with plain_path(path) as plain:
            assert not set("*?[\\") & set(plain)
            assert (pathlib.Path(plain) / "file").read_text() == "mine"
    with scratch() as place:
        assert not set("*?[\\") & set(place)
    assert names(tmp_path) == [name] and names(folder) == ["file"]
