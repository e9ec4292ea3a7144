"""Pictures that disappear or are damaged while a training goes on."""

import concurrent.futures
import pathlib
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from helpers.dataset_folders import picture, read_all, truncated_jpeg
from PIL import Image

from cyclegan_tf.data import datasets, images, reader
from cyclegan_tf.data.pipeline import names_of_step, training_batches, with_user_errors
from cyclegan_tf.data.reader import with_stand_ins
from cyclegan_tf.family.shared import pairs as paired
from cyclegan_tf.family.shared.options import Pix2Pix
from cyclegan_tf.messages import UserError


@pytest.fixture(params=["single", "mirrored"])
def strategy(request):
    if request.param == "single":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def no_longer_allowed(path: pathlib.Path) -> None:
    """As a folder's permissions would have it, which tests as root could not tell."""
    path.unlink()
    path.mkdir()


def write_even(folder: pathlib.Path, levels, side=40) -> None:
    """Pictures of one level each, named by it."""
    folder.mkdir()
    for level in levels:
        Image.new("RGB", (side, side), (level,) * 3).save(folder / f"{level}.png")


def levels_of(pictures) -> list[int]:
    """Of crops of even pictures, each one's level."""
    return images.to_uint8(pictures)[:, 0, 0, 0].numpy().tolist()


@pytest.fixture
def config(tmp_path, tiny):
    """Even pictures, read each time: of X 0 to 3, of Y 100 to 104; two to test with."""
    write_even(tmp_path / "trainA", range(4))
    write_even(tmp_path / "trainB", range(100, 105))
    write_even(tmp_path / "testA", range(200, 202))
    write_even(tmp_path / "testB", range(210, 212))
    return tiny(dataset=str(tmp_path), cache="none", batch_size=2)


# --- Reading


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (pathlib.Path.unlink, "No such file or directory"),
        (lambda path: path.write_bytes(truncated_jpeg()), "Truncated File Read"),
        (no_longer_allowed, "Is a directory"),
    ],
    ids=["gone", "cut off", "not allowed"],
)
def test_next_picture_stands_in_and_the_lost_one_is_named_once(
    folder, from_folder, spoil, reason, capsys
):
    train_x = from_folder(cache="none").train_x
    expected = read_all(train_x)
    for name in ("01.jpg", "03.jpg"):
        spoil(folder / "trainA" / name)
    for _ in range(2):
        stand_ins = [expected[i] for i in (0, 2, 2, 0)]
        np.testing.assert_array_equal(read_all(train_x), stand_ins)
    lines = capsys.readouterr().err.splitlines()
    for line, lost, other in zip(lines, ("01", "03"), ("02", "00"), strict=True):
        told = f"Warning: {lost}.jpg in {folder} trainA can't be read: {reason}"
        assert line.startswith(told)
        assert line.endswith(f". {other}.jpg stands in for it.")


def test_picture_that_becomes_smaller_than_the_crop_is_replaced_till_it_comes_back(
    folder, from_folder, capsys
):
    train_y = from_folder(cache="none", load_size=0).train_y
    away = (folder / "trainB" / "02.jpg").rename(folder / "away")
    picture(5, 31, 70).save(folder / "trainB" / "02.jpg")
    picture(6, 32, 50).save(folder / "trainB" / "01.jpg")  # Just large enough.
    np.testing.assert_array_equal(train_y.read(2), train_y.read(0))
    assert train_y.read(1).shape == (32, 50, 3)
    told = capsys.readouterr().err
    assert told.startswith("Warning: 02.jpg has 70x31 pixels, fewer than the crop of")
    assert told.endswith(" 00.jpg stands in for it.\n")
    again = images.decode(away.rename(folder / "trainB" / "02.jpg"))
    np.testing.assert_array_equal(train_y.read(2), again)


def test_pictures_in_memory_need_no_files_and_others_tell_that_none_is_left(
    folder, from_folder, capsys
):
    kept = [from_folder(load_size=size).train_x for size in (36, 0)]
    train_x = from_folder(cache="none").train_x
    expected = read_all(train_x)
    shutil.rmtree(folder / "trainA")
    np.testing.assert_array_equal(read_all(kept[0]), expected)
    # Pictures of unknown sizes are encoded.
    whole = [images.resize(picture, 36) for picture in read_all(kept[1])]
    np.testing.assert_array_equal(whole, expected)
    assert capsys.readouterr().err == ""
    told = (
        rf"^None of the 4 pictures in {folder} trainA can be read any more\. "
        rf"02.jpg in {folder} trainA can't be read: No such file or directory\.$"
    )
    with pytest.raises(UserError, match=told):
        train_x.read(2)


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_test_pictures_are_replaced_too(folder, from_folder, cache, capsys):
    shutil.rmtree(folder / "testA")
    data = from_folder(cache=cache)
    (folder / "testB" / "00.jpg").unlink()
    np.testing.assert_array_equal(data.test_y.read(0), data.test_y.read(1))
    assert "00.jpg in" in capsys.readouterr().err
    if cache == "none":
        # Training pictures stand in for test pictures of X.
        (folder / "trainA" / "03.jpg").unlink()
        np.testing.assert_array_equal(data.test_x.read(3), data.test_x.read(0))


