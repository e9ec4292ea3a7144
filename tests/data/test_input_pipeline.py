"""Order, augmentation and distribution of training batches, by (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.data.input_pipeline import (
    augment,
    names_of_step,
    picture_index,
    steps_per_epoch,
    training_batches,
)
from cyclegan_tf.presets import PRESETS

pytestmark = pytest.mark.stack

NUM_X, NUM_Y = 5, 8


def numbered(number: int, size: int = 10) -> np.ndarray:
    """A picture that tells its number, and each pixel's row and column."""
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


@pytest.fixture(scope="module")
def run() -> np.ndarray:
    """Twenty epochs of one picture a step, seed 0."""
    return batches(20 * NUM_Y)


def numbers(batches: np.ndarray) -> np.ndarray:
    """Which picture each is: [steps, 2, batch_size]."""
    return batches[..., 0, 0, 0]


def changes(batches: np.ndarray) -> np.ndarray:
    """Top row, left column and whether it was flipped, of each: [..., 3]."""
    columns = batches[..., 0, :, 2]
    flipped = columns[..., 0] > columns[..., -1]
    return np.stack([batches[..., 0, 0, 1], columns.min(axis=-1), flipped], axis=-1)


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


def test_picture_index_does_not_depend_on_what_was_asked_before():
    forwards = [picture_index(3, 0, p, 5, 13) for p in range(130)]
    random = np.random.default_rng(0).permutation(130)
    asked = {p: picture_index(3, 0, p, 5, 13) for p in random.tolist()}
    assert [asked[p] for p in range(130)] == forwards


def test_domains_are_walked_in_different_orders():
    orders = [[picture_index(0, d, p, 50, 50) for p in range(50)] for d in (0, 1)]
    assert sum(a == b for a, b in zip(*orders, strict=True)) < 10


def test_each_epoch_shows_every_picture_of_the_longer_domain_once_anew(run):
    seen = numbers(run)[:, 1].reshape(20, NUM_Y)
    assert (np.sort(seen) == range(100, 100 + NUM_Y)).all()
    assert len(np.unique(seen, axis=0)) == 20


def test_each_lap_of_the_shorter_domain_is_a_permutation(run):
    for epoch in numbers(run)[:, 0, 0].reshape(20, NUM_Y):
        assert sorted(epoch[:NUM_X]) == list(range(NUM_X))
        rest = epoch[NUM_X:]
        assert len(set(rest)) == len(rest)


def test_many_laps_of_a_short_domain_are_permutations_that_differ():
    short = unpaired(domain(range(3)), Y)
    laps = numbers(batches(8 * 2, pictures=short))[:, 0, 0].reshape(2, 8)
    laps = [lap for epoch in laps for lap in (epoch[:3], epoch[3:6])]
    assert [sorted(lap) for lap in laps] == [[0, 1, 2]] * 4
    assert len({tuple(lap) for lap in laps}) > 1


def test_batches_that_do_not_divide_an_epoch_start_the_longer_domain_again():
    seen = numbers(batches(2 * 3, batch_size=3))[:, 1].reshape(2, 9)
    for epoch in seen:
        assert sorted(epoch[:8]) == list(range(100, 108))
        assert epoch[8] in range(100, 108)


def test_domains_may_be_of_either_length():
    seen = numbers(batches(NUM_Y, pictures=unpaired(Y, X)))[..., 0]
    assert sorted(seen[:, 0]) == list(range(100, 100 + NUM_Y))
    assert sorted(seen[:NUM_X, 1]) == list(range(NUM_X))


def test_batches_show_the_pictures_that_picture_index_and_names_tell():
    seen = numbers(batches(12, batch_size=2, seed=5))
    orders = [every_index(5, 0, NUM_X, 8, 3), every_index(5, 1, NUM_Y, 8, 3)]
    expected = np.reshape(orders, (2, 12, 2)).swapaxes(0, 1)
    np.testing.assert_array_equal(seen, expected + [[[0], [100]]])
    config = config_of(batch_size=2, seed=5)
    names = [names_of_step(DATA, config, step) for step in range(12)]
    assert names == seen.reshape(12, 4).astype(str).tolist()


# --- Runs


def test_another_seed_gives_another_order_and_other_changes(run):
    one, other = run[:16], batches(16, seed=1)
    assert np.mean(numbers(one) != numbers(other)) > 0.5
    assert np.mean(np.any(changes(one) != changes(other), axis=-1)) > 0.5


@pytest.mark.parametrize("batch_size", [1, 3])
def test_run_that_goes_on_sees_what_an_unbroken_one_sees(batch_size):
    whole = batches(20, batch_size=batch_size)
    assert len(whole) == 20
    for start in (1, 7, 8, 13, 20):
        rest = batches(20, start=start, batch_size=batch_size)
        assert rest.tolist() == whole[start:].tolist(), start


def test_largest_seed_and_a_late_step_work():
    late = batches(3_000_000_002, start=3_000_000_000, seed=2**31 - 1)
    again = batches(3_000_000_002, start=3_000_000_001, seed=2**31 - 1)
    np.testing.assert_array_equal(late[1:], again)


# --- Pictures


def test_discriminators_pictures_are_read_as_a_larger_batch():
    more = batches(6, batch_size=2, discriminator_pictures=2)
    np.testing.assert_array_equal(more, batches(6, batch_size=4))


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


def test_pictures_are_crops_that_may_be_flipped_anew_in_each_epoch(run):
    pictures = run.reshape(-1, 8, 8, 3)
    for picture, (top, left, flipped) in zip(pictures, changes(pictures), strict=True):
        whole = numbered(picture[0, 0, 0])[top : top + 8, left : left + 8]
        np.testing.assert_array_equal(picture, whole[:, ::-1] if flipped else whole)
    seen = changes(run)[numbers(run)[:, 1, 0] == 100, 1, 0]
    assert len(seen) == 20
    # 9 places and 2 flips: 20 draws give 12.3 different ones on average.
    assert len(np.unique(seen, axis=0)) >= 6
    assert 3 <= seen[:, 2].sum() <= 17


def test_both_domains_are_changed_independently(run):
    seen = changes(run)[:80, :, 0]
    same_place = np.all(seen[:, 0, :2] == seen[:, 1, :2], axis=-1)
    same_flip = seen[:, 0, 2] == seen[:, 1, 2]
    # 80 draws at 1/9 and at 1/2: 8.9 and 40, standard deviation 2.8 and 4.5.
    assert same_place.sum() < 22
    assert 20 <= same_flip.sum() <= 60


def test_flip_can_be_turned_off(run):
    plain, flipping = changes(batches(40, flip=False)), changes(run[:40])
    assert not plain[..., 2].any()
    assert 20 <= flipping[..., 2].sum() <= 60
    np.testing.assert_array_equal(plain[..., 0], flipping[..., 0])


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
