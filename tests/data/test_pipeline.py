"""Order, augmentation and distribution of training batches, by (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.data.pipeline import (
    augment,
    names_of_step,
    picture_index,
    steps_per_epoch,
    training_batches,
)
from cyclegan_tf.training.presets import PRESETS

pytestmark = pytest.mark.stack

NUM_X, NUM_Y = 5, 8


def numbered(number: int, size: int = 10) -> np.ndarray:
    """A picture with its number, and each pixel's row and column."""
    y, x = np.mgrid[:size, :size]
    return np.stack([np.full_like(x, number), y, x], axis=-1).astype(np.uint8)


def domain(numbers: range) -> Domain:
    pictures = [numbered(number) for number in numbers]
    return Domain([str(number) for number in numbers], pictures.__getitem__)


def unpaired(x: Domain, y: Domain) -> UnpairedData:
    return UnpairedData(x, y, x, y)


X, Y = domain(range(NUM_X)), domain(range(100, 100 + NUM_Y))
DATA = unpaired(X, Y)


def config_of(**fields) -> Config:
    sizes = {"image_size": 8, "load_size": 0, "discriminator_layers": 1}
    return Config(**{**PRESETS["tiny"].values, **sizes, **fields})


def tensors(num_steps, start=0, pictures=DATA, strategy=None, **fields):
    strategy = strategy or tf.distribute.get_strategy()
    return training_batches(pictures, config_of(**fields), strategy, start, num_steps)


def batches(num_steps, start=0, pictures=DATA, **fields) -> np.ndarray:
    """Batches as uint8 [steps, 2, batch_size, 8, 8, 3]."""
    made = tensors(num_steps, start, pictures, **fields)
    return np.array([images.to_uint8(tf.stack(pair)) for pair in made])


def numbers(batches: np.ndarray) -> np.ndarray:
    """Which picture each is: [steps, 2, batch_size]."""
    return batches[..., 0, 0, 0]


# --- Order


def test_steps_per_epoch_rounds_up_the_longer_domain():
    for num_x, num_y, batch_size, expected in (
        (1067, 1334, 1, 1334),
        (1334, 1067, 1, 1334),
        (1067, 1334, 4, 334),
        (1067, 1334, 1334, 1),
        (8, 5, 2, 4),
        (9, 5, 2, 5),
        (1, 1, 7, 1),
    ):
        assert steps_per_epoch(num_x, num_y, batch_size) == expected


def every_index(seed, domain, num_pictures, epoch_size, epochs) -> list[int]:
    """What `picture_index` is said to give, written as loops."""
    order = []
    for epoch in range(epochs):
        shown, lap = [], 0
        while len(shown) < epoch_size:
            random = np.random.default_rng((seed, domain, epoch, lap))
            shown.extend(random.permutation(num_pictures).tolist())
            lap += 1
        order.extend(shown[:epoch_size])
    return order


@pytest.mark.parametrize("seed", [0, 7])
def test_picture_index_equals_plain_loops(seed):
    for domain_ in (0, 1):
        for num, size in ((8, 8), (5, 8), (3, 8), (8, 9)):
            found = [
                picture_index(seed, domain_, p, num, size) for p in range(4 * size)
            ]
            assert found == every_index(seed, domain_, num, size, 4)


def test_each_epoch_shows_every_picture_in_another_order_in_each_domain():
    seen = numbers(batches(4 * NUM_Y))[..., 0].reshape(4, NUM_Y, 2)
    assert (np.sort(seen[..., 1]) == range(100, 100 + NUM_Y)).all()
    assert len(np.unique(seen[..., 1], axis=0)) == 4
    # Each lap of the shorter domain is a permutation, and one that is cut off has no
    # picture twice.
    assert (np.sort(seen[:, :NUM_X, 0]) == range(NUM_X)).all()
    assert (np.diff(np.sort(seen[:, NUM_X:, 0])) > 0).all()
    orders = [[picture_index(0, d, p, 50, 50) for p in range(50)] for d in (0, 1)]
    assert sum(a == b for a, b in zip(*orders, strict=True)) < 10


