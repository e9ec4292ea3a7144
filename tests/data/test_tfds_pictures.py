"""Pictures of tfds."""

import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds
from helpers.dataset_folders import (
    ALL_SIZES,
    assert_same_pictures,
    fill,
    prepare,
    read_all,
    resized,
    truncated_jpeg,
)
from tensorflow_datasets.image_classification import cycle_gan

from cyclegan_tf.config import TFDS_CONFIGS
from cyclegan_tf.data import datasets, tfds_pictures
from cyclegan_tf.validation import UserError

NAMES = ("horse2zebra", "cycle_gan/horse2zebra")


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory) -> pathlib.Path:
    """A tfds folder with horse2zebra in it."""
    data_dir = tmp_path_factory.mktemp("prepared")
    prepare(source, data_dir)
    return data_dir


@pytest.mark.usefixtures("no_network")
def test_prepared_tfds_data_is_read_without_a_network_and_always_the_same(
    source, prepared, tiny
):
    one, *others = (
        datasets.load(tiny(dataset=name, data_dir=str(prepared), cache=cache))
        for name, cache in zip(
            2 * NAMES, ("memory", "memory", "encoded", "none"), strict=True
        )
    )
    for attribute, split in zip(
        ("train_x", "train_y", "test_x", "test_y"), ALL_SIZES, strict=True
    ):
        domain, size = getattr(one, attribute), 36 if "train" in split else 32
        paths = (source / "horse2zebra" / split).iterdir()
        expected = sorted(resized(path, size).tolist() for path in paths)
        assert sorted(image.tolist() for image in read_all(domain)) == expected
        assert domain.names[0] == f"horse2zebra {split} number 0"
        for other in others:
            assert_same_pictures(domain, getattr(other, attribute))


@pytest.mark.usefixtures("no_network")
def test_count_of_tfds_data_needs_no_network(prepared, tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(prepared.parent))
    for name in NAMES:
        for data_dir in (str(prepared), f"~/{prepared.name}"):
            assert datasets.count(tiny(dataset=name, data_dir=data_dir)) == (4, 3)
        assert datasets.count(tiny(dataset=name, data_dir=str(tmp_path))) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_network")
def test_damaged_tfds_picture_is_counted(tmp_path, tiny):
    fill(tmp_path / "extracted" / "horse2zebra", ALL_SIZES)
    bad = tmp_path / "extracted" / "horse2zebra" / "trainB" / "bad.jpg"
    bad.write_bytes(truncated_jpeg())
    prepare(tmp_path / "extracted", tmp_path / "prepared")
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "prepared"))
    told = r"1 of 4 .* horse2zebra trainB can't be read: horse2zebra trainB number \d\."
    with pytest.raises(UserError, match=told):
        datasets.load(config)


@pytest.mark.usefixtures("no_network")
def test_damaged_tfds_files_are_told_in_one_line(prepared, tmp_path, tiny):
    shutil.copytree(prepared, tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("*trainB.tfrecord*")
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "copy"))
    half = file.read_bytes()[: file.stat().st_size // 2]
    for damage in (lambda: file.write_bytes(half), file.unlink):
        damage()
        with pytest.raises(UserError, match="horse2zebra in .* is damaged: ") as error:
            datasets.load(config)
        assert "\n" not in str(error.value)


def test_names_addresses_and_archives_are_those_of_tfds():
    configs = tfds.builder_cls("cycle_gan").BUILDER_CONFIGS
    assert sorted(TFDS_CONFIGS) == sorted(config.name for config in configs)
    assert tfds_pictures.URL == cycle_gan._DL_URL
    known = tfds.download.checksums.get_all_url_infos()
    for name in TFDS_CONFIGS:
        assert known[f"{tfds_pictures.URL}{name}.zip"].filename == f"{name}.zip"
