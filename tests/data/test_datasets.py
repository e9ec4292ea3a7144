"""Pictures from folders, from tfds without a network, and drawn."""

import os
import pathlib

import numpy as np
import pytest
from helpers.dataset_folders import (
    ALL_SIZES,
    TRAIN_SIZES,
    assert_same_pictures,
    fill,
    picture,
    read_all,
    resized,
)

from cyclegan_tf.data import datasets, images, shapes
from cyclegan_tf.validation import UserError

# --- Folders

SPLITS = ("train_x", "train_y", "test_x", "test_y")
FOUR = [f"{i:02}.jpg" for i in range(4)]


def test_each_split_holds_its_own_pictures_resized(folder, from_folder):
    data = from_folder()
    for attribute, split in zip(SPLITS, ALL_SIZES, strict=True):
        domain, size = getattr(data, attribute), 36 if "train" in split else 32
        paths = sorted((folder / split).iterdir())
        assert list(domain.names) == [p.name for p in paths]
        assert len(domain) == ALL_SIZES[split]
        for image, path in zip(read_all(domain), paths, strict=True):
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, resized(path, size))
    assert data.true_x is None and data.true_y is None


def test_pictures_are_found_at_any_depth_and_in_order(folder, from_folder):
    (folder / "trainA" / "sub" / "deeper").mkdir(parents=True)
    names = ["a.png", "b.JPG", "c.bmp", "d.gif", "e.jpeg"]
    names += ["sub/a.PNG", "sub/deeper/m.BMP", "sub/z.Gif"]
    for name in names[::-1]:
        picture(1).save(folder / "trainA" / name)
    train_x = from_folder().train_x
    assert list(train_x.names) == FOUR + names
    for name, image in zip(train_x.names, read_all(train_x), strict=True):
        np.testing.assert_array_equal(image, resized(folder / "trainA" / name, 36))


def test_dot_files_other_files_and_folders_are_left_out(folder, from_folder):
    split = folder / "trainA"
    (split / ".thumbnails").mkdir()
    picture(1).save(split / ".thumbnails" / "00.png")
    picture(1).save(split / ".hidden.png")
    for name in ("._00.jpg", "notes.txt", "Thumbs.db", "no_ending"):
        (split / name).write_bytes(b"x")
    (split / "folder.png").mkdir()
    assert list(from_folder().train_x.names) == FOUR


def test_folder_is_found_in_dot_folders_links_and_at_home(tmp_path, tiny, monkeypatch):
    data = tmp_path / ".cache" / "data"
    fill(data, TRAIN_SIZES)
    assert datasets.count(tiny(dataset=str(data))) == (4, 3)
    linked = tmp_path / "linked"
    linked.mkdir()
    for split in TRAIN_SIZES:
        (linked / split).symlink_to(data / split)
    assert datasets.count(tiny(dataset=str(linked))) == (4, 3)
    monkeypatch.setenv("HOME", str(data.parent))
    assert datasets.count(tiny(dataset="~/data")) == (4, 3)


def test_pictures_of_all_sizes_become_one_size(folder, from_folder):
    for i, (height, width) in enumerate([(20, 90), (200, 33), (36, 36), (1, 1)]):
        picture(i, height, width).save(folder / "trainB" / f"{i:02}.jpg")
    data = from_folder()
    assert [i.shape for i in read_all(data.train_y)] == [(36, 36, 3)] * 4


@pytest.mark.parametrize("missing, empty", [("AB", ""), ("A", ""), ("B", "A")])
def test_training_pictures_stand_in_where_there_are_no_test_pictures(
    tmp_path, tiny, missing, empty
):
    kept = {k: n for k, n in ALL_SIZES.items() if k[-1] not in missing + empty}
    kept |= TRAIN_SIZES
    fill(tmp_path, kept)
    for side in empty:
        (tmp_path / f"test{side}").mkdir()
    data = datasets.load(tiny(dataset=str(tmp_path)))
    for test, train, letter in (
        (data.test_x, data.train_x, "A"),
        (data.test_y, data.train_y, "B"),
    ):
        split = "test" if f"test{letter}" in kept else "train"
        if split == "train":
            assert list(test.names) == list(train.names)
        for name, image in zip(test.names, read_all(test), strict=True):
            assert image.shape == (32, 32, 3)
            direct = resized(tmp_path / f"{split}{letter}" / name, 32).astype(int)
            assert np.abs(image - direct).mean() < 2


def test_folder_named_like_a_tfds_configuration_needs_a_path(
    tmp_path, tiny, monkeypatch
):
    fill(tmp_path / "horse2zebra", TRAIN_SIZES)
    monkeypatch.chdir(tmp_path)
    empty = str(tmp_path / "empty")
    assert datasets.count(tiny(dataset="./horse2zebra")) == (4, 3)
    assert datasets.count(tiny(dataset="horse2zebra", data_dir=empty)) is None


# --- Own sizes


def test_load_size_0_keeps_sizes(folder, from_folder):
    picture(5, 50, 70).save(folder / "trainA" / "01.jpg")
    data = from_folder(load_size=0)
    shapes_x = [i.shape for i in read_all(data.train_x)]
    assert shapes_x == [(40, 44, 3), (50, 70, 3), (40, 44, 3), (40, 44, 3)]
    np.testing.assert_array_equal(
        data.train_x.read(1), images.decode(folder / "trainA" / "01.jpg")
    )
    assert data.test_x.read(0).shape == (32, 32, 3)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_load_size_0_refuses_pictures_smaller_than_the_crop(folder, from_folder, cache):
    picture(5, 31, 70).save(folder / "trainB" / "02.jpg")
    with pytest.raises(
        UserError,
        match=r"02.jpg has 70x31 pixels, fewer than the crop of `image_size` 32\. "
        r"Set --load_size to resize\.",
    ):
        from_folder(load_size=0, cache=cache)


