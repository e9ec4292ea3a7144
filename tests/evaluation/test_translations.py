"""Pictures to evaluate: folders, pairs, and translations."""

import dataclasses

import numpy as np
import pytest
from helpers.config_values import refused
from helpers.quality_samples import array, drawn
from PIL import Image

from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.evaluation import translations


def write(folder, **sizes):
    """Writes pictures by name, of (width, height)."""
    for i, (name, size) in enumerate(sizes.items(), start=1):
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (i, i, i)).save(path.with_suffix(".png"))
    return str(folder)


def test_pictures_are_named_by_their_path_without_ending(tmp_path):
    root = write(tmp_path / "a", b=(8, 8), sub__c=(9, 7))
    found = translations.read_folder(root, "fake")
    assert [*found.names] == ["b", "sub/c"]
    assert found.read(1).shape == (7, 9, 3)


def test_folders_that_cannot_be_used_are_told(tmp_path):
    with refused(f"`real`: no such folder: {tmp_path / 'no'}."):
        translations.read_folder(str(tmp_path / "no"), "real")
    (tmp_path / "empty").mkdir()
    with refused(f"{tmp_path / 'empty'} has no picture"):
        translations.read_folder(str(tmp_path / "empty"), "real")
    root = write(tmp_path / "twice", b=(8, 8))
    Image.new("RGB", (8, 8)).save(tmp_path / "twice/b.jpg")
    with refused(f"{root} has two pictures called b."):
        translations.read_folder(root, "real")
    (tmp_path / "twice/b.jpg").write_bytes(b"no picture")
    (tmp_path / "twice/b.png").unlink()
    with refused("b.jpg can't be read: "):
        translations.read_folder(root, "real").read(0)


def test_counterparts_are_found_by_name_whatever_the_order(tmp_path):
    def folder(name, what, **sizes):
        return translations.read_folder(write(tmp_path / name, **sizes), what)

    ours = folder("x", "fake", b=(8, 6), a=(8, 6))
    theirs = folder("y", "input", c=(8, 6), b=(8, 6), a=(8, 6))
    found = translations.match(ours, theirs, "input")
    assert [*found.names] == ["a", "b"]
    assert [found.read(i)[0, 0, 0] for i in range(2)] == [3, 2]
    with refused("1 of 2 pictures have no input of the same name, such as b."):
        translations.match(ours, folder("z", "input", a=(8, 6), c=(8, 6)), "input")
    with refused("b has 8x6 pixels, its input 9x6: pairs must have the same size."):
        translations.match(ours, folder("w", "input", a=(8, 6), b=(9, 6)), "input")


def test_common_size_is_that_of_the_first_within_limits(tmp_path):
    for i, (size, side) in enumerate(
        (((64, 64), 64), ((67, 90), 64), ((900, 700), 256), ((9, 9), 16))
    ):
        domain = translations.read_folder(write(tmp_path / str(i), a=size), "fake")
        assert translations.default_side(domain) == side


def test_test_pictures_of_the_same_name_are_each_others_truth():
    x, y = (drawn(2, which, 4) for which in (0, 1))
    x = dataclasses.replace(x, names=[f"{i}.jpg" for i in range(4)])
    order = [2, 0, 3, 1]
    y = dataclasses.replace(
        y, names=[f"{i}.png" for i in order], read=lambda i: drawn(2, 1).read(order[i])
    )
    paired = translations.pair_test_pictures(UnpairedData(x, y, x, y))
    np.testing.assert_array_equal(array(paired.true_y), array(drawn(2, 1, 4)))
    np.testing.assert_array_equal(array(paired.true_x), array(drawn(2, 0))[order])
    other = dataclasses.replace(y, names=list("abcd"))
    with refused("4 of 4 pictures have no test picture in domain Y of the same name"):
        translations.pair_test_pictures(UnpairedData(x, other, x, other))


@pytest.mark.stack
def test_pictures_of_any_size_are_translated_to_uint8(tiny):
    model = CycleGAN(tiny(), 10)
    images = np.random.default_rng(0).integers(0, 256, (9, 17, 10, 3), np.uint8)
    translator = translations.make_translators(model)["A2B"]
    made = translations.translate_pictures("A2B", images, translator)
    assert made.outputs.shape == images.shape
    assert made.outputs.dtype == np.uint8
    np.testing.assert_array_equal(made.outputs[8:], translator(images[8:]))
