"""Pairs: what folders are read as, the order and the crops of training, mistakes."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers.dataset_folders import picture, read_all, truncated_jpeg
from PIL import Image

from cyclegan_tf.data import images, reader, shapes
from cyclegan_tf.family.shared import pairs as paired
from cyclegan_tf.family.shared.options import Pix2Pix
from cyclegan_tf.messages import UserError

SMALL = {"image_size": 8, "load_size": 12, "num_downs": 3, "discriminator_layers": 1}


@pytest.fixture
def options(tmp_path):
    """Makes options of the folder of the test, with some fields replaced."""

    def make(**fields) -> Pix2Pix:
        return Pix2Pix(**{"dataset": str(tmp_path), **SMALL, **fields})

    return make


def write(root, part: str, number: int, ending: str = ".png") -> None:
    """Pairs of `picture(i)` and `picture(100 + i)`: beside one another; or, if the
    part's name ends in AB, in two folders, of which B may have another ending."""
    if part.endswith("AB"):
        for side, first, kind in (("A", 0, ".png"), ("B", 100, ending)):
            folder = root / part.replace("AB", side)
            folder.mkdir(parents=True)
            for i in range(number):
                picture(first + i).save(folder / f"{i}{kind}")
        return
    (root / part).mkdir(parents=True)
    for i in range(number):
        sides = [np.asarray(picture(i + side)) for side in (0, 100)]
        joined = Image.fromarray(np.concatenate(sides, axis=1))
        joined.save(root / part / f"{i}.png")


def expected(number: int, size: int, first: int = 0) -> list[np.ndarray]:
    sides = [
        [images.resize(np.asarray(picture(side + i)), size) for i in range(number)]
        for side in (first, first + 100)
    ]
    return [np.concatenate(pair, axis=-1) for pair in zip(*sides, strict=True)]


@pytest.mark.parametrize("layout", ["", "AB"])
def test_both_layouts_are_read_alike(layout, tmp_path, options, monkeypatch):
    write(tmp_path, f"train{layout}", 4)
    # Training pairs stand in for test pairs.
    data = paired.load(options())
    np.testing.assert_array_equal(read_all(data.test), expected(4, 8))
    assert not data.has_test
    write(tmp_path, f"val{layout}", 1)
    data = paired.load(options())
    assert len(data.test) == 1 and data.has_test
    write(tmp_path, f"test{layout}", 2)
    for fits in (True, False):
        monkeypatch.setattr(reader, "fits", lambda number, fits=fits: fits)
        data = paired.load(options())
        np.testing.assert_array_equal(read_all(data.train), expected(4, 12))
        np.testing.assert_array_equal(read_all(data.test), expected(2, 8))
    turned = paired.load(options(direction="b_to_a"))
    swapped = np.roll(expected(4, 12), 3, axis=-1)
    np.testing.assert_array_equal(read_all(turned.train), swapped)


def test_names_are_compared_without_their_ending(tmp_path, options):
    write(tmp_path, "trainAB", 3, ending=".bmp")
    for side, number, ending in (("A", 7, "png"), ("B", 107, "BMP")):
        (tmp_path / f"train{side}/sub").mkdir()
        picture(number).save(tmp_path / f"train{side}/sub/x.y.{ending}")
    (tmp_path / "trainB/notes.txt").touch()
    found = read_all(paired.load(options()).train)
    np.testing.assert_array_equal(found, expected(3, 12) + expected(1, 12, first=7))


@pytest.mark.usefixtures("few_shapes")
def test_shapes_are_the_animals_of_the_unpaired_data():
    data = paired.load(Pix2Pix(**{**SMALL, "dataset": "shapes"}))
    assert (len(data.train), len(data.test)) == (12, 3)
    for domain, part, size in ((data.train, 0, 12), (data.test, 2, 8)):
        drawn = np.concatenate(shapes.draw_pair((part, 1), size), axis=-1)
        np.testing.assert_array_equal(domain.read(1), drawn)


def test_stripes_anywhere_are_on_the_same_animals():
    moved_far = 0
    for i in range(20):
        plain, striped = shapes.draw_pair((2, i), 32)
        same, moved = shapes.draw_pair((2, i), 32, "shapes_anywhere")
        np.testing.assert_array_equal(plain, same)
        body = (plain != striped).any(axis=-1)
        np.testing.assert_array_equal(striped[~body], moved[~body])
        assert 0.1 < (moved[body] < 60).all(axis=-1).mean() < 0.5
        moved_far += np.abs(striped[body].astype(int) - moved[body]).mean() > 40
    assert moved_far > 10


# --- Order, crops and flips


def numbered(index: int) -> np.ndarray:
    """A pair whose every pixel tells number, place and side."""
    rows, columns = np.mgrid[:12, :12]
    a = np.stack([np.full((12, 12), index), rows, columns], axis=-1)
    return np.concatenate([a, a + 100], axis=-1).astype(np.uint8)


NUMBERED = paired.Domain([str(i) for i in range(6)], numbered)


def taken(options, start: int, stop: int, strategy=None) -> list:
    strategy = strategy or tf.distribute.get_strategy()
    local = strategy.experimental_local_results
    return [
        [
            np.concatenate([images.to_uint8(part) for part in local(side)])
            for side in batch
        ]
        for batch in paired.batches(NUMBERED, options, strategy, start, stop)
    ]


