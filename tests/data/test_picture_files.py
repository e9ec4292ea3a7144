"""Which pictures are found, what they become, and that no input is ever lost."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from cyclegan_tf.data import picture_files
from cyclegan_tf.data.picture_files import find, pictures_below, target_names, write_png
from cyclegan_tf.validation import UserError


def make(folder: pathlib.Path, *names: str) -> pathlib.Path:
    """Files with their own name as content; `find` does not look inside."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def found(source, output) -> dict[str, str]:
    """From input to output, as paths relative to the folders."""
    files = find(source, output)
    for file in files:
        assert file.source == source / file.name
    return {file.name: str(file.target.relative_to(output)) for file in files}


# --- Finding


def test_folders_are_searched_and_paths_kept_in_sorted_order(tmp_path):
    source = make(tmp_path / "in", "b.jpg", "z/c.gif", "a/y/d.bmp", "a/e.jpeg", "f.png")
    assert list(found(source, tmp_path / "out").items()) == [
        ("a/e.jpeg", "a/e.png"),
        ("a/y/d.bmp", "a/y/d.png"),
        ("b.jpg", "b.png"),
        ("f.png", "f.png"),
        ("z/c.gif", "z/c.png"),
    ]


def test_endings_count_in_any_case_and_stems_keep_their_dots(tmp_path):
    source = make(tmp_path / "in", "A.JPG", "b.PnG", "c.2.jpg")
    expected = {"A.JPG": "A.png", "b.PnG": "b.png", "c.2.jpg": "c.2.png"}
    assert found(source, tmp_path / "out") == expected


def test_hidden_files_and_other_endings_and_folders_are_left_out(tmp_path):
    names = ["._a.jpg", ".thumbnails/a.jpg", "x/.y/a.jpg", "a.txt", "jpg", "a.heic"]
    source = make(tmp_path / "in", "a.jpg", "folder.jpg/b.txt", *names)
    assert found(source, tmp_path / "out") == {"a.jpg": "a.png"}


def test_folder_may_lie_in_a_hidden_one(tmp_path):
    source = make(tmp_path / ".cache/in", "a.jpg")
    assert found(source, tmp_path / "out") == {"a.jpg": "a.png"}


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.webp", ".a.jpg"])
def test_single_file_is_taken_whatever_its_name(tmp_path, name):
    source = make(tmp_path / "in", name, "other.jpg") / name
    target = tmp_path / "out" / pathlib.PurePath(name).with_suffix(".png")
    assert find(source, tmp_path / "out") == [(name, source, target)]


def test_folder_without_pictures_is_refused(tmp_path):
    source = make(tmp_path / "in", "a.txt")
    with pytest.raises(
        UserError, match="in has no picture .JPEG, PNG, BMP, GIF, WebP or TIFF"
    ):
        find(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["missing", "missing.jpg", "a.jpg/b.jpg", "x" * 300])
def test_missing_input_is_refused(tmp_path, name):
    make(tmp_path, "a.jpg")
    with pytest.raises(UserError, match=f"No such file or folder: .*{name[-9:]}"):
        find(tmp_path / name, tmp_path / "out")


def test_output_inside_the_input_is_not_searched(tmp_path):
    source = make(tmp_path / "in", "a.jpg", "out/a.png", "out/b/c.png", "out2/d.png")
    expected = {"a.jpg": "a.png", "out2/d.png": "out2/d.png"}
    assert found(source, source / "out") == expected


def test_output_above_the_input_hides_no_picture(tmp_path):
    source = make(tmp_path / "in", "a.jpg")
    assert found(source, tmp_path) == {"a.jpg": "a.png"}


# --- Names


@pytest.mark.parametrize(
    "names, targets",
    [
        (["a.jpg", "b.png"], ["a.png", "b.png"]),
        (["a.jpg", "a.png", "b.jpg"], ["a.jpg.png", "a.png.png", "b.png"]),
        (["a/a.jpg", "b/a.jpg"], ["a/a.png", "b/a.png"]),
        # The longer name of the first is the plain one of the third.
        (["a.jpg", "a.gif", "a.jpg.bmp"], ["a.jpg.png", "a.gif.png", "a.jpg.bmp.png"]),
        (["A.jpg", "a.png"], ["A.jpg.png", "a.png.png"]),
        (["a.jpg", "a.JPG"], ["a.jpg.png", "a.JPG.png"]),
    ],
)
def test_names_are_kept_and_made_longer_only_where_they_clash(names, targets):
    assert target_names(names) == dict(zip(names, targets, strict=True))


# --- Never over an input


def test_png_in_the_output_folder_is_not_written_over(tmp_path):
    source = make(tmp_path / "in", "a.jpg", "b.png")
    with pytest.raises(UserError, match=r"b\.png is an input .*another --output"):
        find(source, source)


def test_single_file_is_not_written_over(tmp_path):
    source = make(tmp_path / "in", "a.png")
    with pytest.raises(UserError, match=r"a\.png is an input"):
        find(source / "a.png", source)


def test_input_is_not_written_over_by_another_input(tmp_path):
    # a.jpg clashes with a.gif, and its longer name is that of an input.
    source = make(tmp_path / "in", "a.gif", "a.jpg", "a.jpg.png")
    with pytest.raises(UserError, match=r"a\.jpg\.png is an input"):
        find(source, source)


