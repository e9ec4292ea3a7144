"""Pictures of the tfds `cycle_gan` data sets, fetched and prepared when need be.

tfds itself waits minutes for a server that can't be reached and leaves folders behind:
here the server is asked first, and what a failure left is removed.
"""

import contextlib
import os
import pathlib
import shutil
import threading

import requests
import tensorflow as tf

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.validation import UserError

NETWORK_SECONDS = 15
SPLITS = ("trainA", "trainB", "testA", "testB")
URL = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"


def configuration_name(dataset: str) -> str | None:
    """The tfds configuration that a data set's name stands for, or None."""
    name = dataset.removeprefix("cycle_gan/")
    return name if name in TFDS_CONFIGS else None


def builder_of(name: str, data_dir: str):
    """The tfds builder of a configuration; an empty `data_dir` means tfds's own."""
    import tensorflow_datasets as tfds  # Seconds to import, and only needed here.

    directory = os.path.expanduser(data_dir) if data_dir else None
    return tfds.builder(f"cycle_gan/{name}", data_dir=directory)


def encoded_pictures(name: str, data_dir: str) -> dict[str, dict[str, bytes]]:
    """The encoded pictures of a tfds configuration, fetched first if need be.

    Args:
      name: One of `TFDS_CONFIGS`.
      data_dir: Where tfds keeps its data sets; empty for its own place.

    Returns:
      The files' bytes by split and by a name to call them.

    Raises:
      UserError: they are not there and can't be fetched or prepared.
    """
    builder = builder_of(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    try:
        return {split: _read(builder, name, split) for split in SPLITS}
    except (tf.errors.OpError, FileNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name} in {builder.data_dir} is damaged: {reason}") from error


def _read(builder, name: str, split: str) -> dict[str, bytes]:
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(
        split=split,
        decoders={"image": tfds.decode.SkipDecoding()},
        shuffle_files=False,
    )
    return {
        f"{name} {split} number {i}": example["image"]
        for i, example in enumerate(examples.as_numpy_iterator())
    }


def _prepare(builder, name: str) -> None:
    """Downloads and prepares, having made sure that the server answers."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, extractor

    root = pathlib.Path(builder.data_dir).parents[2]
    archive = root / "downloads" / "manual" / f"{name}.zip"
    instead = (
        f"Use --data_dir with a prepared copy, put {name}.zip into {archive.parent}, "
        "or give --dataset a folder with trainA/ and trainB/."
    )
    if not archive.exists():
        problem = _unreachable(f"{URL}{name}.zip")
        if problem:
            raise UserError(f"{name} can't be downloaded: {problem}. {instead}")
    try:
        with _removed_if_failed(root, builder):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except requests.exceptions.RequestException as error:
        reason = type(error).__name__
        raise UserError(
            f"The download of {name} failed: {reason}. {instead}"
        ) from error
    except tfds.download.DownloadError as error:
        raise UserError(f"The download of {name} failed: {error}. {instead}") from error
    except download_manager.NonMatchingChecksumError as error:
        if archive.exists():
            what = f"{archive} has a wrong checksum: fetch it again"
        else:
            what = f"The download of {name} failed: wrong checksum"
        raise UserError(f"{what}. {instead}") from error
    except (OSError, RuntimeError, extractor.ExtractError) as error:
        # tfds makes a RuntimeError of what TensorFlow's writer raises.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{name} can't be prepared in {root}: {reason}.") from error


def _unreachable(url: str) -> str:
    """Why a server can't be reached, or an empty string, within NETWORK_SECONDS."""
    problem = [f"no answer within {NETWORK_SECONDS} s"]

    def ask() -> None:
        try:
            answer = requests.head(url, timeout=NETWORK_SECONDS, allow_redirects=True)
            problem[0] = "" if answer.ok else f"the server says {answer.status_code}"
        except requests.exceptions.RequestException as error:
            problem[0] = f"no network ({type(error).__name__})"

    # A thread, since looking up a name has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return problem[0]


@contextlib.contextmanager
def _removed_if_failed(root: pathlib.Path, builder):
    """Leaves no unfinished download or folder of this data set behind a failure."""

    def unfinished() -> set[pathlib.Path]:
        downloads = root / "downloads"
        return {
            *downloads.glob("cycle_gan/*.tmp.*"),
            *downloads.glob("extracted/incomplete.*"),
        }

    others = unfinished()
    try:
        yield
    except BaseException:
        parent = pathlib.Path(builder.data_dir).parent
        for folder in {*parent.glob("*incomplete*"), *unfinished()} - others:
            shutil.rmtree(folder, ignore_errors=True)
        raise
