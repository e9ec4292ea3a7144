"""Pictures from folders, from tfds without a network, and drawn."""

import io
import os
import pathlib
import shutil
import threading

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.download import extractor
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_tf import datasets, images, shapes, tfds_pictures
from cyclegan_tf.config import TFDS_CONFIGS, UserError

TRAIN_SIZES = {"trainA": 4, "trainB": 3}
ALL_SIZES = {**TRAIN_SIZES, "testA": 2, "testB": 2}


def picture(number: int, height: int = 40, width: int = 44) -> Image.Image:
    """A picture of its own colour, with a ramp that a resize keeps."""
    random = np.random.default_rng(number)
    ramp = np.linspace(0, 60, width)[None, :, None]
    pixels = np.broadcast_to(random.uniform(0, 190, 3) + ramp, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def truncated_jpeg() -> bytes:
    file = io.BytesIO()
    picture(0).save(file, "JPEG")
    return file.getvalue()[:-200]


def fill(root: pathlib.Path, sizes: dict[str, int], ending: str = ".jpg") -> None:
    """Writes pictures named 00.jpg, 01.jpg, ... into each split's folder."""
    for part, (split, number) in enumerate(sizes.items()):
        (root / split).mkdir(parents=True)
        for i in range(number):
            picture(100 * part + i).save(root / split / f"{i:02}{ending}")


def read_all(domain: datasets.Domain) -> list[np.ndarray]:
    return [domain.read(i) for i in range(len(domain))]


def resized(path: pathlib.Path, size: int) -> np.ndarray:
    return images.resize(images.decode(path), size)


def assert_same_pictures(one: datasets.Domain, other: datasets.Domain) -> None:
    assert list(one.names) == list(other.names)
    for a, b in zip(read_all(one), read_all(other), strict=True):
        np.testing.assert_array_equal(a, b)


def files_below(folder: pathlib.Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def leftovers(folder: pathlib.Path) -> list[pathlib.Path]:
    return [p for p in folder.rglob("*") if "incomplete" in p.name or ".tmp." in p.name]


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    root = tmp_path / "data"
    fill(root, ALL_SIZES)
    return root


@pytest.fixture
def from_folder(folder, tiny):
    """Loads `folder` with some fields of the configuration replaced."""

    def load(**fields) -> datasets.UnpairedData:
        return datasets.load(tiny(dataset=str(folder), **fields))

    return load


# --- Folders


def test_each_split_holds_its_own_pictures_resized(folder, from_folder):
    data = from_folder()
    for domain, split, size in (
        (data.train_x, "trainA", 36),
        (data.train_y, "trainB", 36),
        (data.test_x, "testA", 32),
        (data.test_y, "testB", 32),
    ):
        paths = sorted((folder / split).iterdir())
        assert list(domain.names) == [p.name for p in paths]
        assert len(domain) == ALL_SIZES[split]
        for image, path in zip(read_all(domain), paths, strict=True):
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, resized(path, size))
    assert data.true_x is None and data.true_y is None


def test_pictures_are_found_at_any_depth_and_in_order(folder, from_folder):
    deeper = folder / "trainA" / "sub" / "deeper"
    deeper.mkdir(parents=True)
    for name in (
        "b.JPG",
        "a.png",
        "c.bmp",
        "d.gif",
        "e.jpeg",
        "sub/a.PNG",
        "sub/z.Gif",
    ):
        picture(1).save(folder / "trainA" / name)
    picture(2).save(deeper / "m.BMP")
    train_x = from_folder().train_x
    assert list(train_x.names) == [
        *("00.jpg", "01.jpg", "02.jpg", "03.jpg"),
        *("a.png", "b.JPG", "c.bmp", "d.gif", "e.jpeg"),
        *("sub/a.PNG", "sub/deeper/m.BMP", "sub/z.Gif"),
    ]
    for name, image in zip(train_x.names, read_all(train_x), strict=True):
        np.testing.assert_array_equal(image, resized(folder / "trainA" / name, 36))


def test_dot_files_other_files_and_folders_are_left_out(folder, from_folder):
    split = folder / "trainA"
    picture(1).save(split / ".hidden.png")
    (split / "._00.jpg").write_bytes(b"resource fork")
    (split / "notes.txt").write_text("not a picture")
    (split / "Thumbs.db").write_bytes(b"x")
    (split / "no_ending").write_bytes(b"x")
    (split / "folder.png").mkdir()
    assert list(from_folder().train_x.names) == [f"{i:02}.jpg" for i in range(4)]


def test_pictures_in_dot_folders_are_left_out(folder, from_folder):
    thumbnails = folder / "trainA" / ".thumbnails"
    thumbnails.mkdir()
    picture(1).save(thumbnails / "00.png")
    assert list(from_folder().train_x.names) == [f"{i:02}.jpg" for i in range(4)]


def test_data_set_may_lie_in_a_dot_folder(tmp_path, tiny):
    fill(tmp_path / ".cache" / "data", TRAIN_SIZES)
    config = tiny(dataset=str(tmp_path / ".cache" / "data"))
    assert datasets.count(config) == (4, 3)


def test_linked_split_is_followed(folder, tmp_path, tiny):
    linked = tmp_path / "linked"
    linked.mkdir()
    for split in TRAIN_SIZES:
        (linked / split).symlink_to(folder / split)
    assert datasets.count(tiny(dataset=str(linked))) == (4, 3)


def test_pictures_of_all_sizes_become_one_size(folder, from_folder):
    for i, (height, width) in enumerate([(20, 90), (200, 33), (36, 36), (1, 1)]):
        picture(i, height, width).save(folder / "trainB" / f"{i:02}.jpg")
    data = from_folder()
    assert [i.shape for i in read_all(data.train_y)] == [(36, 36, 3)] * 4


@pytest.mark.parametrize("missing", [{"testA", "testB"}, {"testA"}, {"testB"}])
def test_missing_test_split_gives_training_pictures(tmp_path, tiny, missing):
    root = tmp_path / "data"
    fill(root, {k: n for k, n in ALL_SIZES.items() if k not in missing})
    data = datasets.load(tiny(dataset=str(root)))
    for test, train, letter in (
        (data.test_x, data.train_x, "A"),
        (data.test_y, data.train_y, "B"),
    ):
        if f"test{letter}" in missing:
            assert list(test.names) == list(train.names)
        split = "train" if f"test{letter}" in missing else "test"
        for name, image in zip(test.names, read_all(test), strict=True):
            assert image.shape == (32, 32, 3)
            direct = resized(root / f"{split}{letter}" / name, 32).astype(int)
            assert np.abs(image - direct).mean() < 2


def test_empty_test_split_gives_training_pictures(tmp_path, tiny):
    fill(tmp_path, TRAIN_SIZES)
    (tmp_path / "testA").mkdir()
    data = datasets.load(tiny(dataset=str(tmp_path)))
    assert list(data.test_x.names) == list(data.train_x.names)


def test_home_folder_is_expanded(folder, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert datasets.count(tiny(dataset="~/data")) == (4, 3)


def test_folder_named_like_a_tfds_configuration_needs_a_path(
    tmp_path, tiny, monkeypatch
):
    fill(tmp_path / "horse2zebra", TRAIN_SIZES)
    monkeypatch.chdir(tmp_path)
    empty = str(tmp_path / "empty")
    assert datasets.count(tiny(dataset="./horse2zebra")) == (4, 3)
    assert datasets.count(tiny(dataset="horse2zebra", data_dir=empty)) is None


# --- Damaged pictures


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_damaged_picture_is_skipped_named_and_counted(tmp_path, tiny, capsys, cache):
    fill(tmp_path, {"trainA": 40, "trainB": 3})
    (tmp_path / "trainA" / "07b.jpg").write_bytes(truncated_jpeg())
    train_x = datasets.load(tiny(dataset=str(tmp_path), cache=cache)).train_x
    stderr = capsys.readouterr().err
    assert (
        f"Skipped: 1 of 41 pictures in {tmp_path} trainA can't be read: 07b.jpg."
        in stderr
    )
    assert "trainB" not in stderr
    assert list(train_x.names) == [f"{i:02}.jpg" for i in range(40)]
    for name, image in zip(train_x.names, read_all(train_x), strict=True):
        np.testing.assert_array_equal(image, resized(tmp_path / "trainA" / name, 36))


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
        r"At most 5% may be damaged\.$",
    ):
        datasets.load(tiny(dataset=str(tmp_path), cache=cache))


def test_many_damaged_pictures_are_named_in_part(folder, from_folder):
    for i in range(7):
        (folder / "testB" / f"bad{i}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"7 of 9 .* bad4.jpg and 2 more\. At most 5%"):
        from_folder()


# --- Mistakes


def test_missing_training_split_is_an_error(tmp_path, tiny):
    fill(tmp_path, {"trainA": 1})
    config = tiny(dataset=str(tmp_path))
    for function in (datasets.load, datasets.count):
        with pytest.raises(UserError, match=r"trainB is missing\.$"):
            function(config)


def test_training_split_without_pictures_is_an_error(tmp_path, tiny):
    fill(tmp_path, {"trainA": 1, "trainB": 0})
    (tmp_path / "trainB" / "picture.webp").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"trainB has no picture \(JPEG, PNG, BMP or GIF\)\.$"
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
    memory, none, auto = (
        from_folder(cache=cache, load_size=load_size)
        for cache in ("memory", "none", "auto")
    )
    for other in (none, auto):
        for split in ("train_x", "train_y", "test_x", "test_y"):
            assert_same_pictures(getattr(memory, split), getattr(other, split))


def is_in_memory(folder: pathlib.Path, domain: datasets.Domain) -> bool:
    """Whether a picture can be read without its file."""
    path = folder / "trainA" / domain.names[0]
    away = path.rename(path.with_suffix(".away"))
    try:
        domain.read(0)
        return True
    except images.ImageError:
        return False
    finally:
        away.rename(path)


@pytest.mark.parametrize("cache, expected", [("memory", True), ("none", False)])
def test_cache_decides_where_pictures_are(folder, from_folder, cache, expected):
    assert is_in_memory(folder, from_folder(cache=cache).train_x) is expected


# Seven pictures of 36x36x3 bytes take 27216: a quarter of 108864.
@pytest.mark.parametrize("memory, expected", [(108865, True), (108864, False)])
def test_auto_keeps_what_fits_a_quarter_of_memory(
    folder, from_folder, monkeypatch, memory, expected
):
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert is_in_memory(folder, from_folder(cache="auto").train_x) is expected


def test_auto_keeps_nothing_of_unknown_size(folder, from_folder):
    assert not is_in_memory(folder, from_folder(cache="auto", load_size=0).train_x)


def test_auto_works_where_memory_is_unknown(folder, from_folder, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert not is_in_memory(folder, from_folder(cache="auto").train_x)


# --- Counts


def test_count_tells_training_pictures_without_reading(folder, tiny, monkeypatch):
    monkeypatch.setattr(images, "decode", pytest.fail)
    assert datasets.count(tiny(dataset=str(folder))) == (4, 3)


def test_count_of_shapes_is_what_load_gives(tiny):
    data = datasets.load(tiny())
    assert datasets.count(tiny()) == (len(data.train_x), len(data.train_y))


# --- shapes


def test_shapes_have_the_sizes_asked_for(tiny):
    data = datasets.load(tiny())
    for domain, number, size in (
        (data.train_x, 400, 36),
        (data.train_y, 400, 36),
        (data.test_x, 40, 32),
        (data.test_y, 40, 32),
        (data.true_y, 40, 32),
        (data.true_x, 40, 32),
    ):
        assert len(domain) == number
        assert {i.shape for i in read_all(domain)} == {(size, size, 3)}
    own_size = datasets.load(tiny(load_size=0))
    assert own_size.train_x.read(0).shape == (32, 32, 3)


def test_shapes_are_the_same_whatever_the_seed(tiny):
    one, other = (datasets.load(tiny(seed=seed)) for seed in (0, 5))
    for split in ("train_x", "train_y", "test_x", "test_y", "true_x", "true_y"):
        assert_same_pictures(getattr(one, split), getattr(other, split))


def test_shapes_know_the_true_translations_of_test_pictures(tiny):
    data = datasets.load(tiny())
    for i in (0, 39):
        plain, striped = shapes.draw_pair((2, i), 32)
        np.testing.assert_array_equal(data.test_x.read(i), plain)
        np.testing.assert_array_equal(data.true_y.read(i), striped)
        plain, striped = shapes.draw_pair((3, i), 32)
        np.testing.assert_array_equal(data.test_y.read(i), striped)
        np.testing.assert_array_equal(data.true_x.read(i), plain)


def test_shapes_are_unpaired_and_share_no_picture(tiny):
    # At one size, so that equal pictures would be equal arrays.
    data = datasets.load(tiny(load_size=32))
    animals = [
        picture.tobytes()
        for domain in (data.train_x, data.true_x, data.test_x)
        for picture in read_all(domain)
    ] + [shapes.draw_pair((1, i), 32)[0].tobytes() for i in range(400)]
    assert len(set(animals)) == 400 + 40 + 40 + 400
    np.testing.assert_array_equal(data.train_y.read(3), shapes.draw_pair((1, 3), 32)[1])


# --- tfds


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    """Holds horse2zebra/ alone, as the extracted archive does."""
    extracted = tmp_path_factory.mktemp("extracted")
    fill(extracted / "horse2zebra", ALL_SIZES)
    return extracted


def prepare(source: pathlib.Path, data_dir: pathlib.Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tfds.download.DownloadManager,
            "download_and_extract",
            lambda self, url: str(source),
        )
        tfds.builder("cycle_gan/horse2zebra", data_dir=data_dir).download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory) -> pathlib.Path:
    """A tfds folder with horse2zebra in it."""
    data_dir = tmp_path_factory.mktemp("prepared")
    prepare(source, data_dir)
    return data_dir


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("The network was asked.")

    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(requests.Session, "request", refuse)


@pytest.fixture
def reachable(monkeypatch):
    """The server answers a HEAD request."""
    answer = requests.Response()
    answer.status_code = 200
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: answer)


@pytest.mark.parametrize("name", ["horse2zebra", "cycle_gan/horse2zebra"])
def test_prepared_tfds_data_is_read_without_a_network(
    source, prepared, tiny, no_network, name
):
    data = datasets.load(tiny(dataset=name, data_dir=str(prepared)))
    for domain, split, size in (
        (data.train_x, "trainA", 36),
        (data.train_y, "trainB", 36),
        (data.test_x, "testA", 32),
        (data.test_y, "testB", 32),
    ):
        paths = (source / "horse2zebra" / split).iterdir()
        expected = sorted(resized(path, size).tolist() for path in paths)
        assert sorted(image.tolist() for image in read_all(domain)) == expected
        assert domain.names[0] == f"horse2zebra {split} number 0"


def test_tfds_order_and_caches_agree_between_loads(prepared, tiny, no_network):
    one, other = (
        datasets.load(tiny(dataset="horse2zebra", data_dir=str(prepared), cache=cache))
        for cache in ("memory", "none")
    )
    for split in ("train_x", "train_y", "test_x", "test_y"):
        assert_same_pictures(getattr(one, split), getattr(other, split))


def test_data_dir_in_the_home_folder_is_expanded(
    prepared, tiny, no_network, monkeypatch
):
    monkeypatch.setenv("HOME", str(prepared.parent))
    config = tiny(dataset="horse2zebra", data_dir=f"~/{prepared.name}")
    assert datasets.count(config) == (4, 3)


def test_count_of_tfds_data_needs_no_network(prepared, tmp_path, tiny, no_network):
    for name in ("horse2zebra", "cycle_gan/horse2zebra"):
        config = tiny(dataset=name, data_dir=str(prepared))
        assert datasets.count(config) == (4, 3)
        assert datasets.count(tiny(dataset=name, data_dir=str(tmp_path))) is None
    assert list(tmp_path.iterdir()) == []


def test_damaged_tfds_picture_is_counted(tmp_path, tiny, no_network):
    fill(tmp_path / "extracted" / "horse2zebra", ALL_SIZES)
    bad = tmp_path / "extracted" / "horse2zebra" / "trainB" / "bad.jpg"
    bad.write_bytes(truncated_jpeg())
    prepare(tmp_path / "extracted", tmp_path / "prepared")
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "prepared"))
    with pytest.raises(
        UserError,
        match=r"1 of 4 pictures in horse2zebra trainB can't be read: "
        r"horse2zebra trainB number \d\.",
    ):
        datasets.load(config)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_tfds_files_are_told_in_one_line(
    prepared, tmp_path, tiny, no_network, damage
):
    shutil.copytree(prepared, tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("*trainB.tfrecord*")
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "copy"))
    with pytest.raises(UserError, match="horse2zebra in .* is damaged: ") as error:
        datasets.load(config)
    assert "\n" not in str(error.value)


