"""Pictures to try exported models on: which ones, in which order, and how many."""

import re

import numpy as np
import pytest
from PIL import Image

from cyclegan_tf.data import datasets, samples, shapes
from cyclegan_tf.validation import UserError


def write_pictures(folder, numbers, side=4):
    """Grey pictures whose level is their number, a row higher each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in numbers:
        pixels = np.full((side + i, side, 3), i, np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")


def damage(folder, numbers):
    for i in numbers:
        path = folder / f"{i:02}.png"
        path.write_bytes(path.read_bytes()[:40])


def numbers_of(pictures):
    """The numbers of pictures of `write_pictures`, each looked at as a whole."""
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert np.ptp(picture) == 0
        assert picture.shape == (4 + picture[0, 0, 0], 4, 3)
    return [int(picture[0, 0, 0]) for picture in pictures]


@pytest.fixture
def folder_config(tiny, tmp_path):
    """The configuration of a run on ten training and three test pictures a domain."""
    for first, domain in ((0, "A"), (50, "B")):
        write_pictures(tmp_path / f"train{domain}", range(first, first + 10))
        write_pictures(tmp_path / f"test{domain}", range(first + 30, first + 33))
    return tiny(dataset=str(tmp_path))


# --- Drawn pictures


@pytest.mark.parametrize(
    ("split", "part", "which"),
    [("trainA", 0, 0), ("trainB", 1, 1), ("testA", 2, 0), ("testB", 3, 1)],
)
def test_drawn_pictures_are_those_of_their_part(tiny, split, part, which):
    pictures = samples.of_split(tiny(), split, 3)
    assert len(pictures) == 3
    for i, picture in enumerate(pictures):
        expected = shapes.draw_pair((part, i), 36)[which]
        np.testing.assert_array_equal(picture, expected)


def test_drawn_pictures_are_those_of_training(tiny):
    config = tiny(image_size=8, load_size=0, discriminator="pixel")
    data = datasets.load(config)
    domains = {
        "trainA": data.train_x,
        "trainB": data.train_y,
        "testA": data.test_x,
        "testB": data.test_y,
    }
    for split, domain in domains.items():
        pictures = samples.of_split(config, split, 5)
        for i, picture in enumerate(pictures):
            np.testing.assert_array_equal(picture, domain.read(i), err_msg=split)


@pytest.mark.parametrize(("split", "all_of_it"), [("testB", 40), ("trainA", 400)])
def test_no_more_pictures_are_drawn_than_the_split_has(tiny, split, all_of_it):
    config = tiny(image_size=8, load_size=0, discriminator="pixel")
    assert len(samples.of_split(config, split, 401)) == all_of_it


# --- Splits of a folder


@pytest.mark.parametrize(
    ("split", "first"), [("trainA", 0), ("trainB", 50), ("testA", 30), ("testB", 80)]
)
def test_pictures_are_of_the_split_in_their_own_sizes(folder_config, split, first):
    pictures = samples.of_split(folder_config, split, 3)
    last = 9 if split.startswith("train") else 2
    middle = {9: 4, 2: 1}[last]
    assert numbers_of(pictures) == [first, first + middle, first + last]


@pytest.mark.parametrize(
    ("number", "chosen"),
    [
        (1, [0]),
        (2, [0, 9]),
        (3, [0, 4, 9]),
        (4, [0, 3, 6, 9]),
        (9, [0, 1, 2, 3, 4, 6, 7, 8, 9]),
        (10, list(range(10))),
        (100, list(range(10))),
    ],
)
def test_pictures_are_spread_evenly_over_the_split(folder_config, number, chosen):
    assert numbers_of(samples.of_split(folder_config, "trainA", number)) == chosen


def test_training_pictures_stand_in_where_there_are_no_test_pictures(tiny, tmp_path):
    write_pictures(tmp_path / "trainA", range(3))
    write_pictures(tmp_path / "trainB", range(50, 52))
    write_pictures(tmp_path / "testB", [80])
    config = tiny(dataset=str(tmp_path))
    assert numbers_of(samples.of_split(config, "testA", 8)) == [0, 1, 2]
    assert numbers_of(samples.of_split(config, "testB", 8)) == [80]


def test_unreadable_pictures_of_a_split_are_left_out(folder_config, tmp_path):
    damage(tmp_path / "trainB", [50, 53])
    pictures = samples.of_split(folder_config, "trainB", 4)
    assert numbers_of(pictures) == [56, 59]


def test_data_set_that_is_gone_is_told(tiny, tmp_path):
    gone = str(tmp_path / "gone")
    with pytest.raises(UserError, match=re.escape(f"Unknown dataset {gone!r}")):
        samples.of_split(tiny(dataset=gone), "testA", 1)


# --- Folders


def test_folder_gives_pictures_of_all_below_it_spread_evenly(tmp_path):
    write_pictures(tmp_path, range(3))
    write_pictures(tmp_path / "below" / "it", range(3, 6))
    write_pictures(tmp_path / ".hidden", [9])
    (tmp_path / "notes.txt").write_text("no picture")
    assert sorted(numbers_of(samples.of_folder(str(tmp_path), 9))) == list(range(6))
    # By path, so those of `below` come last.
    assert numbers_of(samples.of_folder(str(tmp_path), 3)) == [0, 2, 5]


def test_unreadable_pictures_of_a_folder_are_left_out(tmp_path):
    write_pictures(tmp_path, range(4))
    damage(tmp_path, [0, 2])
    assert numbers_of(samples.of_folder(str(tmp_path), 4)) == [1, 3]


def test_home_folder_is_found(tmp_path, monkeypatch):
    write_pictures(tmp_path / "photos", [7])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert numbers_of(samples.of_folder("~/photos", 1)) == [7]


@pytest.mark.parametrize("name", ["missing", "file.png"])
def test_folder_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(UserError, match=f"^No such folder: {tmp_path / name}[.]$"):
        samples.of_folder(str(tmp_path / name), 1)


@pytest.mark.parametrize("damaged", [False, True])
def test_folder_without_a_readable_picture_is_refused(tmp_path, damaged):
    if damaged:
        write_pictures(tmp_path, range(2))
        damage(tmp_path, range(2))
    with pytest.raises(UserError, match=f"^{tmp_path} has no picture .* we can read"):
        samples.of_folder(str(tmp_path), 2)


def test_drawn_test_pictures_are_no_smaller_than_what_is_shown(tiny):
    (picture,) = samples.of_split(tiny(test_size=64), "testA", 1)
    np.testing.assert_array_equal(picture, shapes.draw_pair((2, 0), 64)[0])
