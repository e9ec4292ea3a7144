"""Which pictures are found, what they become, and that no input is ever lost."""

import os
import pathlib

import numpy as np
import pytest
from helpers.encoded_pictures import noise
from PIL import Image

from cyclegan_tf.data import folders, images
from cyclegan_tf.data.folders import find, pictures_below, target_names, write_png
from cyclegan_tf.messages import UserError


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


def test_folders_are_searched_in_sorted_order(tmp_path):
    names = ["b.jpg", "z/c.gif", "a/y/d.bmp", "a/e.jpeg", "f.png", "A.JPG", "c.2.jpg"]
    source = make(tmp_path / "in", *names)
    assert list(found(source, tmp_path / "out" / "deep").items()) == [
        ("A.JPG", "A.png"),
        ("a/e.jpeg", "a/e.png"),
        ("a/y/d.bmp", "a/y/d.png"),
        ("b.jpg", "b.png"),
        ("c.2.jpg", "c.2.png"),
        ("f.png", "f.png"),
        ("z/c.gif", "z/c.png"),
    ]
    # Nothing is written yet.
    assert os.listdir(tmp_path) == ["in"]


def test_hidden_files_and_other_endings_and_folders_are_left_out(tmp_path):
    names = ["._a.jpg", ".thumbnails/a.jpg", "x/.y/a.jpg", "a.txt", "jpg", "a.heic"]
    # The folder itself may lie in a hidden one.
    source = make(tmp_path / ".cache/in", "a.jpg", "folder.jpg/b.txt", *names)
    # A broken link is a picture that can't be read.
    (source / "b.jpg").symlink_to("nowhere.jpg")
    (source / "c.txt").symlink_to("nowhere.txt")
    assert found(source, tmp_path / "out") == {"a.jpg": "a.png", "b.jpg": "b.png"}
    # A single file is taken whatever its name.
    for name in ("a.jpg", "a", "a.webp", ".a.jpg"):
        source = make(tmp_path / "one", name) / name
        target = tmp_path / "out" / pathlib.PurePath(name).with_suffix(".png")
        assert find(source, tmp_path / "out") == [(name, source, target)]


def test_endings_of_pictures_are_known_and_found(tmp_path):
    known = Image.registered_extensions()
    endings = {e for e, kind in known.items() if kind in (*images.FORMATS, "MPO")}
    assert endings <= set(images.ENDINGS)
    names = [f"a{ending}" for ending in sorted(images.ENDINGS)]
    assert list(pictures_below(make(tmp_path / "in", *names))) == names
    assert {".jfif", ".jpe", ".dib"} <= set(images.ENDINGS)


def test_linked_folders_are_followed_once_and_circles_are_named(tmp_path, capsys):
    root = make(tmp_path / "data/trainA", "z/a.jpg", ".hidden/b.jpg")
    far = make(tmp_path / "far", "c.jpg", "deep/d.jpg")
    make(tmp_path / "data/trainB", "e.jpg")
    for name, target in (
        ("far", far),
        ("hidden", root / ".hidden"),
        ("again", root / "z"),  # Found as z/a.jpg, as without the link.
        ("self", root),
        ("up", tmp_path / "data"),
        ("z/top", root),
    ):
        (root / name).symlink_to(target)
    (far / "deep/back").symlink_to(far)
    (far / "deep/home").symlink_to(root)
    names = ["far/c.jpg", "far/deep/d.jpg", "hidden/b.jpg", "z/a.jpg"]
    assert list(pictures_below(root, report=True)) == names
    assert "4 linked in a circle" in capsys.readouterr().err
    (tmp_path / "link").symlink_to(root)
    assert list(pictures_below(tmp_path / "link")) == names
    # Earlier translations are left out also behind a link.
    assert list(found(root, far / "deep")) == ["far/c.jpg", "hidden/b.jpg", "z/a.jpg"]


def test_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    root, scandir = make(tmp_path / "in", "a.jpg", "mine/b.jpg"), os.scandir

    def refuse(path):
        if str(path).endswith("mine"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="in/mine can't be read: Permission denied"):
        pictures_below(root)
    assert pictures_below(tmp_path / "missing") == {}


def test_input_that_is_missing_or_without_pictures_is_refused(tmp_path):
    make(tmp_path, "a.jpg")
    for name in ("missing", "missing.jpg", "a.jpg/b.jpg", "x" * 300):
        with pytest.raises(UserError, match=f"No such file or folder: .*{name[-9:]}"):
            find(tmp_path / name, tmp_path / "out")
    source = make(tmp_path / "in", *(f"a.{ending}" for ending in "bcdefghijk"))
    told = r"in has no picture .*\. Left out: (1 \.\w, ){7}1 \.\w and 2 more\.$"
    with pytest.raises(UserError, match=told):
        find(source, tmp_path / "out")