def test_both_pictures_of_a_pair_get_the_same_crop_and_flip(options):
    options = options(batch_size=2, seed=3)
    places, flips, order = set(), set(), []
    for step, (a, b) in enumerate(taken(options, 0, 30)):
        assert a.shape == b.shape == (2, 8, 8, 3)
        np.testing.assert_array_equal(b.astype(int), a.astype(int) + 100)
        names = [NUMBERED.names[number] for number in a[:, 0, 0, 0]]
        assert paired.names_of_step(NUMBERED, options, step) == names
        order += [*a[:, 0, 0, 0]]
        for crop in a.astype(int):
            places.add((crop[..., 1].min(), crop[..., 2].min()))
            flips.add(int(np.sign(crop[0, 1, 2] - crop[0, 0, 2])))
    assert flips == {-1, 1} and len(places) > 15
    epochs = np.reshape(order, (10, 6))
    assert (np.sort(epochs) == range(6)).all()
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_batches_are_functions_of_seed_and_step(options):
    whole = taken(options(batch_size=2), 0, 7)
    rest = taken(options(batch_size=2), 3, 7)
    np.testing.assert_array_equal(rest, whole[3:])
    two = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    shared = taken(options(batch_size=2), 0, 7, two)
    np.testing.assert_array_equal(shared, whole)
    other = taken(options(batch_size=2, seed=1), 0, 7)
    assert not np.array_equal(other, whole)


# --- Mistakes: pairs by part, what a path is replaced by, what is told

MISTAKES = (
    ({}, {}, "^ROOT has no training pictures: neither train/ .* trainA/ and trainB/"),
    ({"train": 0}, {"train/a.heic": b""}, r"/train has no picture .* 1 \.heic\.$"),
    (
        {"trainAB": 1},
        {"trainB": None},
        r"^ROOT/trainA/0.png has no .* in ROOT/trainB\.$",
    ),
    (
        {"trainAB": 1},
        {"trainA/0.png": None},
        r"^ROOT/trainB/0.png has no .* in ROOT/trainA\.$",
    ),
    ({"trainAB": 0}, {}, r"^ROOT/trainA has no picture \(JPEG"),
    (
        {"trainAB": 1, "testAB": 1},
        {"testB": None},
        r"^ROOT/testA/0.png has no .* in ROOT/testB\.$",
    ),
    ({"train": 1, "trainAB": 1}, {}, "^ROOT has both train/ .* and trainA/"),
    (
        {"trainAB": 3},
        {"trainB/1.png": None, "trainB/2.png": None},
        r"^ROOT/trainA/1.png has no picture of its name in ROOT/trainB, nor have 1 mor",
    ),
    (
        {"trainAB": 2},
        {"trainB/extra.png": picture(9)},
        r"^ROOT/trainB/extra.png has no picture of its name in ROOT/trainA\.$",
    ),
    (
        {"trainAB": 2},
        {"trainA/0.bmp": picture(9)},
        r"^ROOT/trainA/0\.bmp and ROOT/trainA/0\.png have the same name\.$",
    ),
    (
        {"train": 2},
        {"train/odd.png": picture(1, width=87)},
        r"^ROOT/train/odd\.png has 87x40 pixels; A beside B needs an even width\.$",
    ),
    (
        {"trainAB": 2, "testAB": 1},
        {"testB/0.png": picture(1, height=38)},
        r"^ROOT/testA/0\.png has 44x40 pixels and ROOT/testB/0\.png has 44x38",
    ),
    (
        {"train": 2},
        {"train/bad.jpg": truncated_jpeg()},
        r"^ROOT/train/bad\.jpg can't be read: .*\b[Tt]runcated\b.*\.$",
    ),
)


def test_mistake_is_told_in_one_line(tmp_path, options):
    for i, (parts, spoilt, told) in enumerate(MISTAKES):
        root = tmp_path / str(i)
        root.mkdir()
        for part, number in parts.items():
            write(root, part, number)
        for name, content in spoilt.items():
            if content is None and (root / name).is_dir():
                shutil.rmtree(root / name)
            elif content is None:
                (root / name).unlink()
            elif isinstance(content, bytes):
                (root / name).write_bytes(content)
            else:
                content.save(root / name)
        told = told.replace("ROOT", str(root))
        with pytest.raises(UserError, match=told) as caught:
            paired.load(options(dataset=str(root)))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="nowhere': no such folder, and none of shapes"):
        paired.load(options(dataset=str(tmp_path / "nowhere")))


def test_lost_depth_and_a_folder_a_level_off_are_named(tmp_path, options, capsys):
    write(tmp_path / "deep", "train", 2)
    grey = np.full((40, 80), 2000, np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep/train/deep.png")
    with pytest.raises(UserError, match=f"neither train/.* {tmp_path}/deep: "):
        paired.load(options(dataset=str(tmp_path)))
    paired.load(options(dataset=str(tmp_path / "deep")))
    told = capsys.readouterr().err
    assert told.count(f"1 pictures in {tmp_path}/deep have") == 1
    assert "2000 to 2000" in told
