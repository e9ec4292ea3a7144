"""Pictures of tfds."""

import os
import pathlib
import shutil
import threading

import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers.dataset_folders import (
    ALL_SIZES,
    assert_same_pictures,
    fill,
    prepare,
    read_all,
    resized,
    truncated_jpeg,
)
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.download import extractor
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.data import datasets
from cyclegan_tf.data import tfds as tfds_pictures
from cyclegan_tf.messages import UserError

NAMES = ("horse2zebra", "cycle_gan/horse2zebra")


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory) -> pathlib.Path:
    """A tfds folder with horse2zebra in it."""
    data_dir = tmp_path_factory.mktemp("prepared") / "tfds [v2]*"
    prepare(source, data_dir)
    return data_dir


@pytest.mark.usefixtures("no_network")
def test_prepared_tfds_data_is_read_without_a_network_and_always_the_same(
    source, prepared, tiny
):
    one, *others = (
        datasets.load(tiny(dataset=name, data_dir=str(prepared), cache=cache))
        for name, cache in zip(2 * NAMES, ("auto", "auto", "none", "none"), strict=True)
    )
    for attribute, split in zip(
        ("train_x", "train_y", "test_x", "test_y"), ALL_SIZES, strict=True
    ):
        domain, size = getattr(one, attribute), 36 if "train" in split else 32
        paths = (source / "horse2zebra" / split).iterdir()
        expected = sorted(resized(path, size).tolist() for path in paths)
        assert sorted(image.tolist() for image in read_all(domain)) == expected
        assert domain.names[0] == f"horse2zebra {split} number 0"
        for other in others:
            assert_same_pictures(domain, getattr(other, attribute))


@pytest.mark.usefixtures("no_network")
def test_count_of_tfds_data_needs_no_network(prepared, tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(prepared.parent))
    for name in NAMES:
        for data_dir in (str(prepared), f"~/{prepared.name}"):
            assert datasets.count(tiny(dataset=name, data_dir=data_dir)) == (4, 3)
        assert datasets.count(tiny(dataset=name, data_dir=str(tmp_path))) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_network")
def test_damaged_tfds_picture_is_counted(tmp_path, tiny):
    fill(tmp_path / "extracted" / "horse2zebra", ALL_SIZES)
    bad = tmp_path / "extracted" / "horse2zebra" / "trainB" / "bad.jpg"
    bad.write_bytes(truncated_jpeg())
    prepare(tmp_path / "extracted", tmp_path / "prepared")
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "prepared"))
    told = r"1 of 4 .* horse2zebra trainB can't be read: horse2zebra trainB number \d\."
    with pytest.raises(UserError, match=told):
        datasets.load(config)


@pytest.mark.usefixtures("no_network")
def test_damaged_tfds_files_are_told_in_one_line(prepared, tmp_path, tiny):
    shutil.copytree(prepared, tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("*trainB.tfrecord*")
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "copy"))
    half = file.read_bytes()[: file.stat().st_size // 2]
    for damage in (lambda: file.write_bytes(half), file.unlink):
        damage()
        with pytest.raises(UserError, match="horse2zebra in .* is damaged: ") as error:
            datasets.load(config)
        assert "\n" not in str(error.value)


def test_names_addresses_and_archives_are_those_of_tfds():
    configs = tfds.builder_cls("cycle_gan").BUILDER_CONFIGS
    assert sorted(TFDS_CONFIGS) == sorted(config.name for config in configs)
    assert tfds_pictures.URL == cycle_gan._DL_URL
    known = tfds.download.checksums.get_all_url_infos()
    for name in TFDS_CONFIGS:
        assert known[f"{tfds_pictures.URL}{name}.zip"].filename == f"{name}.zip"


# --- Data that can't be fetched or prepared


def leftovers(folder: pathlib.Path) -> list[pathlib.Path]:
    return [p for p in folder.rglob("*") if "incomplete" in p.name or ".tmp." in p.name]


def answer(status: int) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    return answer


@pytest.fixture
def reachable(monkeypatch):
    """The server answers a HEAD request."""
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: answer(200))


@pytest.fixture
def unprepared(tmp_path, tiny):
    """The configuration of horse2zebra in an empty tfds folder."""
    return tiny(dataset="horse2zebra", data_dir=str(tmp_path))


def fails_to_load(config, begins: str = "", instead: bool = False) -> str:
    """The message of the error: one line, which may say what to do instead."""
    with pytest.raises(UserError) as caught:
        datasets.load(config)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(begins)
    manual = pathlib.Path(config.data_dir) / "downloads" / "manual"
    told = ("--data_dir", f"put horse2zebra.zip into {manual}", "--dataset a folder")
    assert not instead or all(what in message for what in told)
    assert leftovers(pathlib.Path(config.data_dir)) == []
    return message


