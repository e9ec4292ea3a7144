"""Pairs: what folders are read as, the order and the crops of training, mistakes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.dataset_folders import picture, read_all, truncated_jpeg
from PIL import Image

from cyclegan_tf.data import images, memory, paired, shapes
from cyclegan_tf.options import Pix2Pix
from cyclegan_tf.validation import UserError

SMALL = {"image_size": 8, "load_size": 12, "num_downs": 3, "discriminator_layers": 1}
PLACES = {"train": 4, "test": 2}


@pytest.fixture
def options(tmp_path):
    """Makes options of the folder of the test, with some fields replaced."""

    def make(**fields) -> Pix2Pix:
        return Pix2Pix(**{"dataset": str(tmp_path), **SMALL, **fields})

    return make


def write_aligned(root, part: str, number: int) -> None:
    """Pictures whose halves are `picture(i)` and `picture(100 + i)`."""
    (root / part).mkdir()
    for i in range(number):
        sides = [np.asarray(picture(i + side)) for side in (0, 100)]
        joined = Image.fromarray(np.concatenate(sides, axis=1))
        joined.save(root / part / f"{i}.png")


def write_apart(root, part: str, number: int, ending: str = ".png") -> None:
    """The same pairs as two folders; B may have another ending."""
    for side, first, kind in (("A", 0, ".png"), ("B", 100, ending)):
        (root / f"{part}{side}").mkdir()
        for i in range(number):
            picture(first + i).save(root / f"{part}{side}" / f"{i}{kind}")


def expected(number: int, size: int) -> list[np.ndarray]:
    sides = [
        [images.resize(np.asarray(picture(first + i)), size) for i in range(number)]
        for first in (0, 100)
    ]
    return [np.concatenate(pair, axis=-1) for pair in zip(*sides, strict=True)]


# --- What is read


@pytest.mark.parametrize("write", [write_aligned, write_apart])
def test_both_layouts_are_read_alike(write, tmp_path, options, capsys):
    for part, number in PLACES.items():
        write(tmp_path, part, number)
    data = paired.load(options())
    np.testing.assert_array_equal(read_all(data.train), expected(4, 12))
    np.testing.assert_array_equal(read_all(data.test), expected(2, 8))
    assert data.has_test
    turned = paired.load(options(direction="b_to_a"))
    for ours, theirs in zip(read_all(turned.train), expected(4, 12), strict=True):
        np.testing.assert_array_equal(ours[..., :3], theirs[..., 3:])
        np.testing.assert_array_equal(ours[..., 3:], theirs[..., :3])


@pytest.mark.parametrize("write", [write_aligned, write_apart])
def test_training_pairs_stand_in_for_missing_test_pairs(write, tmp_path, options):
    write(tmp_path, "train", 3)
    data = paired.load(options())
    np.testing.assert_array_equal(read_all(data.test), expected(3, 8))
    assert not data.has_test
    write(tmp_path, "val", 1)
    data = paired.load(options())
    assert len(data.test) == 1 and data.has_test


def test_names_are_compared_without_their_ending(tmp_path, options):
    write_apart(tmp_path, "train", 3, ending=".bmp")
    (tmp_path / "trainA/sub").mkdir()
    (tmp_path / "trainB/sub").mkdir()
    picture(7).save(tmp_path / "trainA/sub/x.y.png")
    picture(8).save(tmp_path / "trainB/sub/x.y.BMP")
    (tmp_path / "trainB/notes.txt").touch()
    data = paired.load(options())
    np.testing.assert_array_equal(read_all(data.train)[:3], expected(3, 12))
    last = np.split(data.train.read(3), 2, axis=-1)
    for side, number in zip(last, (7, 8), strict=True):
        resized = images.resize(np.asarray(picture(number)), 12)
        np.testing.assert_array_equal(side, resized)


def test_pairs_that_do_not_fit_in_memory_are_read_again(tmp_path, options, monkeypatch):
    write_aligned(tmp_path, "train", 2)
    monkeypatch.setattr(memory, "fits", lambda number: False)
    data = paired.load(options())
    np.testing.assert_array_equal(read_all(data.train), expected(2, 12))


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


@pytest.fixture
def numbered(options):
    """Pairs whose every pixel tells number, place and side."""

    def read(index: int) -> np.ndarray:
        rows, columns = np.mgrid[:12, :12]
        a = np.stack([np.full((12, 12), index), rows, columns], axis=-1)
        return np.concatenate([a, a + 100], axis=-1).astype(np.uint8)

    return paired.Domain([str(i) for i in range(6)], read)


def taken(train, options, start: int, stop: int, strategy=None) -> list:
    strategy = strategy or tf.distribute.get_strategy()
    steps = paired.batches(train, options, strategy, start, stop)
    local = strategy.experimental_local_results
    return [
        tuple(
            np.concatenate([images.to_uint8(part) for part in local(side)])
            for side in batch
        )
        for batch in steps
    ]


def test_both_pictures_of_a_pair_get_the_same_crop_and_flip(numbered, options):
    places, flips, order = set(), set(), []
    for a, b in taken(numbered, options(batch_size=2, seed=3), 0, 30):
        assert a.shape == b.shape == (2, 8, 8, 3)
        np.testing.assert_array_equal(b.astype(int), a.astype(int) + 100)
        order += [*a[:, 0, 0, 0]]
        for crop in a.astype(int):
            places.add((crop[..., 1].min(), crop[..., 2].min()))
            flips.add(int(np.sign(crop[0, 1, 2] - crop[0, 0, 2])))
    assert flips == {-1, 1} and len(places) > 15
    epochs = np.reshape(order, (10, 6))
    assert (np.sort(epochs) == range(6)).all()
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_names_of_a_step_are_those_of_its_batch(numbered, options):
    options = options(batch_size=2, seed=3)
    for step, (a, _) in enumerate(taken(numbered, options, 0, 7)):
        names = [numbered.names[number] for number in a[:, 0, 0, 0]]
        assert paired.names_of_step(numbered, options, step) == names


def test_batches_are_functions_of_seed_and_step(numbered, options):
    whole = taken(numbered, options(batch_size=2), 0, 7)
    rest = taken(numbered, options(batch_size=2), 3, 7)
    assert len(rest) == 4
    for ours, theirs in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    two = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    shared = taken(numbered, options(batch_size=2), 0, 7, two)
    np.testing.assert_array_equal(shared, whole)
    other = taken(numbered, options(batch_size=2, seed=1), 0, 7)
    assert not np.array_equal(other, whole)


# --- Mistakes


def case(name: str):
    """Marks a function that spoils a folder, with the line that tells it."""

    def mark(function):
        MISTAKES.append(pytest.param(function, name, id=function.__name__))
        return function

    return mark


MISTAKES = []


@case(r"^\S+ has no training pictures: neither train/ .* nor trainA/ and trainB/\.$")
def nothing_there(root):
    pass


@case(r"/train has no picture \(JPEG, .*\)\. Left out: 1 \.heic\.$")
def no_training_picture(root):
    (root / "train").mkdir()
    (root / "train/a.heic").touch()


@case(r"^\S+/trainB is missing\.$")
def no_folder_b(root):
    write_apart(root, "train", 1)
    (root / "trainB/0.png").unlink()
    (root / "trainB").rmdir()


@case(r"^\S+/trainA has no picture \(JPEG")
def empty_folder_a(root):
    write_apart(root, "train", 1)
    (root / "trainA/0.png").unlink()


@case(r"^\S+/trainA has no picture \(JPEG")
def both_folders_empty(root):
    write_apart(root, "train", 0)


@case(r"^\S+/testB is missing\.$")
def one_side_of_the_test_part(root):
    write_apart(root, "train", 1)
    write_apart(root, "test", 1)
    (root / "testB/0.png").unlink()
    (root / "testB").rmdir()


@case(r"^\S+ has both train/ .* and trainA/ \(A and B apart\); move one of them away")
def both_layouts(root):
    write_aligned(root, "train", 1)
    write_apart(root, "train", 1)


@case(r"^\S+/trainA/1.png has no picture of its name in \S+/trainB, nor have 1 more\.$")
def names_of_a_alone(root):
    write_apart(root, "train", 3)
    (root / "trainB/1.png").unlink()
    (root / "trainB/2.png").unlink()


@case(r"^\S+/trainB/extra.png has no picture of its name in \S+/trainA\.$")
def name_of_b_alone(root):
    write_apart(root, "train", 2)
    picture(9).save(root / "trainB/extra.png")


@case(r"^\S+/trainA/0\.bmp and \S+/trainA/0\.png have the same name\.$")
def two_of_a_name(root):
    write_apart(root, "train", 2)
    picture(9).save(root / "trainA/0.bmp")


@case(r"^\S+/train/odd\.png has 87x40 pixels; A beside B needs an even width\.$")
def odd_width(root):
    write_aligned(root, "train", 2)
    picture(1, width=87).save(root / "train/odd.png")


@case(r"^\S+/testA/0\.png has 44x40 pixels and \S+/testB/0\.png has 44x38; a pair nee")
def sizes_differ(root):
    write_apart(root, "train", 2)
    write_apart(root, "test", 1)
    picture(1, height=38).save(root / "testB/0.png")


@case(r"^\S+/train/bad\.jpg can't be read: .*\b[Tt]runcated\b.*\.$")
def damaged(root):
    write_aligned(root, "train", 2)
    (root / "train/bad.jpg").write_bytes(truncated_jpeg())


@pytest.mark.parametrize(("spoil", "told"), MISTAKES)
def test_mistake_is_told_in_one_line(spoil, told, tmp_path, options):
    spoil(tmp_path)
    with pytest.raises(UserError, match=told) as caught:
        paired.load(options())
    assert "\n" not in str(caught.value)


def test_unknown_folder_is_told(tmp_path, options):
    asked = dataclasses.replace(options(), dataset=str(tmp_path / "nowhere"))
    told = "'.*nowhere': no such folder, and none of shapes, shapes_anywhere, "
    with pytest.raises(UserError, match=told):
        paired.load(asked)