# --- Caches


@pytest.mark.parametrize("load_size", [36, 0])
def test_caches_give_the_same_pictures(from_folder, load_size):
    memory = from_folder(cache="memory", load_size=load_size)
    for cache in ("encoded", "none", "auto"):
        other = from_folder(cache=cache, load_size=load_size)
        for split in SPLITS:
            assert_same_pictures(getattr(memory, split), getattr(other, split))


def is_in_memory(folder: pathlib.Path, domain: datasets.Domain) -> bool:
    """Whether a picture can be read without the files."""
    away = (folder / "trainA").rename(folder / "away")
    try:
        domain.read(0)
        return True
    except UserError:
        return False
    finally:
        away.rename(folder / "trainA")


def test_cache_decides_where_pictures_are(folder, from_folder):
    for cache, expected in (("memory", True), ("encoded", True), ("none", False)):
        assert is_in_memory(folder, from_folder(cache=cache).train_x) is expected, cache


# Seven pictures of 36x36x3 bytes take 27216: a quarter of 108864.
@pytest.mark.parametrize(
    "there, expected", [(108865, "memory"), (108864, "encoded"), (400, "none")]
)
def test_auto_keeps_what_fits_a_quarter_of_memory(
    folder, from_folder, monkeypatch, there, expected
):
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": there}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    domain = from_folder(cache="auto").train_x
    assert is_in_memory(folder, domain) is (expected != "none")
    # A decoded picture is handed out as it is, an encoded one is decoded anew.
    assert (domain.read(0) is domain.read(0)) is (expected == "memory")


def test_auto_keeps_pictures_of_unknown_sizes_encoded(folder, from_folder):
    domain = from_folder(cache="auto", load_size=0).train_x
    assert is_in_memory(folder, domain)
    assert domain.read(0) is not domain.read(0)


def test_auto_tells_of_files_that_lead_nowhere(folder, from_folder, capsys):
    (folder / "trainA" / "gone.png").symlink_to(folder / "nowhere.png")
    try:
        number = len(from_folder(cache="auto", load_size=0).train_x)
    except UserError as error:
        assert "gone.png" in str(error)
    else:
        assert "gone.png" in capsys.readouterr().err
        assert number == 4


def test_auto_works_where_memory_is_unknown(folder, from_folder, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert not is_in_memory(folder, from_folder(cache="auto").train_x)


# --- Counts


def test_count_tells_training_pictures_without_reading(folder, tiny, monkeypatch):
    monkeypatch.setattr(images, "decode", pytest.fail)
    assert datasets.count(tiny(dataset=str(folder))) == (4, 3)


# --- shapes


def test_shapes_have_the_sizes_asked_for(tiny, few_shapes):
    data = datasets.load(tiny())
    assert datasets.count(tiny()) == (len(data.train_x), len(data.train_y))
    for domain, number, size in (
        (data.train_x, 12, 36),
        (data.train_y, 12, 36),
        (data.test_x, 3, 32),
        (data.test_y, 3, 32),
        (data.true_y, 3, 32),
        (data.true_x, 3, 32),
    ):
        assert len(domain) == number
        assert {i.shape for i in read_all(domain)} == {(size, size, 3)}
    own_size = datasets.load(tiny(load_size=0))
    assert own_size.train_x.read(0).shape == (32, 32, 3)
    # Test pictures may be larger than the crops.
    data = datasets.load(tiny(load_size=64, test_size=64))
    for split in (*SPLITS, "true_x", "true_y"):
        assert getattr(data, split).read(0).shape == (64, 64, 3), split


def test_shapes_are_the_same_whatever_the_seed(tiny, few_shapes):
    one, other = (datasets.load(tiny(seed=seed)) for seed in (0, 5))
    for split in (*SPLITS, "true_x", "true_y"):
        assert_same_pictures(getattr(one, split), getattr(other, split))


def test_shapes_know_the_true_translations_of_test_pictures(tiny, few_shapes):
    data = datasets.load(tiny())
    for i in (0, 2):
        plain, striped = shapes.draw_pair((2, i), 32)
        np.testing.assert_array_equal(data.test_x.read(i), plain)
        np.testing.assert_array_equal(data.true_y.read(i), striped)
        plain, striped = shapes.draw_pair((3, i), 32)
        np.testing.assert_array_equal(data.test_y.read(i), striped)
        np.testing.assert_array_equal(data.true_x.read(i), plain)


def test_shapes_are_unpaired_and_share_no_picture(tiny, few_shapes):
    # At one size, so that equal pictures would be equal arrays.
    data = datasets.load(tiny(load_size=32))
    animals = [
        picture.tobytes()
        for domain in (data.train_x, data.true_x, data.test_x)
        for picture in read_all(domain)
    ] + [shapes.draw_pair((1, i), 32)[0].tobytes() for i in range(12)]
    assert len(set(animals)) == 12 + 3 + 3 + 12
    np.testing.assert_array_equal(data.train_y.read(3), shapes.draw_pair((1, 3), 32)[1])