def test_server_that_cannot_be_reached_says_what_to_do(
    unprepared, tmp_path, monkeypatch
):
    release, asked = threading.Event(), []

    def fails():
        raise requests.exceptions.ConnectionError("HTTPSConnectionPool(...)")

    def silent():
        release.wait()
        fails()

    def head(url, timeout, allow_redirects):
        asked.append((url, timeout))
        return heads[len(asked) - 1]()

    heads = fails, lambda: answer(503), silent
    monkeypatch.setattr(requests, "head", head)
    try:
        for seconds, reason in (
            (600, "no network (ConnectionError)."),
            (500, "the server says 503."),
            (0.02, "no answer within 0.02 s."),
        ):
            monkeypatch.setattr(tfds_pictures, "NETWORK_SECONDS", seconds)
            begins = f"horse2zebra can't be downloaded: {reason}"
            fails_to_load(unprepared, begins, instead=True)
            assert list(tmp_path.iterdir()) == []
    finally:
        release.set()
    url = cycle_gan._DL_URLS["horse2zebra"]
    assert asked == [(url, 600), (url, 500), (url, 0.02)]


def test_hand_fetched_archive_with_a_wrong_checksum_is_refused(
    unprepared, tmp_path, no_network
):
    archive = tmp_path / "downloads" / "manual" / "horse2zebra.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"half a download")
    message = fails_to_load(unprepared)
    assert str(archive) in message and "checksum" in message
    assert archive.read_bytes() == b"half a download"
    assert not (tmp_path / "cycle_gan" / "horse2zebra" / "3.0.0").exists()


@pytest.fixture
def archive(source, tmp_path, no_network, monkeypatch):
    """A hand-fetched archive of `source`, which tfds is told to expect."""
    manual = tmp_path / "downloads" / "manual"
    path = shutil.make_archive(manual / "horse2zebra", "zip", source)
    info = tfds.download.checksums.compute_url_info(path)
    url = cycle_gan._DL_URLS["horse2zebra"]
    monkeypatch.setitem(tfds.builder_cls("cycle_gan").url_infos, url, info)


@pytest.mark.usefixtures("archive")
def test_hand_fetched_archive_is_used_without_a_network(source, unprepared):
    data = datasets.load(unprepared)
    assert [len(data.train_x), len(data.train_y)] == [4, 3]
    expected = resized(source / "horse2zebra" / "testA" / "00.jpg", 32).tolist()
    assert expected in [image.tolist() for image in read_all(data.test_x)]


NO_SPACE = "No space left on device"


@pytest.mark.parametrize(
    "module, name, error",
    [
        (extractor, "_copy", OSError(28, NO_SPACE)),
        (
            file_adapters.TfRecordFileAdapter,
            "write_examples",
            tf.errors.ResourceExhaustedError(None, None, NO_SPACE),
        ),
    ],
    ids=["extracting", "writing"],
)
@pytest.mark.usefixtures("archive")
def test_full_disk_is_told_and_leaves_nothing(
    unprepared, tmp_path, monkeypatch, module, name, error
):
    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr(module, name, full)
    begins = f"horse2zebra can't be prepared in {tmp_path}: "
    assert NO_SPACE in fails_to_load(unprepared, begins)


@pytest.mark.parametrize(
    "error, status, told",
    [
        (requests.exceptions.ChunkedEncodingError("too short"), 200, "ChunkedEncoding"),
        (None, 200, "checksum"),
        (None, 404, "404"),
    ],
    ids=["short", "wrong content", "refused"],
)
@pytest.mark.usefixtures("reachable")
def test_failing_download_leaves_nothing(
    unprepared, tmp_path, monkeypatch, error, status, told
):
    def content(chunk_size):
        yield b"<html>Please log in to this network.</html>"
        if error:
            raise error

    def get(session, url, **options):
        found = answer(status)
        found.url, found.iter_content, found.close = url, content, lambda: None
        return found

    monkeypatch.setattr(requests.Session, "get", get)
    begins = f"horse2zebra can't be prepared in {tmp_path}: "
    assert told in fails_to_load(unprepared, begins, instead=True)
    assert not [*tmp_path.rglob("*horse2zebra.zip*")]


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


@pytest.mark.usefixtures("reachable")
def test_error_while_preparing_is_told_and_leaves_nothing_of_this_data_set(
    source, unprepared, tmp_path, monkeypatch
):
    other = tmp_path / "cycle_gan" / "maps" / "incomplete.ABC123_3.0.0"
    for folder in (other, tmp_path / "cycle_gan/horse2zebra/incomplete.ABC123_3.0.0"):
        folder.mkdir(parents=True)
    failing_builder(source, monkeypatch, OSError(5, "Input/output error"))
    with pytest.raises(UserError, match="can't be prepared in .*: .*Input/output erro"):
        datasets.load(unprepared)
    assert leftovers(tmp_path) == [other]


@pytest.mark.usefixtures("reachable")
def test_interrupted_preparation_leaves_nothing_and_can_be_repeated(
    source, unprepared, tmp_path
):
    with pytest.MonkeyPatch.context() as patch:
        failing_builder(source, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            datasets.load(unprepared)
    assert leftovers(tmp_path) == []
    assert datasets.count(unprepared) is None
    prepare(source, tmp_path)
    assert len(datasets.load(unprepared).train_x) == 4
