"""Pictures to try exported models on: which ones, in which order, and how many."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from cyclegan_tf.data import datasets, shapes
from cyclegan_tf.validation import UserError


def write_pictures(folder, numbers):
    """Grey pictures whose level is their number, a row higher each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in numbers:
        pixels = np.full((4 + i, 4, 3), i, np.uint8)
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


def test_drawn_pictures_are_those_of_training(tiny, few_shapes):
    config = tiny(image_size=8, load_size=0, discriminator="pixel")
    data = datasets.load(config)
    domains = (data.train_x, data.train_y, data.test_x, data.test_y)
    for split, domain in zip(datasets.SPLITS, domains, strict=True):
        pictures = datasets.sample_split(config, split, 5)
        assert len(pictures) == min(5, len(domain))
        for i, picture in enumerate(pictures):
            np.testing.assert_array_equal(picture, domain.read(i), err_msg=split)
        # No more are drawn than the split has.
        assert len(datasets.sample_split(config, split, 13)) == len(domain)
    # They are no smaller than what is loaded and shown.
    for config, split, seed, size in (
        (tiny(test_size=64), "testA", (2, 0), 64),
        (tiny(), "trainA", (0, 0), 36),
    ):
        (picture,) = datasets.sample_split(config, split, 1)
        np.testing.assert_array_equal(picture, shapes.draw_pair(seed, size)[0])


def test_pictures_are_spread_evenly_over_the_split_in_their_own_sizes(folder_config):
    for split, number, chosen in (
        ("trainA", 3, [0, 4, 9]),
        ("trainB", 3, [50, 54, 59]),
        ("testA", 3, [30, 31, 32]),
        ("testB", 3, [80, 81, 82]),
        ("trainA", 1, [0]),
        ("trainA", 2, [0, 9]),
        ("trainA", 4, [0, 3, 6, 9]),
        ("trainA", 9, [0, 1, 2, 3, 4, 6, 7, 8, 9]),
        ("trainA", 10, list(range(10))),
        ("trainA", 100, list(range(10))),
    ):
        assert numbers_of(datasets.sample_split(folder_config, split, number)) == chosen


def test_training_pictures_stand_in_and_unreadable_ones_are_left_out(
    folder_config, tmp_path
):
    damage(tmp_path / "trainB", [50, 53])
    assert numbers_of(datasets.sample_split(folder_config, "trainB", 4)) == [56, 59]
    folder = str(tmp_path / "testA")
    damage(tmp_path / "testA", [30, 32])
    assert numbers_of(datasets.sample_folder(folder, 4)) == [31]
    damage(tmp_path / "testA", [31])
    with pytest.raises(UserError, match=f"^{folder} has no picture .* we can read"):
        datasets.sample_folder(folder, 4)
    shutil.rmtree(folder)
    assert numbers_of(datasets.sample_split(folder_config, "testA", 2)) == [0, 9]
    assert numbers_of(datasets.sample_split(folder_config, "testB", 2)) == [80, 82]


def test_folder_gives_pictures_of_all_below_it_spread_evenly(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    write_pictures(photos, range(3))
    write_pictures(photos / "below" / "it", range(3, 6))
    write_pictures(photos / ".hidden", [9])
    (photos / "notes.txt").write_text("no picture")
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (str(photos), "~/photos"):
        assert sorted(numbers_of(datasets.sample_folder(folder, 9))) == list(range(6))
    # By path, so those of `below` come last.
    assert numbers_of(datasets.sample_folder(str(photos), 3)) == [0, 2, 5]


def test_folder_or_data_set_that_is_none_is_told(tiny, tmp_path):
    (tmp_path / "file.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for name, told in (
        ("missing", "^No such folder: {}[.]$"),
        ("file.png", "^No such folder: {}[.]$"),
        ("empty", "^{} has no picture .* we can read"),
    ):
        with pytest.raises(UserError, match=told.format(tmp_path / name)):
            datasets.sample_folder(str(tmp_path / name), 1)
    gone = str(tmp_path / "gone")
    with pytest.raises(UserError, match=re.escape(f"Unknown dataset {gone!r}")):
        datasets.sample_split(tiny(dataset=gone), "testA", 1)