def test_input_is_not_written_over_through_a_linked_folder(tmp_path):
    source = make(tmp_path / "in", "a.png")
    (tmp_path / "link").symlink_to(source, target_is_directory=True)
    with pytest.raises(UserError, match=r"link/a\.png is an input"):
        find(source, tmp_path / "link")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_input_is_not_written_over_through_a_link_to_it(tmp_path, link):
    source = make(tmp_path / "in", "a.jpg", "b.jpg")
    (tmp_path / "out").mkdir()
    link(source / "a.jpg", tmp_path / "out" / "b.png")
    with pytest.raises(UserError, match=r"out/b\.png is an input"):
        find(source, tmp_path / "out")


def test_other_files_of_the_output_may_be_replaced(tmp_path):
    source = make(tmp_path / "in", "a.jpg")
    make(tmp_path / "out", "a.png")
    assert found(source, tmp_path / "out") == {"a.jpg": "a.png"}
    assert found(source, source) == {"a.jpg": "a.png"}


def test_folder_in_place_of_a_png_is_refused(tmp_path):
    source = make(tmp_path / "in", "a.jpg")
    make(tmp_path / "out", "a.png/mine.txt")
    with pytest.raises(UserError, match=r"out/a\.png is a folder; a PNG"):
        find(source, tmp_path / "out")


@pytest.mark.parametrize("output", ["out", "out/below/it"])
def test_file_in_place_of_the_output_is_refused(tmp_path, output):
    source = make(tmp_path / "in", "a.jpg")
    make(tmp_path, "out")
    with pytest.raises(UserError, match="out is a file; a folder"):
        find(source, tmp_path / output)


def test_file_in_place_of_a_folder_of_the_output_is_refused(tmp_path):
    source = make(tmp_path / "in", "a.jpg", "sub/b.jpg")
    make(tmp_path / "out", "sub")
    with pytest.raises(UserError, match="out/sub is a file; a folder"):
        find(source, tmp_path / "out")


def test_finding_writes_nothing(tmp_path):
    source = make(tmp_path / "in", "a.jpg")
    find(source, tmp_path / "out" / "deep")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.jpg", "in"]


# --- Writing


def noise(height=5, width=7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", ["a.png", "new/folders/a.png", "a.jpg.png"])
def test_png_holds_the_pixels_in_folders_made_for_it(tmp_path, name):
    write_png(noise(), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), noise())
    assert os.listdir((tmp_path / name).parent) == [pathlib.PurePath(name).name]


def test_png_replaces_a_file(tmp_path):
    write_png(noise(), make(tmp_path, "a.png") / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), noise())


def test_name_of_the_greatest_length_can_be_written(tmp_path):
    name = "a" * 251 + ".png"
    write_png(noise(), tmp_path / name)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    "raised, expected",
    [(OSError(28, "No space left on device"), UserError), (KeyboardInterrupt(), None)],
)
def test_write_that_fails_leaves_the_old_file_alone(
    tmp_path, monkeypatch, raised, expected
):
    def save(image, path, **options):
        pathlib.Path(path).write_text("half a picture")
        raise raised

    monkeypatch.setattr(picture_files.Image.Image, "save", save)
    with pytest.raises(expected or type(raised)) as told:
        write_png(noise(), make(tmp_path, "a.png") / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "a.png"
    if expected:
        reason = "a.png can't be written: No space left on device."
        assert str(told.value) == f"{tmp_path}/{reason}"


def test_folder_that_cannot_be_made_is_told(tmp_path):
    make(tmp_path, "file")
    with pytest.raises(UserError, match=r"file/sub/a\.png can't be written: "):
        write_png(noise(), tmp_path / "file/sub/a.png")


# --- What is left out


def test_other_files_are_told_with_their_number_by_ending(tmp_path, capsys):
    make(
        tmp_path / "in",
        "a.jpg",
        "b.webp",
        "c.TIFF",
        "x/d.tif",
        ".hidden",
        "x/.DS_Store",
    )
    assert list(pictures_below(tmp_path / "in", tell=True)) == [
        "a.jpg",
        "b.webp",
        "c.TIFF",
        "x/d.tif",
    ]
    assert capsys.readouterr().err == ""
    make(tmp_path / "in", "a.heic", "x/B.HEIC", "notes.txt", "LICENSE")
    assert len(pictures_below(tmp_path / "in")) == 4
    assert capsys.readouterr().err == ""
    assert len(pictures_below(tmp_path / "in", tell=True)) == 4
    told = f"Left out of {tmp_path}/in, no pictures: "
    assert capsys.readouterr().err == f"{told}2 .heic, 1 without ending, 1 .txt.\n"


def test_many_endings_are_told_in_short(tmp_path, capsys):
    make(tmp_path / "in", *(f"a.{ending}" for ending in "bcdefghijk"))
    with pytest.raises(
        UserError, match=r"\. Left out: (1 \.\w, ){7}1 \.\w and others\.$"
    ):
        find(tmp_path / "in", tmp_path / "out")
    assert pictures_below(tmp_path / "in", tell=True) == {}
    assert capsys.readouterr().err == ""


def test_broken_link_is_a_picture_that_cannot_be_read(tmp_path):
    source = make(tmp_path / "in", "a.jpg")
    (source / "b.jpg").symlink_to("nowhere.jpg")
    (source / "c.txt").symlink_to("nowhere.txt")
    assert found(source, tmp_path / "out") == {"a.jpg": "a.png", "b.jpg": "b.png"}