@pytest.mark.parametrize("num_x, batch_size", [(5, 2), (3, 3), (11, 1)])
def test_batches_show_the_pictures_that_picture_index_and_names_tell(num_x, batch_size):
    """Also of many laps in an epoch, and if batches do not divide the longer domain."""
    data, steps = unpaired(domain(range(num_x)), Y), -(-max(num_x, 8) // batch_size)
    seen = numbers(batches(3 * steps, pictures=data, batch_size=batch_size, seed=5))
    size = steps * batch_size
    orders = [every_index(5, 0, num_x, size, 3), every_index(5, 1, NUM_Y, size, 3)]
    expected = np.reshape(orders, (2, -1, batch_size)).swapaxes(0, 1)
    np.testing.assert_array_equal(seen, expected + [[[0], [100]]])
    config = config_of(batch_size=batch_size, seed=5)
    names = [names_of_step(data, config, step) for step in range(3 * steps)]
    assert names == seen.reshape(3 * steps, -1).astype(str).tolist()


# --- Runs


@pytest.mark.parametrize("batch_size", [1, 3])
def test_run_that_goes_on_sees_what_an_unbroken_one_sees(batch_size):
    whole = batches(20, batch_size=batch_size)
    assert len(whole) == 20
    for start in (1, 8, 13, 20):
        rest = batches(20, start=start, batch_size=batch_size)
        assert rest.tolist() == whole[start:].tolist(), start


def test_largest_seed_and_a_late_step_work():
    late = batches(3_000_000_002, start=3_000_000_000, seed=2**31 - 1)
    again = batches(3_000_000_002, start=3_000_000_001, seed=2**31 - 1)
    np.testing.assert_array_equal(late[1:], again)


# --- Pictures


def test_batches_are_float32_in_range():
    white = Domain(["white"], lambda i: np.full((9, 11, 3), 255, np.uint8))
    black = Domain(["black"], lambda i: np.zeros((8, 8, 3), np.uint8))
    steps = list(tensors(2, pictures=unpaired(white, black), batch_size=3))
    assert len(steps) == 2
    for real_x, real_y in steps:
        assert real_x.dtype == real_y.dtype == tf.float32
        np.testing.assert_array_equal(real_x, np.ones((3, 8, 8, 3)))
        np.testing.assert_array_equal(real_y, -np.ones((3, 8, 8, 3)))


def test_batches_know_their_size_and_no_thread_is_waited_for_at_the_end():
    """That of tf.data's autotune slept for as long as a training had taken."""
    made = tensors(4, batch_size=2)
    for part in made.element_spec:
        assert part.dtype == tf.float32
        assert part.shape == (2, 8, 8, 3)
    assert made.options().autotune.enabled is False


def test_changes_come_from_seed_domain_and_position():
    made = batches(6, batch_size=2, seed=4)
    for step, place in ((0, 0), (2, 1), (5, 0)):
        for side in (0, 1):
            position = tf.constant(2 * step + place, tf.int64)
            seed = tf.random.fold_in((4, side), position)
            whole = numbered(numbers(made)[step, side, place])
            expected = augment(tf.constant(whole), 8, True, seed)
            np.testing.assert_array_equal(made[step, side, place], expected)


def test_flip_can_be_turned_off():
    plain, flipping = (batches(40, flip=flip) for flip in (False, True))
    mirrored = flipping[..., 0, 0, 2] > flipping[..., 0, -1, 2]
    assert 20 <= mirrored.sum() <= 60
    flipping[mirrored] = flipping[mirrored][:, :, ::-1]
    np.testing.assert_array_equal(plain, flipping)
    assert (np.diff(plain[..., 2].astype(int), axis=-1) == 1).all()


def test_pictures_of_different_sizes_share_a_batch():
    sizes = [(8, 30), (20, 9), (8, 8)]
    x = Domain("abc", lambda i: np.full((*sizes[i], 3), i, np.uint8))
    made = batches(2, pictures=unpaired(x, x), batch_size=3)
    assert made.shape == (2, 2, 3, 8, 8, 3)
    np.testing.assert_array_equal(np.sort(numbers(made)), np.full((2, 2, 3), (0, 1, 2)))


# --- Replicas


@pytest.mark.parametrize("batch_size, start", [(2, 0), (4, 3)])
def test_replicas_share_the_batch_of_one_device(batch_size, start):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    whole = batches(8, start=start, batch_size=batch_size)
    part = batch_size // 2
    steps = list(tensors(8, start, strategy=strategy, batch_size=batch_size))
    assert len(steps) == 8 - start
    for step, pair in enumerate(steps):
        for side, distributed in enumerate(pair):
            replicas = strategy.experimental_local_results(distributed)
            assert len(replicas) == 2
            for r, real in enumerate(replicas):
                expected = whole[step, side, r * part : (r + 1) * part]
                np.testing.assert_array_equal(images.to_uint8(real), expected)


def test_batches_wait_on_the_device_that_trains(monkeypatch):
    """A second CPU device stands in for a GPU."""
    second = tf.config.LogicalDevice("/CPU:1", "GPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [second])
    for batch in tensors(3):
        assert {pictures.device[-5:] for pictures in batch} == {"CPU:1"}


# --- Crops and flips

SEEDS = [(7, i) for i in range(400)]

# 9x12 pixels, each with its own value.
WHOLE = np.arange(9 * 12 * 3, dtype=np.int32).reshape(9, 12, 3)


def for_seeds(function, seeds=SEEDS) -> np.ndarray:
    """What a function of a seed gives for each seed."""
    graph = tf.function(
        lambda all_: tf.map_fn(function, all_, fn_output_signature=tf.int32)
    )
    return graph(tf.constant(seeds)).numpy()


def corner(crop: np.ndarray) -> tuple[int, int]:
    """The place of a crop of `WHOLE`, from its first value."""
    return divmod(int(crop[0, 0, 0]) // 3, 12)


def assert_windows(crops: np.ndarray) -> None:
    for crop in crops:
        top, left = corner(crop)
        np.testing.assert_array_equal(crop, WHOLE[top : top + 6, left : left + 6])


def test_crop_is_a_window_and_reaches_every_offset_about_equally():
    crops = for_seeds(lambda s: augment(WHOLE, 6, False, s))
    assert_windows(crops)
    places, counts = np.unique([corner(c) for c in crops], axis=0, return_counts=True)
    every = [(top, left) for top in range(4) for left in range(7)]
    np.testing.assert_array_equal(places, every)
    # 400 draws over 28 places: 14.3 each, 3.7 standard deviation.
    assert counts.min() >= 3 and counts.max() <= 29
    square = tf.constant(WHOLE[:, :9])
    whole = augment(square, 9, False, tf.constant((1, 2)))
    np.testing.assert_array_equal(whole, square)


def test_augment_is_a_crop_or_its_mirror_image_whatever_the_place():
    flipping, plain = (
        for_seeds(lambda s, f=f: augment(WHOLE, 6, f, s)) for f in (True, False)
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


def test_a_seed_decides_the_picture_eager_or_in_a_graph():
    graph = for_seeds(lambda s: augment(WHOLE, 6, True, s), SEEDS[:10])
    for seed, picture in zip(SEEDS, graph, strict=False):
        eager = augment(tf.constant(WHOLE), 6, True, tf.constant(seed))
        np.testing.assert_array_equal(eager, picture)
    # Each part of the seed matters.
    for place in (0, 1):
        seeds = np.full((20, 2), 5)
        seeds[:, place] = np.arange(20)
        crops = for_seeds(lambda s: augment(WHOLE, 6, True, s), seeds)
        # 56 results are possible: 20 draws give 16.9 different ones on average.
        assert len(np.unique(crops.reshape(20, -1), axis=0)) > 10
