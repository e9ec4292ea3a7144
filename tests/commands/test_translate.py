"""`python -m cyclegan_tf translate`: from files to files, and every refusal."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.translations import assert_near, damage, direct, load, picture, save
from PIL import Image

from cyclegan_tf.commands import translate
from cyclegan_tf.commands.translate import in_batches, translate_files
from cyclegan_tf.data import images
from cyclegan_tf.data.picture_files import PictureFile, find
from cyclegan_tf.exporting.saved_model import write_saved_model
from cyclegan_tf.process import progress_bar
from cyclegan_tf.validation import UserError


def invert(pictures):
    """A translator whose results are easily told."""
    return 255 - pictures


def contents(folder: pathlib.Path) -> dict:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def refuses(run, tmp_path):
    """Expects a line of error, and files as they were."""

    def check(told, *args, **kwargs):
        before = contents(tmp_path)
        with pytest.raises(UserError, match=told) as error:
            run(*args, **kwargs)
        assert "\n" not in str(error.value)
        assert contents(tmp_path) == before

    return check


# --- From files to files


def test_folder_is_translated_file_by_file(run, model, tmp_path, capsys):
    sizes = {"a": (32, 32), "b_c": (33, 47), "b_d": (32, 32), "e": (1, 9), "f": (8, 8)}
    pictures = {n: picture(*size, seed=i) for i, (n, size) in enumerate(sizes.items())}
    save(tmp_path / "in", **{f"{name}__png": p for name, p in pictures.items()})
    before = contents(tmp_path / "in")
    run("--input=in", "--output=out/put")
    names = [name.replace("_", "/") for name in sizes]
    expected = {"b", *(f"{name}.png" for name in names)}
    assert contents(tmp_path / "out/put").keys() == expected
    for name, pixels in zip(names, pictures.values(), strict=True):
        made = load(tmp_path / f"out/put/{name}.png")
        assert_near(made, direct(model.generator_g, pixels))
    assert contents(tmp_path / "in") == before
    assert capsys.readouterr() == ("Translated 5 pictures to out/put\n", "")


def test_direction_b2a_takes_the_other_generator(run, model, tmp_path, capsys):
    save(tmp_path, a__bmp=picture(9, 13))
    run("--input=a.bmp", "--output=out", "--direction=B2A")
    made = load(tmp_path / "out/a.png")
    assert_near(made, direct(model.generator_f, picture(9, 13)))
    run("--input=a.bmp", "--output=out", "--direction=A2B")  # And replaces the file.
    made = load(tmp_path / "out/a.png")
    assert_near(made, direct(model.generator_g, picture(9, 13)))
    line = "Translated 1 picture to out\n"
    assert capsys.readouterr() == (2 * line, "")


def test_exported_model_needs_no_run(run, model, tmp_path):
    save(tmp_path, a__png=picture(9, 13))
    write_saved_model(model.generator_f, 4, tmp_path / "b2a" / "1", 10**6)
    run("--input=a.png", "--output=out", "--model=b2a", run_dir=None)
    made = load(tmp_path / "out/a.png")
    assert_near(made, direct(model.generator_f, picture(9, 13)))


def test_pictures_that_would_become_one_file_are_both_kept(run, model, tmp_path):
    one, other = picture(8, 8), picture(8, 8, seed=1)
    save(tmp_path / "in", a__png=one, a__bmp=other)
    run("--input=in", "--output=out")
    assert contents(tmp_path / "out").keys() == {"a.png.png", "a.bmp.png"}
    made = load(tmp_path / "out/a.png.png"), load(tmp_path / "out/a.bmp.png")
    assert_near(made[0], direct(model.generator_g, one))
    assert_near(made[1], direct(model.generator_g, other))


def test_home_is_expanded_in_every_path(run, model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path, a__png=picture(8, 8))
    (tmp_path / "run").symlink_to(model.config.run_dir)
    run("--input=~/a.png", "--output=~/out", run_dir="~/run")
    write_saved_model(model.generator_g, 4, tmp_path / "g", 10**6)
    run("--input=~/a.png", "--output=~/out2", "--model=~/g", run_dir=None)
    made = load(tmp_path / "out/a.png"), load(tmp_path / "out2/a.png")
    assert_near(made[0], direct(model.generator_g, picture(8, 8)))
    assert_near(made[1], direct(model.generator_g, picture(8, 8)))


def test_orientation_of_the_camera_is_applied(tmp_path):
    pixels = picture(16, 24)
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by a quarter.
    tmp_path.joinpath("in").mkdir()
    image = Image.fromarray(pixels)
    image.save(tmp_path / "in/a.png", exif=exif)
    image.rotate(-90, expand=True).save(tmp_path / "in/b.png")
    files = find(tmp_path / "in", tmp_path / "out")
    assert translate_files(files, invert, batch_size=4) == {}
    expected = 255 - np.rot90(pixels, -1)
    np.testing.assert_array_equal(load(tmp_path / "out/a.png"), expected)
    np.testing.assert_array_equal(load(tmp_path / "out/b.png"), expected)


# --- Options


def test_batches_hold_pictures_of_one_size_and_lose_none(tmp_path):
    sizes = [(8, 8), (8, 9), (8, 8), (9, 8), (8, 8), (8, 9), (8, 8), (8, 8)]
    pictures = {f"p{i}__png": picture(*s, seed=i) for i, s in enumerate(sizes)}
    files = find(save(tmp_path / "in", **pictures), tmp_path / "out")
    given = []

    def translator(batch):
        given.append(batch.shape)
        return invert(batch)

    assert translate_files(files, translator, batch_size=2) == {}
    shapes = {(2, 8, 8, 3): 2, (2, 8, 9, 3): 1, (1, 8, 8, 3): 1, (1, 9, 8, 3): 1}
    assert {shape: given.count(shape) for shape in given} == shapes
    for i, pixels in enumerate(pictures.values()):
        made = load(tmp_path / "out" / f"p{i}.png")
        np.testing.assert_array_equal(made, 255 - pixels)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_few_pictures_wait_in_memory_whatever_their_sizes(batch_size):
    taken = []

    def pictures():
        for i in range(100):
            taken.append(i)
            yield i, np.zeros((1, 1 + i, 3), np.uint8)

    given = []
    for batch in in_batches(pictures(), batch_size):
        given += [thing for thing, _ in batch]
        assert len(taken) - len(given) <= 4 * batch_size
    assert given == list(range(100))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_size_is_what_the_flag_says(run, tmp_path, monkeypatch, batch_size):
    pictures = {f"p{i}__png": picture(8, 8, seed=i) for i in range(3)}
    save(tmp_path / "in", **pictures)
    given = []
    monkeypatch.setattr(
        "cyclegan_tf.exporting.translators.of_run",
        lambda *_: lambda batch: given.append(len(batch)) or invert(batch),
    )
    run("--input=in", "--output=out", f"--batch_size={batch_size}")
    assert given == [batch_size] * (3 // batch_size)


def test_max_side_shrinks_longer_pictures_only(run, model, tmp_path):
    large, small = picture(60, 40), picture(20, 30)
    save(tmp_path / "in", large__png=large, small__png=small)
    run("--input=in", "--output=out", "--max_side=30")
    bicubic = Image.Resampling.BICUBIC
    shrunk = np.asarray(Image.fromarray(large).resize((20, 30), bicubic))
    made = load(tmp_path / "out/large.png"), load(tmp_path / "out/small.png")
    assert_near(made[0], direct(model.generator_g, shrunk))
    assert_near(made[1], direct(model.generator_g, small))


def test_compare_puts_the_picture_to_the_left(run, model, tmp_path):
    pixels = picture(9, 13)
    save(tmp_path, a__png=pixels)
    run("--input=a.png", "--output=out", "--compare")
    made = load(tmp_path / "out/a.png")
    assert made.shape == (9, 13 + 2 + 13, 3)
    np.testing.assert_array_equal(made[:, :13], pixels)
    assert (made[:, 13:15] == 255).all()
    assert_near(made[:, 15:], direct(model.generator_g, pixels))


def test_compare_shows_what_was_shrunk(tmp_path):
    files = find(save(tmp_path / "in", a__png=picture(20, 30)), tmp_path / "out")
    translate_files(files, invert, batch_size=1, max_side=15, compare=True)
    made = load(tmp_path / "out/a.png")
    assert made.shape == (10, 15 + 2 + 15, 3)
    np.testing.assert_array_equal(made[:, 17:], 255 - made[:, :15])


# --- Pictures that can't be read


def test_damaged_pictures_are_skipped_and_named(run, tmp_path, capsys):
    pictures = {f"p{i}__png": picture(8, 8, seed=i) for i in range(8)}
    save(tmp_path / "in", **pictures)
    damage(tmp_path / "in/p5.png")
    damage(tmp_path / "in/p2.png")
    run("--input=in", "--output=out")
    expected = {f"p{i}.png" for i in (0, 1, 3, 4, 6, 7)}
    assert contents(tmp_path / "out").keys() == expected
    assert capsys.readouterr() == (
        "Translated 6 pictures to out\n",
        "Skipped: 2 of 8 pictures can't be read: p2.png, p5.png.\n"
        "  p2.png: image file is truncated\n  p5.png: image file is truncated\n",
    )


def test_five_damaged_pictures_are_named_and_the_others_counted(run, tmp_path, capsys):
    pictures = {f"s_p{i}__png": picture(8, 8, seed=i) for i in range(9)}
    save(tmp_path / "in", **pictures)
    for i in range(7):
        damage(tmp_path / f"in/s/p{i}.png")
    run("--input=in", "--output=out")
    named = ", ".join(f"s/p{i}.png" for i in range(5))
    told = f"Skipped: 7 of 9 pictures can't be read: {named} and 2 more."
    captured = capsys.readouterr()
    line, *each = captured.err.splitlines()
    assert (captured.out, line) == ("Translated 2 pictures to out\n", told)
    assert [text.partition(":")[0] for text in each] == [
        f"  s/p{i}.png" for i in range(7)
    ]


def test_if_no_picture_can_be_read_nothing_is_written(refuses, tmp_path):
    save(tmp_path / "in", a__png=picture(8, 8), b__png=picture(8, 8))
    damage(tmp_path / "in/a.png")
    damage(tmp_path / "in/b.png")
    told = "^2 of 2 pictures can't be read: a.png, b.png. a.png: .* is truncated.$"
    refuses(told, "--input=in", "--output=out")
    (tmp_path / "in/c.txt").write_text("no picture")
    refuses(
        "^1 of 1 picture.* c.txt: cannot identify it",
        "--input=in/c.txt",
        "--output=out",
    )


# --- Refusals

BAD_FLAGS = {
    "input missing": ("--input must be given", ["--input="]),
    "output missing": ("--output must be given", ["--output="]),
    "run and model": ("Either --run_dir or --model must be given", ["--model=m"]),
    "direction": ("`direction` must be one of A2B, B2A.*'a2b'", ["--direction=a2b"]),
    "max_side": ("`max_side` must be at least 0. Received: -1.", ["--max_side=-1"]),
    "batch_size": ("`batch_size` must be at least 1.*: 0.", ["--batch_size=0"]),
}


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flags_are_refused(refuses, tmp_path, name):
    save(tmp_path / "in", a__png=picture(8, 8))
    told, args = BAD_FLAGS[name]
    refuses(told, "--input=in", "--output=out", *args)


def test_neither_run_nor_model_is_refused(refuses):
    told = "Either --run_dir or --model must be given"
    refuses(told, "--input=in", "--output=out", run_dir=None)


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_direction_of_a_model_is_refused(refuses, direction):
    args = ["--input=in", "--output=out", "--model=m", f"--direction={direction}"]
    refuses("--direction is for --run_dir; a model has one", *args, run_dir=None)


def test_missing_or_wrong_paths_are_refused(refuses, tmp_path):
    save(tmp_path / "in", a__png=picture(8, 8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "bad.tflite").write_bytes(b"x" * 100)
    refuses("No such file or folder: no", "--input=no", "--output=out")
    refuses("empty has no picture", "--input=empty", "--output=out")
    refuses("file is a file; a folder", "--input=in", "--output=file")
    refuses(r"in/a\.png is an input", "--input=in", "--output=in")
    args = "--input=in", "--output=out"
    refuses("No configuration at no/config.json", *args, run_dir="no")
    refuses("No such model: no", *args, "--model=no", run_dir=None)
    refuses("is no TFLite file", *args, "--model=bad.tflite", run_dir=None)
    refuses("empty holds no SavedModel", *args, "--model=empty", run_dir=None)


@pytest.mark.parametrize(
    "raised",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore"),
        RuntimeError("OOM when allocating"),
        ValueError("OOM when allocating"),
    ],
)
def test_model_that_fails_is_told_with_picture_and_size(tmp_path, raised):
    pictures = {"a__png": picture(8, 9), "b__png": picture(8, 9)}
    files = find(save(tmp_path / "in", **pictures), tmp_path / "out")

    def translator(batch):
        raise raised

    with pytest.raises(UserError) as told:
        translate_files(files, translator, batch_size=4)
    assert str(told.value) == (
        "a.png can't be translated at 9x8 pixels in a batch of 2 (see --max_side, "
        "--batch_size): OOM when allocating"
    )
    assert not (tmp_path / "out").exists()


def test_model_that_changes_the_size_is_refused(tmp_path):
    files = find(save(tmp_path / "in", a__png=picture(8, 9)), tmp_path / "out")
    with pytest.raises(UserError, match=r"another size than that of a\.png"):
        translate_files(files, lambda batch: batch[:, :-1], batch_size=1)
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    files = find(save(tmp_path / "in", a__png=picture(8, 9)), tmp_path / "out")

    def mkdir(path, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "mkdir", mkdir)
    with pytest.raises(UserError, match=r"out/a\.png can't be written: Permission"):
        translate_files(files, invert, batch_size=1)


# --- Progress


def test_bar_counts_pictures_whether_read_or_not(tmp_path, monkeypatch):
    bars = []

    def recorded(**options):
        bars.append(progress_bar(**options, file=open(os.devnull, "w")))
        return bars[-1]

    monkeypatch.setattr(translate, "progress_bar", recorded)
    pictures = {f"p{i}__png": picture(8, 8 + i % 2) for i in range(5)}
    files = find(save(tmp_path / "in", **pictures), tmp_path / "out")
    damage(tmp_path / "in/p1.png")
    missing = PictureFile("gone", tmp_path / "gone.png", tmp_path / "out/gone.png")
    reasons = translate_files([*files, missing], invert, batch_size=2)
    assert list(reasons) == ["p1.png", "gone"]
    assert reasons["gone"] == "No such file or directory"
    assert [(bar.n, bar.total, bar.unit) for bar in bars] == [(6, 6, "picture")]


def test_pictures_are_read_as_they_are_needed(tmp_path, monkeypatch):
    pictures = {f"p{i}__png": picture(8, 8, seed=i) for i in range(6)}
    files = find(save(tmp_path / "in", **pictures), tmp_path / "out")
    events = []
    decode = images.decode

    def recorded(path):
        events.append("read")
        return decode(path)

    monkeypatch.setattr(images, "decode", recorded)
    translate_files(
        files, lambda b: events.append("translate") or invert(b), batch_size=2
    )
    assert events == 3 * ["read", "read", "translate"]
