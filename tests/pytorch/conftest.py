"""A folder for the tests of programs that read and write files."""

import os

import pytest

from cyclegan_tf.messages import print_messages

print_messages()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own, beside which nothing appears."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    assert os.listdir(tmp_path) == ["here"]
