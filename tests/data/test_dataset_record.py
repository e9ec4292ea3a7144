"""A data set is known by the names and sizes of its files."""

import dataclasses
import functools
import shutil

import pytest
from helpers.dataset_folders import fill
from PIL import Image

from cyclegan_tf.data import datasets
from cyclegan_tf.data.datasets import DATA_FILE, check_unchanged
from cyclegan_tf.family.shared import pairs as paired
from cyclegan_tf.family.shared.options import Pix2Pix
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.run_directory import load_config
from cyclegan_tf.training.train import train


@pytest.fixture
def folder(tmp_path):
    """Twenty-four pictures in trainA and in trainB."""
    fill(tmp_path / "data", {"trainA": 24, "trainB": 24}, ".png")
    return tmp_path / "data"


def sizes(folder, tiny):
    return datasets.load(tiny(dataset=str(folder))).sizes


def test_sizes_are_those_of_the_files(folder, tiny, few_shapes):
    found = sizes(folder, tiny)
    assert found["trainA"]["07.png"] == (folder / "trainA/07.png").stat().st_size
    assert [len(names) for names in found.values()] == [24, 24, 0, 0]
    assert datasets.load(tiny()).sizes == {}
    for split in ("testA", "testB"):
        (folder / split).mkdir()
    found = paired.load(Pix2Pix(dataset=str(folder))).sizes
    assert found["train"]["trainB/05.png"] == (folder / "trainB/05.png").stat().st_size
    assert len(found["train"]) == 48
    assert paired.load(Pix2Pix()).sizes == {}


def test_changes_are_named(folder, tiny, tmp_path):
    def changes(data) -> str:
        return check_unchanged(tmp_path, sizes(data, tiny), allowed=True)

    datasets.save_record(tmp_path, sizes(folder, tiny))
    assert changes(folder) == ""
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    assert changes(moved) == ""
    for number in range(5):
        (moved / f"trainA/{number:02d}.png").unlink()
    # A picture that can be read no more is a change, also of the same size.
    path = moved / "trainB/03.png"
    path.write_bytes(b"x" * path.stat().st_size)
    Image.new("RGB", (36, 36)).save(moved / "trainB/00.png")
    shutil.copy(moved / "trainB/01.png", moved / "trainB/new.png")
    (moved / "testB").mkdir()
    shutil.copy(moved / "trainB/01.png", moved / "testB/a.png")
    assert changes(moved) == (
        "5 gone (trainA/00.png, trainA/01.png, trainA/02.png and 2 more); "
        "2 new (testB/a.png, trainB/new.png); "
        "2 with another size (trainB/00.png, trainB/03.png)"
    )
    with pytest.raises(UserError, match="5 gone .* --allow_changed_data"):
        check_unchanged(tmp_path, sizes(moved, tiny), allowed=False)


def test_damaged_record_is_reported(tmp_path):
    for content in ("", "[1]", '{"trainA": 3}', "\x00"):
        (tmp_path / DATA_FILE).write_text(content)
        with pytest.raises(
            UserError, match="data.json can't be read.*--allow_changed_data"
        ):
            check_unchanged(tmp_path, {"trainA": {"a.png": 1}}, allowed=False)
        changes = check_unchanged(tmp_path, {"trainA": {}}, allowed=True)
        assert "can't be read" in changes


class NoSteps:
    """A loop that saves at the end and trains nothing."""

    newest_grid = "none.png"

    def __init__(self, model, config, checkpoints, *_):
        self._end = functools.partial(checkpoints.save, config.max_steps)

    def run(self, batches) -> int:
        self._end()
        return 0


def test_run_goes_on_with_the_same_pictures_alone(
    folder, tiny, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("cyclegan_tf.training.train.Loop", NoSteps)
    config = tiny(dataset=str(folder), run_dir=str(tmp_path / "run"), max_steps=1)
    train(config)
    (folder / "trainB/05.png").unlink()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    further = dataclasses.replace(config, max_steps=2)
    with pytest.raises(UserError, match=r"1 gone \(trainB/05.png\)"):
        train(further)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    capsys.readouterr()
    train(dataclasses.replace(further, allow_changed_data=True))
    assert "has changed (1 gone (trainB/05.png))" in capsys.readouterr().out
    assert load_config(tmp_path / "run").allow_changed_data is False
    record = (tmp_path / "run" / DATA_FILE).read_bytes()
    (tmp_path / "run" / DATA_FILE).unlink()  # As of a version before.
    train(dataclasses.replace(config, max_steps=3))
    assert (tmp_path / "run" / DATA_FILE).read_bytes() == record
