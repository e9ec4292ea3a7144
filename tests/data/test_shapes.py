"""The drawn data set: its pairs, its coats, and that it is worth translating."""

import numpy as np
import pytest

from cyclegan_tf.config import DRAWN_DATASETS
from cyclegan_tf.data import shapes

SIZE = 32


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """60 pairs as float: plain and striped [60, SIZE, SIZE, 3]."""
    drawn = [shapes.draw_pair((0, i), SIZE) for i in range(60)]
    plain, striped = zip(*drawn, strict=True)
    return np.stack(plain).astype(float), np.stack(striped).astype(float)


def off_body(plain: np.ndarray, striped: np.ndarray) -> np.ndarray:
    return np.all(plain == striped, axis=-1)


def test_a_seed_alone_decides_the_pictures(pairs):
    drawn = shapes.draw_pair((3, 8), SIZE)
    np.testing.assert_array_equal(drawn, shapes.draw_pair((3, 8), SIZE))
    for other in ((3, 9), (4, 8), (8, 3)):
        for one, another in zip(drawn, shapes.draw_pair(other, SIZE), strict=True):
            assert np.mean(one != another) > 0.5
    for pictures in pairs:
        assert len(np.unique(pictures.reshape(60, -1), axis=0)) == 60


def test_pictures_have_the_given_size():
    for size in (16, 33, 72):
        for picture in shapes.draw_pair((0, 0), size):
            assert picture.shape == (size, size, 3)
            assert picture.dtype == np.uint8
    assert tuple(shapes.DATASETS) == DRAWN_DATASETS


def test_pair_is_equal_off_the_body_and_differs_on_it(pairs):
    facings = []
    for plain, striped in zip(*pairs, strict=True):
        same = off_body(plain, striped)
        assert 0.4 < same.mean() < 0.9
        # The frame of the picture is ground, and the middle is the trunk.
        assert np.all(same[0]) and np.all(same[-1, : SIZE // 8])
        middle = slice(SIZE // 2 - 3, SIZE // 2 + 3)
        assert np.abs(plain - striped)[middle, middle].mean() > 40
        # The head stands above the trunk, on the side the animal faces.
        rows, columns = np.nonzero(~same)
        facings.append(columns[rows == rows.min()].mean() > columns.mean())
    assert 12 <= sum(facings) <= 48


def test_pair_has_one_ground_and_one_outline_at_every_size():
    small = off_body(*shapes.draw_pair((0, 5), 32))
    large = off_body(*shapes.draw_pair((0, 5), 64))
    shrunk = large.reshape(32, 2, 32, 2).mean(axis=(1, 3)) > 0.5
    assert np.mean(small != shrunk) < 0.1


def test_grounds_of_both_domains_have_one_distribution():
    # As loaded: X and Y come from different draws, so their grounds are not shared.
    means, deviations = [], []
    for part, coat in ((0, 0), (1, 1)):
        grounds = []
        for i in range(120):
            pair = shapes.draw_pair((part, i), SIZE)
            grounds.append(pair[coat][off_body(*pair)].mean(axis=0))
        means.append(np.mean(grounds, axis=0))
        deviations.append(np.std(grounds, axis=0))
    # Means of 120 pictures that vary by about 20 levels: standard error 2.6.
    np.testing.assert_allclose(means[0], means[1], atol=9)
    np.testing.assert_allclose(deviations[0], deviations[1], rtol=0.35)


def test_plain_bodies_carry_no_stripes_but_tell_where_they_would_be(pairs):
    for plain, striped in zip(*pairs, strict=True):
        body = ~off_body(plain, striped)
        rows, columns = np.nonzero(body[SIZE // 2 - 2 : SIZE // 2 + 2])
        inside = slice(columns.min() + 3, columns.max() - 2)
        trunk = (slice(SIZE // 2 - 1, SIZE // 2 + 1), inside)
        # Along the trunk a plain coat changes with the shading alone.
        assert np.abs(np.diff(plain[trunk], axis=1)).max() <= 2
        assert np.abs(np.diff(striped[trunk], axis=1)).max() > 60
        # A stripe runs up from each foot: the feet show where stripes belong.
        last_row = np.flatnonzero(body.any(axis=1))[-1]
        feet = body[last_row - 2]
        assert striped[last_row - 2][feet].mean() < 130
        assert striped[SIZE // 2][feet].mean() < 130
        # Brown: red over green over blue, by a lot.
        assert np.all(np.diff(plain[trunk].mean(axis=(0, 1))) < -25)


def test_striped_bodies_are_dark_and_light_in_equal_parts(pairs):
    shares = []
    for plain, striped in zip(*pairs, strict=True):
        body = striped[~off_body(plain, striped)]
        assert np.mean(body.max(axis=-1) < 70) > 0.1
        assert np.mean(body.min(axis=-1) > 150) > 0.15
        shares.append(np.mean(body.mean(axis=-1) < 130))
    assert np.mean(shares) == pytest.approx(0.48, abs=0.06)
    assert np.std(shares) < 0.05
    # Doing nothing costs a clear error.
    errors = np.abs(np.subtract(*pairs)).mean(axis=(1, 2, 3))
    assert errors.mean() > 10
    assert errors.min() > 5


def test_coats_differ_on_one_body_over_one_ground():
    looks = tuple(shapes.Look(coat) for coat in shapes.COATS)
    drawn = [p.astype(float) for p in shapes.draw((0, 7), SIZE, looks)]
    plain, _ = shapes.draw_pair((0, 7), SIZE)
    np.testing.assert_array_equal(drawn[0], plain)
    body = ~off_body(drawn[0], drawn[-1])
    middle = np.zeros_like(body)
    middle[SIZE // 2 - 2 : SIZE // 2 + 2, SIZE // 2 - 2 : SIZE // 2 + 2] = True
    assert body[middle].all()
    for colour, picture in zip(shapes.COATS.values(), drawn, strict=True):
        np.testing.assert_array_equal(picture[~body], drawn[0][~body])
        assert np.abs(picture[middle].mean(axis=0) - colour).max() < 12


def test_animal_upside_down_is_the_same_one_over_the_same_ground():
    for i in range(20):
        upright, fallen = shapes.draw_pair((0, i), 64, "shapes_upside_down")
        white, _ = shapes.draw_pair((0, i), 64, "shapes_colour")[::-1]
        body = ~off_body(upright, white)
        looks = (shapes.Look("white", True), shapes.Look("brown", True))
        other = ~off_body(*shapes.draw((0, i), 64, looks))
        both = body | other
        np.testing.assert_array_equal(upright[~both], fallen[~both])
        assert abs(body.sum() - other.sum()) < 0.05 * body.sum()
        # Turned about the middle of its trunk, which is not the picture's.
        turned = [(np.roll(body[::-1], s, axis=0) == other).mean() for s in range(64)]
        assert max(turned) > 0.985
        assert (body == other).mean() < 0.95
