"""Order, augmentation and distribution of training batches, by (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.data import datasets, images, input_pipeline
from cyclegan_tf.data.input_pipeline import (
    picture_index,
    steps_per_epoch,
    training_batches,
)

NUM_X, NUM_Y = 5, 8


def numbered(number: int, size: int = 10) -> np.ndarray:
    """A picture that tells its number, and each pixel's row and column."""
    y, x = np.mgrid[:size, :size]
    return np.stack([np.full_like(x, number), y, x], axis=-1).astype(np.uint8)


def domain(numbers: range) -> datasets.Domain:
    pictures = [numbered(number) for number in numbers]
    return datasets.Domain([str(number) for number in numbers], pictures.__getitem__)


@pytest.fixture
def data() -> datasets.UnpairedData:
    """Pictures 0 to 4 in X, 100 to 107 in Y."""
    x, y = domain(range(NUM_X)), domain(range(100, 100 + NUM_Y))
    return datasets.UnpairedData(x, y, x, y)


@pytest.fixture
def batches(data, tiny):
    """Batches as uint8 [steps, 2, batch_size, 8, 8, 3]."""

    def make(num_steps, start=0, pictures=data, **fields) -> np.ndarray:
        config = tiny(
            **{"image_size": 8, "load_size": 0, "discriminator_layers": 1, **fields}
        )
        iterable = training_batches(
            pictures, config, tf.distribute.get_strategy(), start, num_steps
        )
        return np.array([images.to_uint8(tf.stack(pair)) for pair in iterable])

    return make


def numbers(batches: np.ndarray) -> np.ndarray:
    """Which picture each is: [steps, 2, batch_size]."""
    return batches[..., 0, 0, 0]


def changes(batches: np.ndarray) -> np.ndarray:
    """Top row, left column and whether it was flipped, of each: [..., 3]."""
    columns = batches[..., 0, :, 2]
    flipped = columns[..., 0] > columns[..., -1]
    return np.stack([batches[..., 0, 0, 1], columns.min(axis=-1), flipped], axis=-1)


# --- Order


