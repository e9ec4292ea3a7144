"""tfds data that can't be fetched or prepared."""

import os
import pathlib
import shutil
import threading

import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers.dataset_folders import prepare, read_all, resized
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.download import extractor
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_tf.data import datasets, tfds_pictures
from cyclegan_tf.validation import UserError


def files_below(folder: pathlib.Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def leftovers(folder: pathlib.Path) -> list[pathlib.Path]:
    return [p for p in folder.rglob("*") if "incomplete" in p.name or ".tmp." in p.name]


@pytest.fixture
def reachable(monkeypatch):
    """The server answers a HEAD request."""
    answer = requests.Response()
    answer.status_code = 200
    monkeypatch.setattr(requests, "head", lambda *args, **kwargs: answer)


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
