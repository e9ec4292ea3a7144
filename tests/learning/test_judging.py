"""The judge of drawn pictures: how good it is, and that it is kept."""

import numpy as np
import pytest

from cyclegan_tf.data import digits
from cyclegan_tf.learning import judging
from cyclegan_tf.networks.digits import judge


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(judging, "NUM_STEPS", 120)
    return digits.draw(1_500, (8,)), digits.draw(300, (9,))


def test_judge_learns_is_kept_and_is_the_same_again(few, tmp_path):
    made = judging.prepared(judge(10, 4), tmp_path, *few)
    assert made.accuracy > 0.75
    _, test = few
    classes, factors, features = made.ask(test.pictures)
    assert (classes == test.labels).mean() == made.accuracy
    assert features.shape == (300, 64)
    error = np.abs(factors - test.factors).mean(axis=0)
    assert (error < np.abs(test.factors).mean(axis=0)).all()
    (kept,) = tmp_path.iterdir()
    other_run = tmp_path / "other"
    other_run.mkdir()
    again = judging.prepared(judge(10, 4), tmp_path, *few)
    other = judging.prepared(judge(10, 4), other_run, *few, seed=0)
    for network in (again.network, other.network):
        for ours, theirs in zip(
            network.get_weights(), made.network.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    # A file that was cut off is written again.
    kept.write_bytes(kept.read_bytes()[:1000])
    again = judging.prepared(judge(10, 4), tmp_path, *few)
    assert again.accuracy == made.accuracy


def test_another_seed_is_another_judge(few, tmp_path):
    first, second = (
        judging.prepared(judge(10, 4), tmp_path, *few, seed=seed) for seed in (0, 1)
    )
    ours, theirs = (j.network.get_weights()[0] for j in (first, second))
    assert not np.allclose(ours, theirs)
    assert len(list(tmp_path.iterdir())) == 2
