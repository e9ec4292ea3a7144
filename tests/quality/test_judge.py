"""The judge: it is kept, and noise does not fool it; test_evaluation has one learn."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.attacks import LEVELS, perturbed, plain_log_odds
from helpers.quality_samples import drawn

from cyclegan_tf.data.datasets import Domain
from cyclegan_tf.quality import judge
from cyclegan_tf.validation import UserError


def prepared(seed=0, say=lambda line: None, **fields):
    values = {"domain_x": drawn(0, 0), "domain_y": drawn(1, 1), "image_size": 32}
    return judge.prepare(**{**values, **fields}, seed=seed, say=say)


@pytest.fixture
def untrained(monkeypatch):
    """Training changes the weights, and takes no time."""

    def fit(network, *rest):
        network.set_weights([w + 1 for w in network.get_weights()])

    monkeypatch.setattr(judge, "fit", fit)


def test_its_seed_decides_what_it_becomes(judges, monkeypatch):
    monkeypatch.setattr(judge, "NUM_STEPS", 1)
    tf.config.run_functions_eagerly(True)
    try:
        first = prepared(image_size=16)
        (judges / f"judge-16px-{first.fingerprint}.npz").unlink()
        assert prepared(image_size=16).digest == first.digest
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("untrained")
def test_it_is_trained_once_and_kept_and_again_if_its_file_is_damaged(judges):
    said = []
    first = prepared(seed=5, say=said.append)
    assert said == ["No judge of these pictures yet: training one on 24 + 24."]
    path = judges / f"judge-32px-{first.fingerprint}.npz"
    whole = path.read_bytes()
    for content in (whole, b"", b"no archive at all", whole[: len(whole) // 2], whole):
        path.write_bytes(content)
        again = prepared(seed=5, say=said.append)
        assert again.digest == first.digest
        assert again.fingerprint == first.fingerprint
        assert path.read_bytes() == whole
    assert said[1:] == 3 * [f"{path} is damaged: training one on 24 + 24."]


@pytest.mark.usefixtures("untrained")
def test_other_pictures_sizes_and_seeds_have_another_judge(tmp_path, monkeypatch):
    held = [
        prepared(),
        prepared(seed=1),
        prepared(image_size=48),
        prepared(domain_x=drawn(0, 0, 23)),
        prepared(domain_x=drawn(2, 0)),
    ]
    assert len({one.fingerprint for one in held}) == len(held)
    assert prepared(image_size=500).side == judge.MAX_SIDE
    with pytest.raises(UserError, match="pictures of both domains"):
        prepared(domain_x=Domain([], [].__getitem__))
    # A cache that can't be written is told.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    said = []
    prepared(say=said.append)
    assert said[-1].startswith(f"The judge can't be kept in {tmp_path / 'file'}")


def domains(number=32, side=32):
    """Y is brighter in its middle, which is seen; and has a grid of 1 level, unseen."""
    random = np.random.default_rng(0)
    grounds = random.uniform(60, 160, (2 * number, 1, 1, 3))
    x, y = np.split(np.broadcast_to(grounds, (2 * number, side, side, 3)).copy(), 2)
    middle = slice(side // 4, -side // 4)
    # Seen of three in four: one in four has none, or has it though it is X.
    y[number // 4 :, middle, middle] += 25
    x[: number // 4, middle, middle] += 25
    x, y = np.rint(x), np.rint(y)
    y += (np.indices((side, side)).sum(axis=0) % 2)[..., None]
    return x.astype(np.uint8), y.astype(np.uint8)


@pytest.mark.slow
def test_noise_of_two_levels_fools_a_plain_classifier_and_hardly_the_judge():
    x, y = domains()
    larger = [np.pad(p, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect") for p in (x, y)]
    plain, robust = judge.build(32, 0), judge.build(32, 0)
    judge.fit(plain, *larger, seed=0, num_steps=60, corrupted=False)
    judge.fit(robust, *larger, seed=0, num_steps=120)
    seen = judge.Judge(robust, 32, "", "")
    gap = seen.ask(y)[0].mean() - seen.ask(x)[0].mean()
    assert gap > 1
    pictures = x[len(x) // 4 :]
    fooling = perturbed(plain, pictures)
    assert 0 < np.abs(fooling.astype(int) - pictures).max() <= LEVELS
    assert (plain_log_odds(plain, pictures) < 0).mean() > 0.9
    assert (plain_log_odds(plain, fooling) > 0).mean() > 0.4
    before = seen.ask(pictures)[0]
    assert (before < 0).mean() > 0.8
    for noisy in (fooling, perturbed(robust, pictures)):
        after = seen.ask(noisy)[0]
        assert (after > 0).mean() < (before > 0).mean() + 0.1
        assert (after - before).mean() < 0.25 * gap
