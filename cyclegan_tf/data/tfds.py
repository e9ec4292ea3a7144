"""The `cycle_gan` data sets of tensorflow_datasets (tfds), downloaded if necessary."""

import contextlib
import os
import pathlib
import shutil
import threading

import requests
import tensorflow as tf

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.files import plain_path
from cyclegan_tf.messages import UserError, reason

NETWORK_SECONDS = 15
SPLITS = ("trainA", "trainB", "testA", "testB")
URL = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"


def configuration_name(dataset: str) -> str | None:
    """The tfds configuration of a data set's name, or None."""
    name = dataset.removeprefix("cycle_gan/")
    return name if name in TFDS_CONFIGS else None


@contextlib.contextmanager
def _builder(name: str, data_dir: str):
    import tensorflow_datasets as tfds  # Takes seconds.

    folder = os.path.expanduser(data_dir) or tfds.core.constants.DATA_DIR
    with plain_path(folder) as plain:
        default = not data_dir and plain == folder
        yield tfds.builder(f"cycle_gan/{name}", data_dir=None if default else plain)


def count(name: str, data_dir: str) -> tuple[int, int] | None:
    """The numbers of training pictures; None before the download."""
    with _builder(name, data_dir) as builder:
        if not builder.is_prepared():
            return None
        splits = builder.info.splits
        return splits["trainA"].num_examples, splits["trainB"].num_examples


def encoded_pictures(name: str, data_dir: str) -> dict[str, dict[str, bytes]]:
    """Reads encoded pictures, by split and name; downloads them if necessary.

    Raises:
      UserError: the data set can't be downloaded, prepared or read.
    """
    with _builder(name, data_dir) as builder:
        if not builder.is_prepared():
            _prepare(builder, name)
        try:
            return {split: _read(builder, name, split) for split in SPLITS}
        except (tf.errors.OpError, FileNotFoundError) as error:
            folder = os.path.realpath(builder.data_dir)
            raise UserError(
                f"{name} in {folder} is damaged: {reason(error)}"
            ) from error


def _read(builder, name: str, split: str) -> dict[str, bytes]:
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()}
    examples = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False)
    return {
        f"{name} {split} number {i}": example["image"]
        for i, example in enumerate(examples.as_numpy_iterator())
    }


def _prepare(builder, name: str) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, extractor

    root = pathlib.Path(os.path.realpath(builder.data_dir)).parents[2]
    archive = root / "downloads" / "manual" / f"{name}.zip"
    hint = (
        f"Use --data_dir with a prepared copy, put {name}.zip into {archive.parent}, "
        "or give --dataset a folder with trainA/ and trainB/."
    )
    problem = "" if archive.exists() else _network_problem(f"{URL}{name}.zip")
    if problem:
        raise UserError(f"{name} can't be downloaded: {problem}. {hint}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _removes_unfinished(root, builder):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except (
        OSError,  # Also those of requests.
        RuntimeError,  # Errors of TensorFlow's writer.
        tfds.download.DownloadError,
        download_manager.NonMatchingChecksumError,
        extractor.ExtractError,
    ) as error:
        line = str(error).partition("\n")[0].rstrip(".:")  # Too long for `reason`.
        text = f"{type(error).__name__}, {line}"
        raise UserError(
            f"{name} can't be prepared in {root}: {text}. {hint}"
        ) from error


def _network_problem(url: str) -> str:
    """Why the server can't be reached; tfds itself would try for minutes."""
    problem = f"no answer within {NETWORK_SECONDS} s"

    def ask() -> None:
        nonlocal problem
        try:
            answer = requests.head(url, timeout=NETWORK_SECONDS, allow_redirects=True)
            problem = "" if answer.ok else f"the server says {answer.status_code}"
        except requests.exceptions.RequestException as error:
            problem = f"no network ({type(error).__name__})"

    # A thread, because the look-up of a name has no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return problem


@contextlib.contextmanager
def _removes_unfinished(root: pathlib.Path, builder):
    """On failure, removes new downloads and all unfinished folders of this data set."""

    def downloads() -> set[pathlib.Path]:
        patterns = ("cycle_gan/*.tmp.*", "extracted/incomplete.*")
        return {path for p in patterns for path in (root / "downloads").glob(p)}

    before = downloads()
    try:
        yield
    except BaseException:
        parent = pathlib.Path(builder.data_dir).parent
        for folder in {*parent.glob("*incomplete*"), *downloads()} - before:
            shutil.rmtree(folder, ignore_errors=True)
        raise
