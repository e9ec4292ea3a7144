"""The judge of drawn pictures: how good it is, and that it is kept."""

import numpy as np
import pytest

from cyclegan_tf.family.shared import digits
from cyclegan_tf.family.shared import judge as judging
from cyclegan_tf.family.shared.networks import judge

pytestmark = pytest.mark.stack


def weights_are_equal(one, other) -> bool:
    pairs = zip(one.network.get_weights(), other.network.get_weights(), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def test_judge_learns_and_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(judging, "NUM_STEPS", 150)
    monkeypatch.setattr(judging, "_BATCH", 16)
    parts = {"train": digits.draw(600, (8,)), "test": digits.draw(300, (9,))}
    made = judging.prepared(judge(), tmp_path, parts.get)
    assert made.accuracy > 0.75
    test = parts["test"]
    classes, factors, features = made.ask(test.pictures)
    assert (classes == test.labels).mean() == made.accuracy
    assert features.shape == (300, 64)
    error = np.abs(factors - test.factors).mean(axis=0)
    assert (error < np.abs(test.factors).mean(axis=0)).all()
    assert "Training a judge" in capsys.readouterr().out
    again = judging.prepared(judge(), tmp_path, parts.get)
    assert capsys.readouterr().out == ""
    assert weights_are_equal(again, made) and again.accuracy == made.accuracy


def test_seed_alone_decides_and_a_file_that_was_cut_off_is_written_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(judging, "NUM_STEPS", 2)
    few = {"train": digits.draw(100, (8,)), "test": digits.draw(20, (9,))}

    def made(folder, seed=0):
        return judging.prepared(judge(), tmp_path / folder, few.get, seed=seed)

    one, other = made("a"), made("a", seed=1)
    kept, _ = sorted((tmp_path / "a").iterdir())
    assert not np.allclose(one.network.get_weights()[0], other.network.get_weights()[0])
    whole = kept.read_bytes()
    kept.write_bytes(whole[:1000])
    again = made("a")
    assert weights_are_equal(again, one)
    assert len(kept.read_bytes()) == len(whole)
