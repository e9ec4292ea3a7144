"""Drawn digits: statistics and seed. The judge: its training and its file."""

import numpy as np
import pytest

from cyclegan_tf.family.shared import digits


@pytest.fixture(scope="module")
def drawn():
    return {domain: digits.draw(1_000, (5,), domain) for domain in digits.DOMAINS}


def test_classes_are_equally_many_and_factors_uniform(drawn):
    found = drawn["plain"]
    assert found.images.shape == (1_000, 28, 28, 1)
    assert found.images.dtype == np.uint8
    assert (np.bincount(found.labels) == 100).all()
    assert np.abs(found.factors).max() <= 1
    np.testing.assert_allclose(found.factors.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(found.factors.std(axis=0), 3**-0.5, atol=0.03)
    assert np.abs(np.corrcoef(found.factors.T)[np.triu_indices(4, 1)]).max() < 0.1


def test_factors_change_the_pictures(drawn):
    found = drawn["plain"]
    ink = (found.images[..., 0] > 127).astype(float)
    rows, columns = np.mgrid[:28, :28] + 0.5
    weight = ink.sum(axis=(1, 2))
    right, down = ((ink * at).sum(axis=(1, 2)) / weight for at in (columns, rows))
    rotation, height, to_right, up = found.factors.T
    assert np.corrcoef(right, to_right)[0, 1] > 0.7
    assert np.corrcoef(down, up)[0, 1] < -0.7
    tall = ink.any(axis=2).sum(axis=1)
    assert np.corrcoef(tall, height)[0, 1] > 0.7
    # Turned to the left for a human reader: the top of a 1 moves left.
    ones = found.labels == 1
    top = (ink * columns)[ones, :14].sum(axis=(1, 2)) / ink[ones, :14].sum(axis=(1, 2))
    assert np.corrcoef(top - right[ones], rotation[ones])[0, 1] < -0.5


def test_digits_stay_inside_and_are_bright_on_black_or_texture(drawn):
    found = drawn["plain"].images[..., 0]
    edges = np.concatenate([found[:, [0, -1]], found[:, :, [0, -1]].swapaxes(1, 2)])
    assert edges.max() < 70
    assert 0.05 < (found > 127).mean() < 0.2
    assert (found.max(axis=(1, 2)) > 200).mean() > 0.99
    textured = drawn["textured"].images[..., 0]
    assert np.median(found) < 10 and 40 < np.median(textured) < 200
    assert textured[:, :4].std() > 20


def test_same_seed_draws_the_same_digits_and_a_sheet_shows_them(drawn):
    again = digits.draw(1_000, (5,), "textured")
    np.testing.assert_array_equal(again.images, drawn["textured"].images)
    np.testing.assert_array_equal(again.labels, drawn["textured"].labels)
    other = digits.draw(1_000, (6,), "textured")
    assert (other.images != again.images).any(axis=(1, 2, 3)).all()
    found = drawn["plain"]
    assert found.pictures.dtype == np.float32
    np.testing.assert_allclose((found.pictures + 1) * 127.5, found.images, atol=1e-4)
    sheet = digits.sheet(found.images[:6], 3)
    assert sheet.shape == (1, 56, 84, 3)
    np.testing.assert_array_equal(sheet[0, 28:, 28:56, 1], found.images[4, ..., 0])


# --- The judge


def weights_are_equal(one, other) -> bool:
    pairs = zip(one.network.get_weights(), other.network.get_weights(), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.stack
def test_judge_learns_and_the_run_stores_it(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "cyclegan_tf")
    monkeypatch.setattr(digits, "JUDGE_STEPS", 150)
    monkeypatch.setattr(digits, "_JUDGE_BATCH", 16)
    parts = {"train": digits.draw(600, (8,)), "test": digits.draw(300, (9,))}
    monkeypatch.setattr(digits, "load", parts.get)
    judge = digits.judge_of(tmp_path)
    assert judge.accuracy > 0.75
    test = parts["test"]
    classes, factors, features = judge.examine(test.pictures)
    assert (classes == test.labels).mean() == judge.accuracy
    assert features.shape == (300, 64)
    error = np.abs(factors - test.factors).mean(axis=0)
    assert (error < np.abs(test.factors).mean(axis=0)).all()
    assert "Training a judge" in caplog.text
    caplog.clear()
    again = digits.judge_of(tmp_path)
    assert caplog.text == ""
    assert weights_are_equal(again, judge) and again.accuracy == judge.accuracy


@pytest.mark.stack
def test_seed_decides_the_judge_and_a_damaged_file_is_written_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(digits, "JUDGE_STEPS", 2)
    few = {"train": digits.draw(100, (8,)), "test": digits.draw(20, (9,))}
    monkeypatch.setattr(digits, "load", few.get)
    one, other = digits.judge_of(tmp_path), digits.judge_of(tmp_path, seed=1)
    path = tmp_path / "judge_0.npz"
    assert not np.allclose(one.network.get_weights()[0], other.network.get_weights()[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert weights_are_equal(digits.judge_of(tmp_path), one)
    assert len(path.read_bytes()) == len(whole)