def test_output_inside_the_input_is_not_searched_and_above_it_hides_nothing(tmp_path):
    source = make(tmp_path / "in", "a.jpg", "out/a.png", "out/b/c.png", "out2/d.png")
    expected = {"a.jpg": "a.png", "out2/d.png": "out2/d.png"}
    assert found(source, source / "out") == expected
    assert found(source / "out2", tmp_path) == {"d.png": "d.png"}


def test_other_files_are_counted_by_ending(tmp_path, capsys):
    names = ["a.jpg", "b.webp", "c.TIFF", "x/d.tif"]
    make(tmp_path / "in", *names, ".hidden", "x/.DS_Store")
    assert list(pictures_below(tmp_path / "in", report=True)) == names
    assert capsys.readouterr().err == ""
    make(tmp_path / "in", "a.heic", "x/B.HEIC", "notes.txt", "LICENSE")
    assert list(pictures_below(tmp_path / "in")) == names
    assert capsys.readouterr().err == ""
    assert list(pictures_below(tmp_path / "in", report=True)) == names
    told = f"Left out of {tmp_path}/in, no pictures: "
    assert capsys.readouterr().err == f"{told}2 .heic, 1 without ending, 1 .txt.\n"
    # The error for no picture names them.
    make(tmp_path / "none", "a.txt")
    assert pictures_below(tmp_path / "none", report=True) == {}
    assert capsys.readouterr().err == ""


def test_names_get_longer_only_where_they_clash():
    for names, targets in (
        (["a.jpg", "b.png"], ["a.png", "b.png"]),
        (["a.jpg", "a.png", "b.jpg"], ["a.jpg.png", "a.png.png", "b.png"]),
        (["a/a.jpg", "b/a.jpg"], ["a/a.png", "b/a.png"]),
        # The longer name of the first is the plain one of the third.
        (["a.jpg", "a.gif", "a.jpg.bmp"], ["a.jpg.png", "a.gif.png", "a.jpg.bmp.png"]),
        (["A.jpg", "a.png"], ["A.jpg.png", "a.png.png"]),
        (["a.jpg", "a.JPG"], ["a.jpg.png", "a.JPG.png"]),
    ):
        assert target_names(names) == dict(zip(names, targets, strict=True))


# --- Never over an input


def test_input_is_not_written_over(tmp_path):
    for i, (names, written) in enumerate(
        (
            (["a.jpg", "b.png"], "b.png"),
            # a.jpg clashes with a.gif, and its longer name is that of an input.
            (["a.gif", "a.jpg", "a.jpg.png"], "a.jpg.png"),
        )
    ):
        source = make(tmp_path / str(i), *names)
        with pytest.raises(UserError, match=f"{written} is an input.*--output"):
            find(source, source)
    with pytest.raises(UserError, match=r"a\.jpg\.png is an input"):
        find(source / "a.jpg.png", make(source))
    (tmp_path / "link").symlink_to(source, target_is_directory=True)
    with pytest.raises(UserError, match=r"link/a\.jpg\.png is an input"):
        find(source, tmp_path / "link")
    for link in (os.symlink, os.link):
        output = make(tmp_path / f"by_{link.__name__}", "other")
        link(source / "a.gif", output / "a.jpg.png")
        with pytest.raises(UserError, match=r"link/a\.jpg\.png is an input"):
            find(source, output)


def test_other_files_of_the_output_may_be_replaced_but_not_folders(tmp_path):
    source = make(tmp_path / "in", "a.jpg", "sub/b.jpg")
    make(tmp_path / "out", "a.png")
    expected = {"a.jpg": "a.png", "sub/b.jpg": "sub/b.png"}
    assert found(source, tmp_path / "out") == found(source, source) == expected
    make(tmp_path / "other", "a.png/mine.txt")
    make(tmp_path / "third", "sub")
    for output, told in (
        ("other", r"other/a\.png is a folder"),
        ("out/a.png", r"out/a\.png is a file"),
        ("out/a.png/below/it", r"out/a\.png is a file"),
        ("third", "third/sub is a file"),
    ):
        with pytest.raises(UserError, match=told):
            find(source, tmp_path / output)


# --- Writing


def test_png_holds_the_pixels_in_new_folders(tmp_path):
    for name in (
        "b/a.png",
        "new/folders/a.png",
        "c/a.jpg.png",
        "d/" + "a" * 251 + ".png",
    ):
        path = tmp_path / name
        for _ in range(2):  # The second one replaces the first.
            write_png(noise(), path)
            with Image.open(path) as image:
                assert image.format == "PNG"
                np.testing.assert_array_equal(np.asarray(image), noise())
            assert os.listdir(path.parent) == [path.name]


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

    monkeypatch.setattr(folders.Image.Image, "save", save)
    with pytest.raises(expected or type(raised)) as told:
        write_png(noise(), make(tmp_path, "a.png") / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "a.png"
    if expected:
        assert f"{tmp_path}/a.png can't be written: No space" in str(told.value)
        with pytest.raises(UserError, match=r"a\.png/b\.png can't be written: "):
            write_png(noise(), tmp_path / "a.png/b.png")