def test_names_are_those_of_tfds():
    configs = tfds.builder_cls("cycle_gan").BUILDER_CONFIGS
    assert sorted(TFDS_CONFIGS) == sorted(config.name for config in configs)
    assert len(TFDS_CONFIGS) == 10


def test_addresses_and_archives_are_those_of_tfds():
    assert tfds_pictures.URL == cycle_gan._DL_URL
    known = tfds.download.checksums.get_all_url_infos()
    for name in TFDS_CONFIGS:
        assert known[f"{tfds_pictures.URL}{name}.zip"].filename == f"{name}.zip"


# --- tfds data that can't be fetched


def fails_to_load(config) -> str:
    """The message of the error; asserts that it is one line."""
    with pytest.raises(UserError) as caught:
        datasets.load(config)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_says_what_to_do_instead(message: str, data_dir: pathlib.Path) -> None:
    assert "--data_dir" in message
    assert f"put horse2zebra.zip into {data_dir / 'downloads' / 'manual'}" in message
    assert "--dataset a folder with trainA/ and trainB/" in message


@pytest.fixture
def unprepared(tmp_path, tiny):
    """The configuration of horse2zebra in an empty tfds folder."""
    return tiny(dataset="horse2zebra", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    "error", [requests.exceptions.ConnectionError, requests.exceptions.SSLError]
)
def test_no_network_says_what_to_do(unprepared, tmp_path, monkeypatch, error):
    def head(*args, **kwargs):
        raise error("HTTPSConnectionPool(...)")

    monkeypatch.setattr(requests, "head", head)
    message = fails_to_load(unprepared)
    reason = f"horse2zebra can't be downloaded: no network ({error.__name__})."
    assert message.startswith(reason)
    assert_says_what_to_do_instead(message, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_silent_server_says_what_to_do(unprepared, tmp_path, monkeypatch):
    release = threading.Event()

    def head(*args, **kwargs):
        release.wait()
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(requests, "head", head)
    monkeypatch.setattr(tfds_pictures, "NETWORK_SECONDS", 0.02)
    try:
        message = fails_to_load(unprepared)
    finally:
        release.set()
    assert "can't be downloaded: no answer within 0.02 s." in message
    assert_says_what_to_do_instead(message, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refusing_server_says_what_to_do(unprepared, tmp_path, monkeypatch):
    answer = requests.Response()
    answer.status_code = 503
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: answer)
    message = fails_to_load(unprepared)
    assert "can't be downloaded: the server says 503." in message
    assert_says_what_to_do_instead(message, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_server_is_asked_for_the_archive_of_the_data_set(unprepared, monkeypatch):
    asked = []

    def head(url, **kwargs):
        asked.append((url, kwargs["timeout"]))
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(requests, "head", head)
    fails_to_load(unprepared)
    assert asked == [(cycle_gan._DL_URLS["horse2zebra"], tfds_pictures.NETWORK_SECONDS)]


def test_hand_fetched_archive_with_a_wrong_checksum_is_refused(
    unprepared, tmp_path, no_network
):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "horse2zebra.zip").write_bytes(b"half a download")
    message = fails_to_load(unprepared)
    assert str(manual / "horse2zebra.zip") in message and "checksum" in message
    assert (manual / "horse2zebra.zip").read_bytes() == b"half a download"
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "cycle_gan" / "horse2zebra" / "3.0.0").exists()


