"""Damaged pictures and folders that lack something."""

import numpy as np
import pytest
from helpers.dataset_folders import fill, read_all, resized, truncated_jpeg

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.data import datasets, images
from cyclegan_tf.validation import UserError


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_damaged_pictures_are_skipped_named_and_counted(tmp_path, tiny, capsys, cache):
    """Two of forty are allowed, one in twenty."""
    fill(tmp_path, {"trainA": 38, "trainB": 3})
    for name in ("07b.jpg", "99.jpg"):
        (tmp_path / "trainA" / name).write_bytes(truncated_jpeg())
    config = tiny(dataset=str(tmp_path), cache=cache)
    train_x = datasets.load(config).train_x
    assert capsys.readouterr().err.splitlines() == [
        f"Skipped: 2 of 40 pictures in {tmp_path} trainA can't be read: 07b.jpg, "
        "99.jpg.",
        "  07b.jpg: Truncated File Read",
        "  99.jpg: Truncated File Read",
    ]
    assert list(train_x.names) == [f"{i:02}.jpg" for i in range(38)]
    for name, image in zip(train_x.names, read_all(train_x), strict=True):
        np.testing.assert_array_equal(image, resized(tmp_path / "trainA" / name, 36))
    # A third one is too many.
    (tmp_path / "trainA" / "00.jpg").write_bytes(truncated_jpeg())
    told = r"^3 of 40 .* trainA can't be read: 00.jpg, 07b.jpg, 99.jpg\. At most 5% "
    with pytest.raises(UserError, match=told + r".* 00.jpg: Truncated File Read\.$"):
        datasets.load(config)


def test_files_that_are_left_out_of_a_training_are_told_once(folder, tiny, capsys):
    for name in ("trainA/a.heic", "trainA/b.HEIC", "testB/notes.txt"):
        (folder / name).touch()
    config = tiny(dataset=str(folder))
    datasets.count(config)
    assert capsys.readouterr().err == ""
    datasets.load(config)
    assert capsys.readouterr().err.splitlines() == [
        f"Left out of {folder}/trainA, no pictures: 2 .heic.",
        f"Left out of {folder}/testB, no pictures: 1 .txt.",
    ]


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
    reason = f"cannot identify it as {images.FORMAT_NAMES}"
    assert each == [f"  bad{i:02}.jpg: {reason}" for i in range(50)]
    assert more == "  and 3 more"
    assert of_b.startswith("Skipped: 1 of 4") and of_b.endswith("read: gone.jpg.")
    assert reason_b == "  gone.jpg: No such file or directory"


# --- Mistakes


def test_training_split_that_is_missing_or_empty_is_an_error(tmp_path, tiny):
    fill(tmp_path, {"trainA": 1})
    config = tiny(dataset=str(tmp_path))
    for function in (datasets.load, datasets.count):
        with pytest.raises(UserError, match=r"trainB is missing\.$"):
            function(config)
    (tmp_path / "trainB").mkdir()
    (tmp_path / "trainB" / "picture.heic").write_bytes(b"x")
    with pytest.raises(UserError, match=r"trainB has no picture .*Left out: 1 \.heic"):
        datasets.load(config)


def test_unknown_data_set_names_all_and_the_closest(folder, tiny):
    for function in (datasets.load, datasets.count):
        with pytest.raises(UserError) as caught:
            function(tiny(dataset="hrose2zebra"))
        message = str(caught.value)
        assert message.startswith("Unknown dataset 'hrose2zebra': no such folder")
        assert message.endswith("Did you mean horse2zebra?")
        for name in ("shapes", *TFDS_CONFIGS):
            assert f" {name}" in message
    for like_no_other in ("/nowhere/qqqq", folder / "trainA" / "00.jpg"):
        with pytest.raises(UserError, match=r"no such folder.* vangogh2photo\.$"):
            datasets.load(tiny(dataset=str(like_no_other)))
