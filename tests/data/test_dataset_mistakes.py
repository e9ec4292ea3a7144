"""Damaged pictures and folders that lack something."""

import re

import numpy as np
import pytest
from helpers.dataset_folders import fill, read_all, resized, truncated_jpeg

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.data import datasets, images
from cyclegan_tf.validation import UserError


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_damaged_picture_is_skipped_named_and_counted(tmp_path, tiny, capsys, cache):
    fill(tmp_path, {"trainA": 40, "trainB": 3})
    (tmp_path / "trainA" / "07b.jpg").write_bytes(truncated_jpeg())
    train_x = datasets.load(tiny(dataset=str(tmp_path), cache=cache)).train_x
    stderr = capsys.readouterr().err
    first, reason = stderr.splitlines()
    told = f"Skipped: 1 of 41 pictures in {tmp_path} trainA can't be read: 07b.jpg."
    assert first == told
    assert re.fullmatch(r"  07b\.jpg: Truncated File Read", reason)
    assert list(train_x.names) == [f"{i:02}.jpg" for i in range(40)]
    for name, image in zip(train_x.names, read_all(train_x), strict=True):
        np.testing.assert_array_equal(image, resized(tmp_path / "trainA" / name, 36))


def test_files_that_are_left_out_of_a_training_are_told_once(folder, tiny, capsys):
    for name in ("trainA/a.heic", "trainA/b.HEIC", "testB/notes.txt"):
        (folder / name).touch()
    config = tiny(dataset=str(folder))
    datasets.count(config)
    assert capsys.readouterr().err == ""
    datasets.load(config)
    told = [line for line in capsys.readouterr().err.splitlines() if "Left out" in line]
    assert told == [
        f"Left out of {folder}/trainA, no pictures: 2 .heic.",
        f"Left out of {folder}/testB, no pictures: 1 .txt.",
    ]


def test_good_pictures_are_not_reported(from_folder, capsys):
    from_folder()
    assert "Skipped" not in capsys.readouterr().err


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_one_damaged_picture_in_twenty_is_allowed(tmp_path, tiny, cache, capsys):
    fill(tmp_path, {"trainA": 38, "trainB": 1})
    for name in ("98.jpg", "99.jpg"):
        (tmp_path / "trainA" / name).write_bytes(truncated_jpeg())
    data = datasets.load(tiny(dataset=str(tmp_path), cache=cache))
    assert len(data.train_x) == 38
    assert "2 of 40" in capsys.readouterr().err


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_more_damaged_pictures_are_an_error(tmp_path, tiny, cache):
    fill(tmp_path, {"trainA": 37, "trainB": 1})
    for name in ("00.png", "01.png", "02.png"):
        (tmp_path / "trainA" / name).write_bytes(truncated_jpeg())
    with pytest.raises(
        UserError,
        match=r"^3 of 40 pictures in .* trainA can't be read: 00.png, 01.png, 02.png\. "
        r"At most 5% may be damaged\. 00.png: Truncated File Read\.$",
    ):
        datasets.load(tiny(dataset=str(tmp_path), cache=cache))


def test_many_damaged_pictures_are_named_in_part(folder, from_folder):
    for i in range(7):
        (folder / "testB" / f"bad{i}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"7 of 9 .* bad4.jpg and 2 more\. At most 5%"):
        from_folder()


def test_skipped_pictures_have_a_line_each_and_fifty_at_most(
    from_folder, folder, monkeypatch, capsys
):
    monkeypatch.setattr(datasets, "MAX_UNREADABLE", 1.0)
    for i in range(53):
        (folder / "trainA" / f"bad{i:02}.jpg").write_bytes(b"")
    (folder / "trainB" / "gone.jpg").symlink_to(folder / "nowhere")
    assert len(from_folder().train_x) == 4
    first, *each, more, of_b, reason_b = capsys.readouterr().err.splitlines()
    assert first.endswith(
        "bad00.jpg, bad01.jpg, bad02.jpg, bad03.jpg, bad04.jpg and 48 more."
    )
    assert each == [
        f"  bad{i:02}.jpg: cannot identify it as {images.FORMAT_NAMES}"
        for i in range(50)
    ]
    assert more == "  and 3 more"
    assert of_b.startswith("Skipped: 1 of 4") and of_b.endswith("read: gone.jpg.")
    assert reason_b == "  gone.jpg: No such file or directory"


# --- Mistakes


def test_missing_training_split_is_an_error(tmp_path, tiny):
    fill(tmp_path, {"trainA": 1})
    config = tiny(dataset=str(tmp_path))
    for function in (datasets.load, datasets.count):
        with pytest.raises(UserError, match=r"trainB is missing\.$"):
            function(config)


def test_training_split_without_pictures_is_an_error(tmp_path, tiny):
    fill(tmp_path, {"trainA": 1, "trainB": 0})
    (tmp_path / "trainB" / "picture.heic").write_bytes(b"x")
    with pytest.raises(
        UserError,
        match=r"trainB has no picture \(JPEG, PNG, BMP, GIF, WebP or TIFF\)\. "
        r"Left out: 1 \.heic\.$",
    ):
        datasets.load(tiny(dataset=str(tmp_path)))


@pytest.mark.parametrize("function", [datasets.load, datasets.count])
def test_unknown_data_set_names_all_and_the_closest(tiny, function):
    with pytest.raises(UserError) as caught:
        function(tiny(dataset="hrose2zebra"))
    message = str(caught.value)
    assert message.startswith("Unknown dataset 'hrose2zebra': no such folder")
    assert message.endswith("Did you mean horse2zebra?")
    for name in ("shapes", *TFDS_CONFIGS):
        assert f" {name}" in message


def test_unknown_data_set_like_no_other_gets_no_suggestion(tiny):
    with pytest.raises(UserError, match=r"vangogh2photo\.$"):
        datasets.load(tiny(dataset="/nowhere/qqqq"))


def test_file_is_not_a_data_set(folder, tiny):
    with pytest.raises(UserError, match="no such folder"):
        datasets.load(tiny(dataset=str(folder / "trainA" / "00.jpg")))