def put_archive(source, data_dir: pathlib.Path, monkeypatch) -> None:
    """Lays a hand-fetched archive of `source`, which tfds is told to expect."""
    manual = data_dir / "downloads" / "manual"
    archive = shutil.make_archive(manual / "horse2zebra", "zip", source)
    info = tfds.download.checksums.compute_url_info(archive)
    url = cycle_gan._DL_URLS["horse2zebra"]
    monkeypatch.setitem(tfds.builder_cls("cycle_gan").url_infos, url, info)


def test_hand_fetched_archive_is_used_without_a_network(
    source, unprepared, tmp_path, no_network, monkeypatch
):
    put_archive(source, tmp_path, monkeypatch)
    data = datasets.load(unprepared)
    assert [len(data.train_x), len(data.train_y)] == [4, 3]
    expected = resized(source / "horse2zebra" / "testA" / "00.jpg", 32).tolist()
    assert expected in [image.tolist() for image in read_all(data.test_x)]


def test_full_disk_during_extraction_is_told_and_leaves_nothing(
    source, unprepared, tmp_path, no_network, monkeypatch
):
    def copy(*args, **kwargs):
        raise OSError(28, "No space left on device")

    put_archive(source, tmp_path, monkeypatch)
    monkeypatch.setattr(extractor, "_copy", copy)
    message = fails_to_load(unprepared)
    assert message.startswith(f"horse2zebra can't be prepared in {tmp_path}: ")
    assert "No space left on device" in message
    assert leftovers(tmp_path) == []


