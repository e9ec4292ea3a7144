"""Fixtures that several tests of this folder share."""

import pathlib

import pytest
import requests
from helpers.dataset_folders import ALL_SIZES, fill

from cyclegan_tf.data import datasets


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    root = tmp_path / "data"
    fill(root, ALL_SIZES)
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    """Holds horse2zebra/ alone, as the extracted archive does."""
    extracted = tmp_path_factory.mktemp("extracted")
    fill(extracted / "horse2zebra", ALL_SIZES)
    return extracted


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("The network was asked.")

    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(requests.Session, "request", refuse)


@pytest.fixture
def from_folder(folder, tiny):
    """Loads `folder` with some fields of the configuration replaced."""

    def load(**fields) -> datasets.UnpairedData:
        return datasets.load(tiny(dataset=str(folder), **fields))

    return load
