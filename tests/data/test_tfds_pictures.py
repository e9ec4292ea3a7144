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


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory) -> pathlib.Path:
    """A tfds folder with horse2zebra in it."""
    data_dir = tmp_path_factory.mktemp("prepared")
    prepare(source, data_dir)
    return data_dir


@pytest.mark.parametrize("name", ["horse2zebra", "cycle_gan/horse2zebra"])
def test_prepared_tfds_data_is_read_without_a_network(
    source, prepared, tiny, no_network, name
):
    data = datasets.load(tiny(dataset=name, data_dir=str(prepared)))
    for domain, split, size in (
        (data.train_x, "trainA", 36),
        (data.train_y, "trainB", 36),
        (data.test_x, "testA", 32),
        (data.test_y, "testB", 32),
    ):
        paths = (source / "horse2zebra" / split).iterdir()
        expected = sorted(resized(path, size).tolist() for path in paths)
        assert sorted(image.tolist() for image in read_all(domain)) == expected
        assert domain.names[0] == f"horse2zebra {split} number 0"


def test_tfds_order_and_caches_agree_between_loads(prepared, tiny, no_network):
    one, *others = (
        datasets.load(tiny(dataset="horse2zebra", data_dir=str(prepared), cache=cache))
        for cache in ("memory", "encoded", "none")
    )
    for split in ("train_x", "train_y", "test_x", "test_y"):
        for other in others:
            assert_same_pictures(getattr(one, split), getattr(other, split))


def test_data_dir_in_the_home_folder_is_expanded(
    prepared, tiny, no_network, monkeypatch
):
    monkeypatch.setenv("HOME", str(prepared.parent))
    config = tiny(dataset="horse2zebra", data_dir=f"~/{prepared.name}")
    assert datasets.count(config) == (4, 3)


def test_count_of_tfds_data_needs_no_network(prepared, tmp_path, tiny, no_network):
    for name in ("horse2zebra", "cycle_gan/horse2zebra"):
        config = tiny(dataset=name, data_dir=str(prepared))
        assert datasets.count(config) == (4, 3)
        assert datasets.count(tiny(dataset=name, data_dir=str(tmp_path))) is None
    assert list(tmp_path.iterdir()) == []


def test_damaged_tfds_picture_is_counted(tmp_path, tiny, no_network):
    fill(tmp_path / "extracted" / "horse2zebra", ALL_SIZES)
    bad = tmp_path / "extracted" / "horse2zebra" / "trainB" / "bad.jpg"
    bad.write_bytes(truncated_jpeg())
    prepare(tmp_path / "extracted", tmp_path / "prepared")
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "prepared"))
    with pytest.raises(
        UserError,
        match=r"1 of 4 pictures in horse2zebra trainB can't be read: "
        r"horse2zebra trainB number \d\.",
    ):
        datasets.load(config)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_tfds_files_are_told_in_one_line(
    prepared, tmp_path, tiny, no_network, damage
):
    shutil.copytree(prepared, tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("*trainB.tfrecord*")
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    config = tiny(dataset="horse2zebra", data_dir=str(tmp_path / "copy"))
    with pytest.raises(UserError, match="horse2zebra in .* is damaged: ") as error:
        datasets.load(config)
    assert "\n" not in str(error.value)


def test_names_are_those_of_tfds():
    configs = tfds.builder_cls("cycle_gan").BUILDER_CONFIGS
    assert sorted(TFDS_CONFIGS) == sorted(config.name for config in configs)
    assert len(TFDS_CONFIGS) == 10


def test_addresses_and_archives_are_those_of_tfds():
    assert tfds_pictures.URL == cycle_gan._DL_URL
    known = tfds.download.checksums.get_all_url_infos()
    for name in TFDS_CONFIGS:
        assert known[f"{tfds_pictures.URL}{name}.zip"].filename == f"{name}.zip"