class Download:
    """What `requests.Session.get` gives: some bytes, then perhaps an error."""

    status_code = 200

    def __init__(self, url: str, error: Exception | None):
        self.url, self.headers, self._error = url, {}, error

    def __enter__(self):
        return self

    def __exit__(self, *details):
        return None

    def iter_content(self, chunk_size):
        yield b"<html>Please log in to this network.</html>"
        if self._error:
            raise self._error


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ConnectionError("reset by peer"),
        requests.exceptions.ChunkedEncodingError("too short"),
        None,
    ],
    ids=["broken", "short", "wrong content"],
)
def test_failing_download_leaves_nothing(
    unprepared, tmp_path, reachable, monkeypatch, error
):
    monkeypatch.setattr(
        requests.Session, "get", lambda self, url, **kwargs: Download(url, error)
    )
    message = fails_to_load(unprepared)
    assert message.startswith("The download of horse2zebra failed: ")
    assert_says_what_to_do_instead(message, tmp_path)
    assert leftovers(tmp_path) == []
    assert not any("horse2zebra.zip" in name for name in files_below(tmp_path))


def test_refused_download_is_told(unprepared, tmp_path, reachable, monkeypatch):
    download = Download(cycle_gan._DL_URLS["horse2zebra"], None)
    download.status_code = 404
    monkeypatch.setattr(requests.Session, "get", lambda *args, **kwargs: download)
    message = fails_to_load(unprepared)
    assert message.startswith("The download of horse2zebra failed: ")
    assert "404" in message
    assert_says_what_to_do_instead(message, tmp_path)
    assert leftovers(tmp_path) == []