@pytest.mark.parametrize(
    "num_x, num_y, batch_size, expected",
    [
        (1067, 1334, 1, 1334),
        (1334, 1067, 1, 1334),
        (1067, 1334, 4, 334),
        (1067, 1334, 1334, 1),
        (8, 5, 2, 4),
        (9, 5, 2, 5),
        (1, 1, 7, 1),
    ],
)
def test_steps_per_epoch_rounds_up_the_longer_domain(
    num_x, num_y, batch_size, expected
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
@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("num_pictures, epoch_size", [(8, 8), (5, 8), (3, 8), (8, 9)])
def test_picture_index_equals_plain_loops(seed, domain, num_pictures, epoch_size):
    assert [
        picture_index(seed, domain, position, num_pictures, epoch_size)
        for position in range(4 * epoch_size)
    ] == every_index(seed, domain, num_pictures, epoch_size, 4)


def test_picture_index_does_not_depend_on_what_was_asked_before():
    forwards = [picture_index(3, 0, p, 5, 13) for p in range(130)]
    random = np.random.default_rng(0).permutation(130)
    asked = {p: picture_index(3, 0, p, 5, 13) for p in random.tolist()}
    assert [asked[p] for p in range(130)] == forwards


def test_domains_are_walked_in_different_orders():
    orders = [[picture_index(0, d, p, 50, 50) for p in range(50)] for d in (0, 1)]
    assert sum(a == b for a, b in zip(*orders, strict=True)) < 10


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_each_epoch_shows_every_picture_of_the_longer_domain_once(batches, batch_size):
    per_epoch = NUM_Y // batch_size
    seen = numbers(batches(3 * per_epoch, batch_size=batch_size))[:, 1]
    for epoch in seen.reshape(3, NUM_Y):
        assert sorted(epoch) == list(range(100, 100 + NUM_Y))


def test_each_lap_of_the_shorter_domain_is_a_permutation(batches):
    seen = numbers(batches(3 * NUM_Y))[:, 0, 0].reshape(3, NUM_Y)
    for epoch in seen:
        assert sorted(epoch[:NUM_X]) == list(range(NUM_X))
        rest = epoch[NUM_X:]
        assert len(set(rest)) == len(rest)


def test_many_laps_of_a_short_domain_are_permutations_that_differ(batches, data):
    short = datasets.UnpairedData(domain(range(3)), data.train_y, *[None] * 2)
    laps = numbers(batches(8 * 2, pictures=short))[:, 0, 0].reshape(2, 8)
    laps = [lap for epoch in laps for lap in (epoch[:3], epoch[3:6])]
    assert [sorted(lap) for lap in laps] == [[0, 1, 2]] * 4
    assert len({tuple(lap) for lap in laps}) > 1


def test_batches_that_do_not_divide_an_epoch_start_the_longer_domain_again(batches):
    seen = numbers(batches(2 * 3, batch_size=3))[:, 1].reshape(2, 9)
    for epoch in seen:
        assert sorted(epoch[:8]) == list(range(100, 108))
        assert epoch[8] in range(100, 108)


def test_domains_may_be_of_either_length(batches, data):
    turned = datasets.UnpairedData(data.train_y, data.train_x, *[None] * 2)
    seen = numbers(batches(NUM_Y, pictures=turned))[..., 0]
    assert sorted(seen[:, 0]) == list(range(100, 100 + NUM_Y))
    assert sorted(seen[:NUM_X, 1]) == list(range(NUM_X))


def test_epochs_differ_in_order(batches):
    seen = numbers(batches(3 * NUM_Y))[:, 1, 0].reshape(3, NUM_Y)
    assert len(np.unique(seen, axis=0)) == 3


def test_batches_show_the_pictures_that_picture_index_names(batches):
    seen = numbers(batches(12, batch_size=2, seed=5))
    expected = np.stack(
        [every_index(5, 0, NUM_X, 8, 3), every_index(5, 1, NUM_Y, 8, 3)]
    )
    expected = expected.reshape(2, 12, 2).swapaxes(0, 1) + np.array([[[0], [100]]])
    np.testing.assert_array_equal(seen, expected)


# --- Runs


def test_one_seed_gives_one_run(batches):
    np.testing.assert_array_equal(batches(20), batches(20))


def test_another_seed_gives_another_order_and_other_changes(batches):
    one, other = batches(16, seed=0), batches(16, seed=1)
    assert np.mean(numbers(one) != numbers(other)) > 0.5
    assert np.mean(np.any(changes(one) != changes(other), axis=-1)) > 0.5


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("start", [1, 7, 8, 13])
def test_run_that_goes_on_sees_what_an_unbroken_one_sees(batches, batch_size, start):
    whole = batches(20, batch_size=batch_size)
    rest = batches(20, start=start, batch_size=batch_size)
    np.testing.assert_array_equal(rest, whole[start:])


def test_number_of_steps_is_kept(batches):
    assert len(batches(11, batch_size=3)) == 11
    assert len(batches(11, start=4, batch_size=3)) == 7


def test_run_that_is_finished_gives_nothing(batches):
    assert len(batches(5, start=5)) == 0


def test_largest_seed_and_a_late_step_work(batches):
    late = batches(3_000_000_002, start=3_000_000_000, seed=2**31 - 1)
    again = batches(3_000_000_002, start=3_000_000_001, seed=2**31 - 1)
    np.testing.assert_array_equal(late[1:], again)


# --- Pictures


def test_discriminators_pictures_are_read_as_a_larger_batch(batches):
    more = batches(6, batch_size=2, discriminator_pictures=2)
    np.testing.assert_array_equal(more, batches(6, batch_size=4))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_are_float32_in_range(data, tiny, batch_size):
    config = tiny(
        image_size=8, load_size=0, discriminator_layers=1, batch_size=batch_size
    )
    white = datasets.Domain(["white"], lambda i: np.full((9, 11, 3), 255, np.uint8))
    black = datasets.Domain(["black"], lambda i: np.zeros((8, 8, 3), np.uint8))
    pair = datasets.UnpairedData(white, black, white, black)
    strategy = tf.distribute.get_strategy()
    steps = list(training_batches(pair, config, strategy, 0, 2))
    assert len(steps) == 2
    for real_x, real_y in steps:
        assert real_x.dtype == real_y.dtype == tf.float32
        np.testing.assert_array_equal(real_x, np.ones((batch_size, 8, 8, 3)))
        np.testing.assert_array_equal(real_y, -np.ones((batch_size, 8, 8, 3)))


def test_batches_know_their_size_before_they_are_read(data, tiny):
    config = tiny(image_size=8, load_size=0, discriminator_layers=1, batch_size=2)
    strategy = tf.distribute.get_strategy()
    spec = training_batches(data, config, strategy, 0, 4).element_spec
    for part in spec:
        assert part.dtype == tf.float32
        assert part.shape == (2, 8, 8, 3)


def test_no_thread_is_waited_for_at_the_end(data, tiny):
    """That of tf.data's autotune slept for as long as a training had taken."""
    config = tiny(image_size=8, load_size=0, discriminator_layers=1)
    batches = training_batches(data, config, tf.distribute.get_strategy(), 0, 4)
    assert batches.options().autotune.enabled is False


def test_pictures_are_crops_that_may_be_flipped(batches):
    pictures = batches(40).reshape(80, 8, 8, 3)
    for picture, (top, left, flipped) in zip(pictures, changes(pictures), strict=True):
        whole = numbered(picture[0, 0, 0])[top : top + 8, left : left + 8]
        np.testing.assert_array_equal(picture, whole[:, ::-1] if flipped else whole)


def test_changes_come_from_seed_domain_and_position(batches):
    made = batches(6, batch_size=2, seed=4)
    for step, place in ((0, 0), (2, 1), (5, 0)):
        for side in (0, 1):
            position = tf.constant(2 * step + place, tf.int64)
            seed = tf.random.fold_in((4, side), position)
            whole = numbered(numbers(made)[step, side, place])
            expected = input_pipeline.augment(tf.constant(whole), 8, True, seed)
            np.testing.assert_array_equal(made[step, side, place], expected)


def test_same_picture_is_changed_anew_in_each_epoch(batches):
    made = batches(20 * NUM_Y)
    is_first = numbers(made)[:, 1, 0] == 100
    seen = changes(made)[is_first, 1, 0]
    assert len(seen) == 20
    # 9 places and 2 flips: 20 draws give 12.3 different ones on average.
    assert len(np.unique(seen, axis=0)) >= 6
    assert 3 <= seen[:, 2].sum() <= 17


def test_both_domains_are_changed_independently(batches):
    seen = changes(batches(80))[:, :, 0]
    same_place = np.all(seen[:, 0, :2] == seen[:, 1, :2], axis=-1)
    same_flip = seen[:, 0, 2] == seen[:, 1, 2]
    # 80 draws at 1/9 and at 1/2: 8.9 and 40, standard deviation 2.8 and 4.5.
    assert same_place.sum() < 22
    assert 20 <= same_flip.sum() <= 60


def test_flip_can_be_turned_off(batches):
    plain, flipping = (changes(batches(40, flip=flip)) for flip in (False, True))
    assert not plain[..., 2].any()
    assert 20 <= flipping[..., 2].sum() <= 60
    np.testing.assert_array_equal(plain[..., 0], flipping[..., 0])


def test_pictures_of_different_sizes_share_a_batch(batches):
    sizes = [(8, 30), (20, 9), (8, 8)]
    x = datasets.Domain("abc", lambda i: np.full((*sizes[i], 3), i, np.uint8))
    made = batches(2, pictures=datasets.UnpairedData(x, x, x, x), batch_size=3)
    assert made.shape == (2, 2, 3, 8, 8, 3)
    np.testing.assert_array_equal(np.sort(numbers(made)), np.full((2, 2, 3), (0, 1, 2)))


def test_caches_give_the_same_batches(tmp_path, tiny):
    from PIL import Image

    random = np.random.default_rng(0)
    for split in ("trainA", "trainB"):
        (tmp_path / split).mkdir()
        for i in range(3):
            pixels = random.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / f"{i}.png")
    made = []
    for cache in ("memory", "encoded", "none"):
        config = tiny(dataset=str(tmp_path), cache=cache, batch_size=2)
        strategy = tf.distribute.get_strategy()
        pictures = datasets.load(config)
        steps = training_batches(pictures, config, strategy, 0, 6)
        made.append(np.array([tf.stack(pair) for pair in steps]))
    assert made[0].shape == (6, 2, 2, 32, 32, 3)
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)


