"""Crops and flips: what they cut out, how often, and that a seed decides it."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.data import input_pipeline as augmentation

SEEDS = [(7, i) for i in range(400)]


@pytest.fixture
def numbered() -> np.ndarray:
    """A picture of 9x12 pixels, each with its own value."""
    return np.arange(9 * 12 * 3, dtype=np.int32).reshape(9, 12, 3)


def for_seeds(function, seeds=SEEDS) -> np.ndarray:
    """What a function of a seed gives for each seed."""
    return tf.map_fn(function, tf.constant(seeds), fn_output_signature=tf.int32).numpy()


def corner(crop: np.ndarray, width: int = 12) -> tuple[int, int]:
    """Where a crop of `numbered` was cut, told by its first value."""
    return divmod(int(crop[0, 0, 0]) // 3, width)


def test_crop_is_a_window_of_the_picture(numbered):
    for crop in for_seeds(lambda s: augmentation.random_crop(numbered, 6, s)):
        top, left = corner(crop)
        window = numbered[top : top + 6, left : left + 6]
        np.testing.assert_array_equal(crop, window)


def test_crop_reaches_every_offset_about_equally(numbered):
    crops = for_seeds(lambda s: augmentation.random_crop(numbered, 6, s))
    places, counts = np.unique([corner(c) for c in crops], axis=0, return_counts=True)
    every = [(top, left) for top in range(4) for left in range(7)]
    np.testing.assert_array_equal(places, every)
    # 400 draws over 28 places: 14.3 each, 3.7 standard deviation.
    assert counts.min() >= 3 and counts.max() <= 29


def test_crop_of_the_whole_picture_changes_nothing(numbered):
    square = numbered[:, :9]
    np.testing.assert_array_equal(
        augmentation.random_crop(square, 9, tf.constant((1, 2))), square
    )


def test_flip_mirrors_left_and_right_half_of_the_time(numbered):
    flipped = 0
    for image in for_seeds(lambda s: augmentation.random_flip(numbered, s)):
        is_flipped = image[0, 0, 0] != numbered[0, 0, 0]
        expected = numbered[:, ::-1] if is_flipped else numbered
        np.testing.assert_array_equal(image, expected)
        flipped += is_flipped
    # 400 draws at 0.5: 200, standard deviation 10.
    assert 160 <= flipped <= 240


def test_augment_is_a_crop_or_its_mirror_image(numbered):
    crops = for_seeds(lambda s: augmentation.augment(numbered, 6, True, s))
    mirrored = np.array([c[0, 0, 0] > c[0, -1, 0] for c in crops])
    for crop, mirror in zip(crops, mirrored, strict=True):
        straight = crop[:, ::-1] if mirror else crop
        top, left = corner(straight)
        window = numbered[top : top + 6, left : left + 6]
        np.testing.assert_array_equal(straight, window)
    assert 160 <= mirrored.sum() <= 240


def test_flip_does_not_depend_on_the_place_of_the_crop(numbered):
    crops = for_seeds(lambda s: augmentation.augment(numbered, 6, True, s))
    mirrored = np.array([c[0, 0, 0] > c[0, -1, 0] for c in crops])
    straight = np.where(mirrored[:, None, None, None], crops[:, :, ::-1], crops)
    left = np.array([corner(c)[1] for c in straight])
    for half in (left <= 2, left >= 4):
        assert 0.35 < mirrored[half].mean() < 0.65


def test_augment_without_flip_never_mirrors(numbered):
    crops = for_seeds(lambda s: augmentation.augment(numbered, 6, False, s))
    assert np.all(crops[:, 0, 0, 0] < crops[:, 0, -1, 0])
    assert len({corner(c) for c in crops}) == 28


def test_flip_switch_leaves_the_crop_alone(numbered):
    flipping, plain = (
        for_seeds(lambda s, f=f: augmentation.augment(numbered, 6, f, s))
        for f in (True, False)
    )
    for one, other in zip(flipping, plain, strict=True):
        if one[0, 0, 0] > one[0, -1, 0]:
            one = one[:, ::-1]
        np.testing.assert_array_equal(one, other)


def test_same_seed_gives_the_same_picture(numbered):
    seeds = SEEDS[:20]
    first, second = (
        for_seeds(lambda s: augmentation.augment(numbered, 6, True, s), seeds)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_eager_and_graph_give_the_same_picture(numbered):
    image = tf.constant(numbered)
    graph = tf.function(lambda s: augmentation.augment(image, 6, True, s))
    for seed in SEEDS[:10]:
        eager = augmentation.augment(image, 6, True, tf.constant(seed))
        np.testing.assert_array_equal(eager, graph(tf.constant(seed)))


@pytest.mark.parametrize("place", [0, 1])
def test_each_part_of_the_seed_matters(numbered, place):
    seeds = np.full((20, 2), 5)
    seeds[:, place] = np.arange(20)
    crops = for_seeds(lambda s: augmentation.augment(numbered, 6, True, s), seeds)
    # 56 results are possible: 20 draws give 16.9 different ones on average.
    assert len(np.unique(crops.reshape(20, -1), axis=0)) > 10
