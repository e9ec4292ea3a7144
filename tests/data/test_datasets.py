"""Pictures from folders, from tfds without a network, and drawn."""

import os
import pathlib
import re
import shutil

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
    truncated_jpeg,
)
from PIL import Image

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.data import datasets, images, reader, shapes
from cyclegan_tf.messages import UserError

# --- Folders

SPLITS = ("train_x", "train_y", "test_x", "test_y")


def test_each_split_holds_its_own_pictures_resized(folder, from_folder):
    for i, (height, width) in enumerate([(20, 90), (200, 33), (1, 1)]):
        picture(i, height, width).save(folder / "trainB" / f"{i:02}.jpg")
    data = from_folder()
    for attribute, split in zip(SPLITS, ALL_SIZES, strict=True):
        domain, size = getattr(data, attribute), 36 if "train" in split else 32
        paths = sorted((folder / split).iterdir())
        assert list(domain.names) == [p.name for p in paths]
        assert len(domain) == ALL_SIZES[split]
        for image, path in zip(read_all(domain), paths, strict=True):
            assert image.dtype == np.uint8 and image.shape == (size, size, 3)
            np.testing.assert_array_equal(image, resized(path, size))
    assert data.true_x is None and data.true_y is None


def test_pictures_at_any_depth_are_in_order_and_other_files_left_out(
    folder, from_folder
):
    names = ["a.png", "b.JPG", "c.bmp", "d.gif", "e.jpeg"]
    names += ["sub/a.PNG", "sub/deeper/m.BMP", "sub/z.Gif"]
    hidden = [".thumbnails/00.png", ".hidden.png"]
    for name in [*names[::-1], *hidden]:
        (folder / "trainA" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(1).save(folder / "trainA" / name)
    for name in ("._00.jpg", "notes.txt", "Thumbs.db", "no_ending"):
        (folder / "trainA" / name).write_bytes(b"x")
    (folder / "trainA" / "folder.png").mkdir()
    train_x = from_folder().train_x
    assert list(train_x.names) == [f"{i:02}.jpg" for i in range(4)] + names
    for name, image in zip(train_x.names, read_all(train_x), strict=True):
        np.testing.assert_array_equal(image, resized(folder / "trainA" / name, 36))


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
    # One that is named like a configuration of tfds needs a path.
    linked.rename(tmp_path / "horse2zebra")
    monkeypatch.chdir(tmp_path)
    empty = str(tmp_path / "empty")
    assert datasets.count(tiny(dataset="./horse2zebra")) == (4, 3)
    assert datasets.count(tiny(dataset="horse2zebra", data_dir=empty)) is None


@pytest.mark.parametrize("missing, empty", [("AB", ""), ("A", ""), ("B", "A")])
def test_training_pictures_stand_in_where_there_are_no_test_pictures(
    tmp_path, tiny, monkeypatch, missing, empty
):
    kept = {k: n for k, n in ALL_SIZES.items() if k[-1] not in missing + empty}
    kept |= TRAIN_SIZES
    fill(tmp_path, kept)
    for side in empty:
        (tmp_path / f"test{side}").mkdir()
    with monkeypatch.context() as patch:
        # Pictures are counted without being read.
        patch.setattr(images, "read", pytest.fail)
        assert datasets.count(tiny(dataset=str(tmp_path))) == (4, 3)
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


# --- Own sizes


def test_load_size_0_keeps_sizes_and_refuses_what_is_smaller_than_the_crop(
    folder, from_folder
):
    picture(5, 50, 70).save(folder / "trainA" / "01.jpg")
    data = from_folder(load_size=0)
    shapes_x = [i.shape for i in read_all(data.train_x)]
    assert shapes_x == [(40, 44, 3), (50, 70, 3), (40, 44, 3), (40, 44, 3)]
    np.testing.assert_array_equal(
        data.train_x.read(1), images.decode(folder / "trainA" / "01.jpg")
    )
    assert data.test_x.read(0).shape == (32, 32, 3)
    picture(5, 31, 70).save(folder / "trainB" / "02.jpg")
    told = (
        "02.jpg has 70x31 pixels, fewer than the crop of `image_size` 32.*--load_size"
    )
    for cache in ("auto", "none"):
        with pytest.raises(UserError, match=told):
            from_folder(load_size=0, cache=cache)


# --- Caches


@pytest.mark.parametrize("load_size", [36, 0])
def test_caches_give_the_same_pictures(from_folder, monkeypatch, load_size):
    files = from_folder(cache="none", load_size=load_size)
    for keep in ("decoded", "encoded", "none"):
        monkeypatch.setattr(reader, "choose_keep", lambda *_, keep=keep: keep)
        other = from_folder(load_size=load_size)
        for split in SPLITS:
            assert_same_pictures(getattr(files, split), getattr(other, split))


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
    for cache, expected in (("auto", True), ("none", False)):
        assert is_in_memory(folder, from_folder(cache=cache).train_x) is expected, cache


# Seven pictures of 36x36x3 bytes take 27216: a quarter of 108864.
@pytest.mark.parametrize(
    "there, expected", [(108865, "decoded"), (108864, "encoded"), (400, "none")]
)
def test_auto_keeps_what_fits_a_quarter_of_memory(
    folder, from_folder, monkeypatch, there, expected
):
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": there}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    domain = from_folder(cache="auto").train_x
    assert is_in_memory(folder, domain) is (expected != "none")
    # A decoded picture is handed out as it is, an encoded one is decoded anew.
    assert (domain.read(0) is domain.read(0)) is (expected == "decoded")


def test_auto_where_sizes_or_memory_are_unknown(
    folder, from_folder, monkeypatch, capsys
):
    (folder / "trainA" / "gone.png").symlink_to(folder / "nowhere.png")
    monkeypatch.setattr(reader, "MAX_BAD", 1.0)
    domain = from_folder(cache="auto", load_size=0).train_x
    assert is_in_memory(folder, domain)
    assert domain.read(0) is not domain.read(0)
    assert len(domain) == 4 and "gone.png" in capsys.readouterr().err
    monkeypatch.delattr(os, "sysconf")
    assert not is_in_memory(folder, from_folder(cache="auto").train_x)


# --- shapes


def test_shapes_have_the_configured_sizes(tiny, few_shapes):
    data = datasets.load(tiny())
    assert datasets.count(tiny()) == (len(data.train_x), len(data.train_y))
    for split in (*SPLITS, "true_x", "true_y"):
        domain = getattr(data, split)
        number, size = (12, 36) if "train" in split else (3, 32)
        assert [i.shape for i in read_all(domain)] == number * [(size, size, 3)], split
    own_size = datasets.load(tiny(load_size=0))
    assert own_size.train_x.read(0).shape == (32, 32, 3)
    # Test pictures may be larger than the crops.
    data = datasets.load(tiny(load_size=64, test_size=64))
    for split in (*SPLITS, "true_x", "true_y"):
        assert getattr(data, split).read(0).shape == (64, 64, 3), split


def test_shapes_are_the_same_whatever_the_seed_and_know_the_truth(tiny, few_shapes):
    data, other = (datasets.load(tiny(seed=seed)) for seed in (0, 5))
    for split in (*SPLITS, "true_x", "true_y"):
        assert_same_pictures(getattr(data, split), getattr(other, split))
    for i in range(3):
        pair = [data.test_x.read(i), data.true_y.read(i)]
        np.testing.assert_array_equal(pair, shapes.draw_pair((2, i), 32))
        pair = [data.true_x.read(i), data.test_y.read(i)]
        np.testing.assert_array_equal(pair, shapes.draw_pair((3, i), 32))


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


# --- Damaged pictures, and folders that lack something


@pytest.mark.parametrize("cache", ["auto", "none"])
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


def test_files_that_are_left_out_of_a_training_are_reported_once(folder, tiny, capsys):
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


def test_skipped_pictures_have_a_line_each_and_fifty_at_most(
    from_folder, folder, monkeypatch, capsys
):
    for i in range(53):
        (folder / "trainA" / f"bad{i:02}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"53 of 57 .* bad04.jpg and 48 more\. At most"):
        from_folder()
    monkeypatch.setattr(reader, "MAX_BAD", 1.0)
    (folder / "trainB" / "gone.jpg").symlink_to(folder / "nowhere")
    assert len(from_folder().train_x) == 4
    first, *each, more, of_b, reason_b = capsys.readouterr().err.splitlines()
    assert first.endswith(" bad03.jpg, bad04.jpg and 48 more.")
    reason = f"cannot identify it as {images.FORMAT_NAMES}"
    assert each == [f"  bad{i:02}.jpg: {reason}" for i in range(50)]
    assert more == "  and 3 more"
    assert of_b.startswith("Skipped: 1 of 4") and of_b.endswith("read: gone.jpg.")
    assert reason_b == "  gone.jpg: No such file or directory"


def test_training_split_that_is_missing_or_empty_is_an_error(tmp_path, tiny):
    fill(tmp_path, {"trainA": 1})
    config = tiny(dataset=str(tmp_path))
    for function in (datasets.load, datasets.count):
        with pytest.raises(UserError, match=r"trainB is missing\. .* holds trainA/\."):
            function(config)
    (tmp_path / "trainB").mkdir()
    (tmp_path / "trainB" / "picture.heic").write_bytes(b"x")
    with pytest.raises(UserError, match=r"trainB has no picture .*Left out: 1 \.heic"):
        datasets.load(config)


def test_data_set_a_level_off_is_named(tmp_path, tiny):
    root = tmp_path / "mine"
    fill(root / "deep/er", TRAIN_SIZES)
    right = f"There is one in {root}/deep/er: .*--dataset"
    for wrong in (
        root,
        root / "deep",
        root / "deep/er/trainA",
        root / "deep/er/trainB",
    ):
        with pytest.raises(UserError, match=f"trainA is missing. {right}"):
            datasets.count(tiny(dataset=str(wrong)))
    fill(root / "other", TRAIN_SIZES)
    with pytest.raises(UserError, match=f"{root}/other, {root}/deep/er: "):
        datasets.count(tiny(dataset=str(root)))
    named = tmp_path / "named"
    for name in ("horses", "zebras", ".git"):
        (named / name).mkdir(parents=True)
    (named / "notes.txt").touch()
    told = f"{named} holds horses/, notes.txt, zebras/. .*trainA and trainB"
    with pytest.raises(UserError, match=told):
        datasets.load(tiny(dataset=str(named)))


def test_folder_with_the_name_of_a_built_in_data_set_is_named(
    folder, tiny, few_shapes, monkeypatch, capsys
):
    monkeypatch.chdir(folder.parent)
    for name in ("shapes", "maps"):
        shutil.copytree(folder, name)
        for function in (datasets.load, datasets.count):
            config = tiny(dataset=name, data_dir=str(folder))
            if name == "shapes" or function is datasets.count:
                function(config)
                told = capsys.readouterr().err
                assert f"{folder.parent}/{name}." in told and f"./{name}." in told
        assert datasets.count(tiny(dataset=f"./{name}")) == (4, 3)
        assert capsys.readouterr().err == ""
        shutil.rmtree(name)
        datasets.count(tiny(dataset=name, data_dir=str(folder)))
        assert capsys.readouterr().err == ""


def test_lost_depth_and_frames_have_a_line_for_each_split(tmp_path, tiny, capsys):
    fill(tmp_path, {"trainA": 1, "trainB": 1, "testA": 1, "testB": 1}, ".png")
    for i in range(3):
        grey = np.full((40, 40), 1000 * i, np.uint16)
        Image.fromarray(grey).save(tmp_path / f"trainA/deep{i}.png")
    frames = [picture(i) for i in range(2)]
    frames[0].save(tmp_path / "testB/a.gif", save_all=True, append_images=frames[1:])
    for cache in ("auto", "none"):
        data = datasets.load(tiny(dataset=str(tmp_path), cache=cache))
        deep, moving = capsys.readouterr().err.splitlines()
        assert f"3 pictures in {tmp_path} trainA" in deep and "0 to 2000" in deep
        assert f"1 pictures in {tmp_path} testB" in moving
        read_all(data.train_x)
        assert capsys.readouterr().err == ""


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


# --- A few pictures: which ones, in which order, and how many


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
    for image in pictures:
        assert image.dtype == np.uint8
        assert np.ptp(image) == 0
        assert image.shape == (4 + image[0, 0, 0], 4, 3)
    return [int(image[0, 0, 0]) for image in pictures]


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
        for i, image in enumerate(pictures):
            np.testing.assert_array_equal(image, domain.read(i), err_msg=split)
        # No more are drawn than the split has.
        assert len(datasets.sample_split(config, split, 13)) == len(domain)
    # They are no smaller than what is loaded and shown.
    for config, split, seed, size in (
        (tiny(test_size=64), "testA", (2, 0), 64),
        (tiny(), "trainA", (0, 0), 36),
    ):
        (image,) = datasets.sample_split(config, split, 1)
        np.testing.assert_array_equal(image, shapes.draw_pair(seed, size)[0])


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


def test_folder_or_data_set_that_is_none_is_refused(tiny, tmp_path):
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
