"""Folders of anybody's pictures."""

import dataclasses

import numpy as np
from helpers.config_values import refused
from helpers.quality_samples import array, drawn
from PIL import Image

from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.quality import folders


def write(folder, **sizes):
    """Writes pictures by name, of (width, height)."""
    for i, (name, size) in enumerate(sizes.items(), start=1):
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (i, i, i)).save(path.with_suffix(".png"))
    return str(folder)


def test_pictures_are_named_by_their_path_without_ending(tmp_path):
    root = write(tmp_path / "a", b=(8, 8), sub__c=(9, 7))
    found = folders.of_folder(root, "fake")
    assert [*found.names] == ["b", "sub/c"]
    assert found.read(1).shape == (7, 9, 3)


def test_folders_that_cannot_be_used_are_told(tmp_path):
    with refused(f"`real`: no such folder: {tmp_path / 'no'}."):
        folders.of_folder(str(tmp_path / "no"), "real")
    (tmp_path / "empty").mkdir()
    with refused(f"{tmp_path / 'empty'} has no picture"):
        folders.of_folder(str(tmp_path / "empty"), "real")
    root = write(tmp_path / "twice", b=(8, 8))
    Image.new("RGB", (8, 8)).save(tmp_path / "twice/b.jpg")
    with refused(f"{root} has two pictures called b."):
        folders.of_folder(root, "real")
    (tmp_path / "twice/b.jpg").write_bytes(b"no picture")
    (tmp_path / "twice/b.png").unlink()
    with refused("b.jpg can't be read: "):
        folders.of_folder(root, "real").read(0)


def test_counterparts_are_found_by_name_whatever_the_order(tmp_path):
    def folder(name, what, **sizes):
        return folders.of_folder(write(tmp_path / name, **sizes), what)

    ours = folder("x", "fake", b=(8, 6), a=(8, 6))
    theirs = folder("y", "input", c=(8, 6), b=(8, 6), a=(8, 6))
    found = folders.matched(ours, theirs, "input")
    assert [*found.names] == ["a", "b"]
    assert [found.read(i)[0, 0, 0] for i in range(2)] == [3, 2]
    with refused("1 of 2 pictures have no input of the same name, such as b."):
        folders.matched(ours, folder("z", "input", a=(8, 6), c=(8, 6)), "input")
    with refused("b has 8x6 pixels, its input 9x6: pairs must have the same size."):
        folders.matched(ours, folder("w", "input", a=(8, 6), b=(9, 6)), "input")


def test_common_size_is_that_of_the_first_within_limits(tmp_path):
    for i, (size, side) in enumerate(
        (((64, 64), 64), ((67, 90), 64), ((900, 700), 256), ((9, 9), 16))
    ):
        domain = folders.of_folder(write(tmp_path / str(i), a=size), "fake")
        assert folders.common_size(domain) == side


def test_test_pictures_of_the_same_name_are_each_others_truth():
    x, y = (drawn(2, which, 4) for which in (0, 1))
    x = dataclasses.replace(x, names=[f"{i}.jpg" for i in range(4)])
    order = [2, 0, 3, 1]
    y = dataclasses.replace(
        y, names=[f"{i}.png" for i in order], read=lambda i: drawn(2, 1).read(order[i])
    )
    true_y, true_x = folders.paired(UnpairedData(x, y, x, y))
    np.testing.assert_array_equal(array(true_y), array(drawn(2, 1, 4)))
    np.testing.assert_array_equal(array(true_x), array(drawn(2, 0))[order])
    other = dataclasses.replace(y, names=list("abcd"))
    with refused("4 of 4 pictures have no test picture in domain Y of the same name"):
        folders.paired(UnpairedData(x, other, x, other))
