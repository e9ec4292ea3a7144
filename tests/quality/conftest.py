"""Fixtures that several tests of this wing share."""

import pytest


@pytest.fixture(autouse=True)
def quick_judge(monkeypatch):
    """A judge of few steps, which is enough for `shapes`."""
    monkeypatch.setattr("cyclegan_tf.quality.judge.NUM_STEPS", 15)