def failing_builder(source, monkeypatch, error: BaseException) -> None:
    """Preparation reads one picture of a split, then fails."""

    def generate(self, path, label):
        name = sorted(os.listdir(path))[0]
        yield name, {"image": os.path.join(path, name), "label": label}
        raise error

    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, url: str(source),
    )
    monkeypatch.setattr(cycle_gan.CycleGAN, "_generate_examples", generate)


def test_error_while_preparing_is_told_and_leaves_nothing(
    source, unprepared, tmp_path, reachable, monkeypatch
):
    failing_builder(source, monkeypatch, OSError(5, "Input/output error"))
    message = fails_to_load(unprepared)
    assert message.startswith(f"horse2zebra can't be prepared in {tmp_path}: ")
    assert "Input/output error" in message
    assert leftovers(tmp_path) == []


def test_full_disk_while_writing_is_told_and_leaves_nothing(
    source, unprepared, tmp_path, no_network, monkeypatch
):
    def write(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    put_archive(source, tmp_path, monkeypatch)
    monkeypatch.setattr(file_adapters.TfRecordFileAdapter, "write_examples", write)
    message = fails_to_load(unprepared)
    assert message.startswith(f"horse2zebra can't be prepared in {tmp_path}: ")
    assert "No space left on device" in message
    assert leftovers(tmp_path) == []


def test_interrupted_preparation_leaves_nothing_and_can_be_repeated(
    source, unprepared, tmp_path, reachable
):
    with pytest.MonkeyPatch.context() as patch:
        failing_builder(source, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            datasets.load(unprepared)
    assert leftovers(tmp_path) == []
    assert datasets.count(unprepared) is None
    prepare(source, tmp_path)
    assert len(datasets.load(unprepared).train_x) == 4


def test_failure_removes_incomplete_folders_of_this_data_set_alone(
    source, unprepared, tmp_path, reachable, monkeypatch
):
    ours = tmp_path / "cycle_gan" / "horse2zebra" / "incomplete.ABC123_3.0.0"
    other = tmp_path / "cycle_gan" / "maps" / "incomplete.ABC123_3.0.0"
    ours.mkdir(parents=True)
    other.mkdir(parents=True)
    failing_builder(source, monkeypatch, OSError("disk"))
    fails_to_load(unprepared)
    assert not ours.exists()
    assert other.exists()