# --- Replicas


@pytest.mark.parametrize("batch_size", [2, 4])
@pytest.mark.parametrize("start", [0, 3])
def test_replicas_share_the_batch_of_one_device(data, batches, tiny, batch_size, start):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    config = tiny(
        image_size=8, load_size=0, discriminator_layers=1, batch_size=batch_size
    )
    whole = batches(8, start=start, batch_size=batch_size)
    part = batch_size // 2
    steps = list(training_batches(data, config, strategy, start, 8))
    assert len(steps) == 8 - start
    for step, pair in enumerate(steps):
        for side, distributed in enumerate(pair):
            replicas = strategy.experimental_local_results(distributed)
            assert len(replicas) == 2
            for r, real in enumerate(replicas):
                expected = whole[step, side, r * part : (r + 1) * part]
                np.testing.assert_array_equal(images.to_uint8(real), expected)


def test_batches_wait_on_the_device_that_trains(data, tiny, monkeypatch):
    """A second CPU device stands in for a GPU."""
    second = tf.config.LogicalDevice("/CPU:1", "GPU")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [second])
    config = tiny(image_size=8, load_size=0, discriminator_layers=1)
    strategy = tf.distribute.get_strategy()
    for batch in training_batches(data, config, strategy, 0, 3):
        assert {pictures.device[-5:] for pictures in batch} == {"CPU:1"}
