"""Crops and flips: what they cut out, how often, and that a seed decides it."""

import numpy as np
import tensorflow as tf

from cyclegan_tf.data.input_pipeline import augment, random_crop, random_flip

SEEDS = [(7, i) for i in range(400)]

# A picture of 9x12 pixels, each with its own value.
NUMBERED = np.arange(9 * 12 * 3, dtype=np.int32).reshape(9, 12, 3)


def for_seeds(function, seeds=SEEDS) -> np.ndarray:
    """What a function of a seed gives for each seed."""
    graph = tf.function(
        lambda all_: tf.map_fn(function, all_, fn_output_signature=tf.int32)
    )
    return graph(tf.constant(seeds)).numpy()


def corner(crop: np.ndarray) -> tuple[int, int]:
    """Where a crop of `NUMBERED` was cut, told by its first value."""
    return divmod(int(crop[0, 0, 0]) // 3, 12)


def assert_windows(crops: np.ndarray) -> None:
    for crop in crops:
        top, left = corner(crop)
        np.testing.assert_array_equal(crop, NUMBERED[top : top + 6, left : left + 6])


def test_crop_is_a_window_and_reaches_every_offset_about_equally():
    crops = for_seeds(lambda s: random_crop(NUMBERED, 6, s))
    assert_windows(crops)
    places, counts = np.unique([corner(c) for c in crops], axis=0, return_counts=True)
    every = [(top, left) for top in range(4) for left in range(7)]
    np.testing.assert_array_equal(places, every)
    # 400 draws over 28 places: 14.3 each, 3.7 standard deviation.
    assert counts.min() >= 3 and counts.max() <= 29
    square = NUMBERED[:, :9]
    whole = random_crop(square, 9, tf.constant((1, 2)))
    np.testing.assert_array_equal(whole, square)


def test_flip_mirrors_left_and_right_half_of_the_time():
    flipped = 0
    for image in for_seeds(lambda s: random_flip(NUMBERED, s)):
        is_flipped = image[0, 0, 0] != NUMBERED[0, 0, 0]
        expected = NUMBERED[:, ::-1] if is_flipped else NUMBERED
        np.testing.assert_array_equal(image, expected)
        flipped += is_flipped
    # 400 draws at 0.5: 200, standard deviation 10.
    assert 160 <= flipped <= 240


def test_augment_is_a_crop_or_its_mirror_image_whatever_the_place():
    flipping, plain = (
        for_seeds(lambda s, f=f: augment(NUMBERED, 6, f, s)) for f in (True, False)
    )
    mirrored = flipping[:, 0, 0, 0] > flipping[:, 0, -1, 0]
    straight = np.where(mirrored[:, None, None, None], flipping[:, :, ::-1], flipping)
    assert_windows(straight)
    assert 160 <= mirrored.sum() <= 240
    left = np.array([corner(c)[1] for c in straight])
    for half in (left <= 2, left >= 4):
        assert 0.35 < mirrored[half].mean() < 0.65
    # Without flips it is the same crop, and every place occurs.
    np.testing.assert_array_equal(plain, straight)
    assert len({corner(c) for c in plain}) == 28


def test_eager_and_graph_give_the_same_picture_of_a_seed():
    graph = for_seeds(lambda s: augment(NUMBERED, 6, True, s), SEEDS[:10])
    for seed, picture in zip(SEEDS, graph, strict=False):
        eager = augment(tf.constant(NUMBERED), 6, True, tf.constant(seed))
        np.testing.assert_array_equal(eager, picture)


def test_each_part_of_the_seed_matters():
    for place in (0, 1):
        seeds = np.full((20, 2), 5)
        seeds[:, place] = np.arange(20)
        crops = for_seeds(lambda s: augment(NUMBERED, 6, True, s), seeds)
        # 56 results are possible: 20 draws give 16.9 different ones on average.
        assert len(np.unique(crops.reshape(20, -1), axis=0)) > 10
