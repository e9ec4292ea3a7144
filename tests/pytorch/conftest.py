"""A folder for the tests of programs that read and write files."""

import os

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own, beside which nothing appears."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    assert os.listdir(tmp_path) == ["here"]