def test_threads_name_a_lost_picture_once(capsys):
    together = threading.Barrier(8)

    def read(index: int) -> np.ndarray:
        if index == 0:
            together.wait(timeout=60)  # All fail before the first warning.
            raise images.ImageError("lost")
        return np.zeros((1, 1, 3), np.uint8)

    replaced = with_stand_ins(["a", "b"], read, "here")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(replaced, [0] * 8))
    told = "Warning: a in here can't be read: lost. b stands in for it.\n"
    assert capsys.readouterr().err == told


def test_few_pictures_are_decoded_at_once_at_first_and_later():
    running, most, lock = 0, 0, threading.Lock()

    def load(name, item) -> np.ndarray:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return np.zeros((1, 1, 3), np.uint8)

    items = {str(i): b"" for i in range(100)}
    domain = reader.read_all(items, load, "here", keep="none")
    assert 1 < most <= reader.MAX_AT_ONCE
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(domain.read, range(100)))
    assert 1 < most <= reader.MAX_AT_ONCE


# --- What is lost in reading


def test_losses_of_many_pictures_give_a_line_for_each_kind(capsys):
    deep, bright = ((images.Loss((0, n), (0, n // 257), False)) for n in (4095, 65535))
    several = images.Loss(None, (0, 255), True)

    def lines(*losses) -> list[str]:
        reader.report_losses(losses, "here")
        return capsys.readouterr().err.splitlines()

    assert lines(None, None) == []
    dark, frames = lines(deep, None, several, deep, several)
    assert "2 pictures in here" in dark and "0 to 4095" in dark and "to 15 of" in dark
    assert "Scale them" in dark
    assert "2 pictures in here" in frames and "frames" in frames
    (line,) = lines(deep, bright)
    assert "0 to 65535" in line and "Scale them" not in line


# --- Training


def test_batches_go_on_without_lost_pictures(config, tmp_path, strategy, capfd):
    data = datasets.load(config)
    for name in ("trainA/1.png", "trainB/102.png", "trainB/103.png"):
        (tmp_path / name).unlink()
    stand_in = {1: 2, 102: 104, 103: 104}
    steps = with_user_errors(training_batches(data, config, strategy, 0, 12))
    for step, batch in enumerate(steps):
        parts = [p for s in batch for p in strategy.experimental_local_results(s)]
        levels = [level for part in parts for level in levels_of(part)]
        names = names_of_step(data, config, step)
        chosen = [int(name.removesuffix(".png")) for name in names]
        assert levels == [stand_in.get(level, level) for level in chosen]
    assert step == 11
    lines = capfd.readouterr().err.splitlines()
    lost = [line.split()[1] for line in lines if line.startswith("Warning: ")]
    assert sorted(lost) == ["1.png", "102.png", "103.png"]


def test_batches_end_with_our_error_when_no_picture_is_left(config, tmp_path, strategy):
    data = datasets.load(config)
    shutil.rmtree(tmp_path / "trainB")
    told = r"^None of the 5 pictures in \S+ trainB can be read any more\. 10\d.png in "
    with pytest.raises(UserError, match=told) as error:
        list(with_user_errors(training_batches(data, config, strategy, 0, 12)))
    assert "\n" not in str(error.value)
    # Other errors of TensorFlow are left alone.
    small = datasets.Domain(["small"], lambda i: np.zeros((8, 8, 3), np.uint8))
    spoilt = datasets.UnpairedData(small, small, small, small)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(with_user_errors(training_batches(spoilt, config, strategy, 0, 2)))


# --- Pairs


def test_pairs_are_replaced_as_pairs_until_none_is_left(tmp_path, monkeypatch, capfd):
    write_even(tmp_path / "trainA", range(3), side=12)
    write_even(tmp_path / "trainB", range(3), side=12)
    monkeypatch.setattr(reader, "fits", lambda number: False)
    sizes = {"image_size": 8, "load_size": 12, "num_downs": 3}
    options = Pix2Pix(dataset=str(tmp_path), discriminator_layers=1, **sizes)
    data = paired.load(options)

    def levels() -> list[list[int]]:
        """The levels of A and B in six steps, in a batch of one."""
        strategy = tf.distribute.get_strategy()
        steps = paired.batches(data.train, options, strategy, 0, 6)
        return [[levels_of(side)[0] for side in step] for step in steps]

    assert sorted(levels()) == [[0, 0], [0, 0], [1, 1], [1, 1], [2, 2], [2, 2]]
    (tmp_path / "trainB/1.png").unlink()
    Image.new("RGB", (12, 14)).save(tmp_path / "trainA/2.png")
    assert levels() == [[0, 0]] * 6
    np.testing.assert_array_equal(data.test.read(1), data.test.read(0))
    lines = capfd.readouterr().err.splitlines()
    told = sorted({line for line in lines if line.startswith("Warning: ")})
    root = tmp_path
    assert told == [
        f"Warning: {root}/trainA/2.png has 12x14 pixels and {root}/trainB/2.png has "
        f"12x12; a pair needs one size. {root}/trainA/0.png stands in for it.",
        f"Warning: {root}/trainB/1.png can't be read: No such file or directory. "
        f"{root}/trainA/0.png stands in for it.",
    ]
    shutil.rmtree(tmp_path / "trainB")
    told = rf"^None of the 3 pictures in {root} can be read any more\. \S+/trainB/"
    with pytest.raises(UserError, match=told):
        levels()
