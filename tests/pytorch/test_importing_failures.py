"""Where `pytorch_import` can't write, or is stopped: nothing is left of it."""

import json
import os
import tempfile

import pytest
from helpers.exporting_samples import nothing_changes
from helpers.official_files import (
    RESNET,
    assert_holds,
    files_end_at,
    refuses,
    state_dict,
    write,
)

from cyclegan_tf.commands import pytorch_import
from cyclegan_tf.leftovers import machine
from cyclegan_tf.pytorch import importing
from cyclegan_tf.run_directory import newest_checkpoint
from cyclegan_tf.run_lock import one_writer
from cyclegan_tf.training import checkpoints
from cyclegan_tf.validation import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own, beside which nothing appears."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    assert os.listdir(tmp_path) == ["here"]


def refused(told, *args):
    refuses(pytorch_import, told, *args)


def occupy(folder):
    (folder / "full").mkdir()
    (folder / "full/.hidden").write_text("mine")
    (folder / "file").write_text("mine")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "looped").symlink_to("looped")
    (folder / "linked").symlink_to("full")


@pytest.mark.parametrize("name", ["full", "file", "dangling", "looped", "linked"])
def test_nothing_is_written_over(folder, name):
    occupy(folder)
    write("a.pth")
    told = f"^{name} exists already. Name another --output.$"
    refused(told, "--checkpoint=a.pth", f"--output={name}")
    assert os.readlink("dangling") == "nowhere"


def test_place_that_can_not_be_is_told(folder):
    occupy(folder)
    write("a.pth")
    args = ["--checkpoint=a.pth", "--output=file/run"]
    refused("^file/run can't be written to: Not a directory.$", *args)
    args = ["--checkpoint=a.pth", "--output=/proc/none/run"]
    refused("^/proc/none/run can't be written to: No such file", *args)


def test_folder_that_is_closed_to_us_is_told(monkeypatch):
    def mkdtemp(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    write("a.pth")
    told = "^above/run can't be written to: Permission denied.$"
    refused(told, "--checkpoint=a.pth", "--output=above/run")


def test_name_that_is_too_long_is_told():
    write("a.pth")
    told = "^x+ can't be written to: File name too long.$"
    refused(told, "--checkpoint=a.pth", f"--output={'x' * 300}")


@pytest.mark.parametrize("output", [".", "../link"])
def test_empty_folder_that_is_here_or_linked_is_taken(folder, output, monkeypatch):
    file = write(folder / "a.pth")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("empty")
    monkeypatch.chdir(folder / "empty")
    importing.import_networks({"generator_g": file}, output)
    assert_holds(folder / "empty", "generator_g", RESNET, state_dict())


# --- Failures half-way


@pytest.mark.parametrize("num_bytes", [100, 2_000, 10_000])
def test_full_disk_leaves_nothing(num_bytes):
    write("a.pth")
    with files_end_at(num_bytes):
        told = "^above/run can't be written to: File too large.$"
        refused(told, "--checkpoint=a.pth", "--output=above/run")


@pytest.mark.parametrize(
    "raised", [UserError("is damaged"), KeyboardInterrupt(), SystemExit(143)]
)
def test_end_while_the_run_is_tried_leaves_nothing(folder, monkeypatch, raised):
    def load_network(run_dir, name):
        assert newest_checkpoint(run_dir)
        raise raised

    monkeypatch.setattr(checkpoints, "load_network", load_network)
    write("a.pth")
    with nothing_changes(folder), pytest.raises(type(raised)):
        importing.import_networks({"generator_g": "a.pth"}, "above/run")
    os.mkdir("empty")
    with nothing_changes(folder), pytest.raises(type(raised)):
        importing.import_networks({"generator_g": "a.pth"}, "empty")


def test_place_that_is_taken_meanwhile_stays(folder, monkeypatch):
    save_networks = checkpoints.save_networks

    def and_another_comes(*args):
        save_networks(*args)
        write("run/config.json")

    monkeypatch.setattr(checkpoints, "save_networks", and_another_comes)
    write("a.pth")
    told = "^run can't be written to: config.json is there already.$"
    with pytest.raises(UserError, match=told):
        importing.import_networks({"generator_g": "a.pth"}, "run")
    assert sorted(os.listdir()) == ["a.pth", "run"]
    assert os.listdir("run") == ["config.json"]


def test_run_that_is_held_is_refused(folder):
    write("a.pth")
    with one_writer("run"), nothing_changes(folder):
        refused("^run is held by process ", "--checkpoint=a.pth", "--output=run")
    assert os.listdir() == ["a.pth"]


def test_what_a_killed_import_left_is_taken_over():
    write("a.pth")
    dead = f"run/.cyclegan_tf-{machine()}-99999999-1-abcd0123"
    write(f"{dead}/config.json")
    with open("run/run.lock", "w") as file:
        json.dump({"machine": machine()}, file)
    importing.import_networks({"generator_g": "a.pth"}, "run")
    assert sorted(os.listdir("run")) == ["checkpoints", "config.json"]
