"""`python -m cyclegan_tf translate`: from files to files, and every refusal."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import (
    assert_refused,
    file_names,
    files,
    nothing_changes,
    program,
    untrained_run,
)
from helpers.translations import assert_near, damage, direct, load, picture, save
from PIL import Image

from cyclegan_tf.commands import translate
from cyclegan_tf.commands.translate import in_batches, translate_files
from cyclegan_tf.data import images
from cyclegan_tf.data.folders import PictureFile, find
from cyclegan_tf.deploy import load as loading
from cyclegan_tf.deploy.conversion import portable_generator
from cyclegan_tf.deploy.exportables import open_run
from cyclegan_tf.messages import UserError, progress_bar
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import check_run, save_config


def invert(pictures):
    """A translator whose results are easily told."""
    return 255 - pictures


@pytest.fixture
def inverted(monkeypatch):
    """Runs and models invert; gives what was loaded, and the sizes of batches."""
    loaded, batches = [], []

    def load_instead(path, *_):
        loaded.append(path)
        return lambda batch: batches.append(len(batch)) or invert(batch)

    monkeypatch.setattr(loading, "of_run", load_instead)
    monkeypatch.setattr(loading, "of_model", load_instead)
    return loaded, batches


@pytest.fixture
def refuses(run, tmp_path):
    """Expects a line of error, and files as they were."""

    def check(told, *args, **kwargs):
        with nothing_changes(tmp_path), pytest.raises(UserError, match=told) as error:
            run(*args, **kwargs)
        assert "\n" not in str(error.value)

    return check


# --- From files to files


@pytest.mark.stack
def test_folder_is_translated_file_by_file(run, model, tmp_path, capsys):
    sizes = {"a": (32, 32), "b_c": (33, 47), "b_d": (32, 32), "e": (1, 9), "f": (8, 8)}
    pictures = {n: picture(*size, seed=i) for i, (n, size) in enumerate(sizes.items())}
    save(tmp_path / "in", **{f"{name}__png": p for name, p in pictures.items()})
    with nothing_changes(tmp_path / "in"):
        run("--input=in", "--output=out/put")
    names = [name.replace("_", "/") for name in sizes]
    assert files(tmp_path / "out/put").keys() == {"b", *(f"{n}.png" for n in names)}
    for name, pixels in zip(names, pictures.values(), strict=True):
        made = load(tmp_path / f"out/put/{name}.png")
        assert_near(made, direct(model.generator_g, pixels))
    assert capsys.readouterr() == ("Translated 5 pictures to out/put\n", "")


@pytest.mark.stack
def test_direction_and_model_choose_the_generator(run, model, tmp_path, capsys):
    save(tmp_path, a__bmp=picture(9, 13))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_text("of an earlier run")
    run("--input=a.bmp", "--output=out", "--direction=B2A")
    portable_generator(model.generator_f).save(tmp_path / "b2a.keras")
    run("--input=a.bmp", "--output=out2", "--model=b2a.keras", run_dir=None)
    for folder in ("out", "out2"):
        made = load(tmp_path / folder / "a.png")
        assert_near(made, direct(model.generator_f, picture(9, 13)))
    lines = [f"Translated 1 picture to {folder}\n" for folder in ("out", "out2")]
    assert capsys.readouterr() == ("".join(lines), "")


@pytest.mark.stack
def test_pix2pix_run_is_translated_in_its_direction(run, tmp_path, refuses, capsys):
    options = dataclasses.replace(
        preset("shapes_pix2pix", run_dir=str(tmp_path / "pairs")),
        direction="b_to_a",
        **{"image_size": 16, "load_size": 18, "num_downs": 4, "num_filters": 2},
        **{"discriminator_filters": 2, "discriminator_layers": 1},
    )
    untrained_run(options, factor=2.0)
    save(tmp_path, a__png=picture(21, 16))
    run("--input=a.png", "--output=out", run_dir="pairs")
    checkpoint = check_run(tmp_path / "pairs")
    generator = open_run(tmp_path / "pairs").load("generator", checkpoint)
    assert_near(load(tmp_path / "out/a.png"), direct(generator, picture(21, 16), 16))
    args = "--input=a.png", "--output=out2", "--direction=A2B"
    refuses("`direction`.* B2A.*'A2B'", *args, run_dir="pairs")
    save_config(preset("digits_dcgan", run_dir=str(tmp_path / "pairs")))
    refuses("`dcgan`.*no pictures", *args[:2], run_dir="pairs")


def test_home_is_expanded_in_every_path(inverted, run, model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path, a__png=picture(8, 8))
    (tmp_path / "run").symlink_to(model.config.run_dir)
    run("--input=~/a.png", "--output=~/out", run_dir="~/run")
    run("--input=~/a.png", "--output=~/out2", "--model=~/g", run_dir=None)
    assert inverted[0] == [tmp_path / "run", tmp_path / "g"]
    assert (tmp_path / "out/a.png").is_file() and (tmp_path / "out2/a.png").is_file()


# --- Options


def test_batches_hold_pictures_of_one_size_read_as_they_are_needed(
    tmp_path, monkeypatch
):
    sizes = [(8, 8), (8, 9), (8, 8), (9, 8), (8, 8), (8, 9), (8, 8), (8, 8)]
    pictures = {f"p{i}__png": picture(*s, seed=i) for i, s in enumerate(sizes)}
    found = find(save(tmp_path / "in", **pictures), tmp_path / "out")
    events, read = [], images.read
    monkeypatch.setattr(images, "read", lambda p: events.append("read") or read(p))

    def translator(batch):
        events.append(batch.shape)
        return invert(batch)

    assert translate_files(found, translator, batch_size=2) == {}
    three, of_two = ["read"] * 3, (2, 8, 8, 3)
    assert events == [*three, of_two, *three, (2, 8, 9, 3)] + [
        *("read", of_two, "read", (1, 9, 8, 3), (1, 8, 8, 3))
    ]
    for i, pixels in enumerate(pictures.values()):
        made = load(tmp_path / "out" / f"p{i}.png")
        np.testing.assert_array_equal(made, invert(pixels))


def test_few_pictures_wait_in_memory_whatever_their_sizes():
    taken, given = [], []

    def pictures():
        for i in range(100):
            taken.append(i)
            yield i, np.zeros((1, 1 + i, 3), np.uint8)

    for batch_size in (1, 2, 4):
        taken.clear(), given.clear()
        for batch in in_batches(pictures(), batch_size):
            given += [thing for thing, _ in batch]
            assert len(taken) - len(given) <= 4 * batch_size
        assert given == list(range(100))


def test_flags_set_the_batch_the_largest_side_and_the_comparison(
    inverted, run, tmp_path
):
    shapes = {"large": (60, 40), "p0": (20, 30), "p1": (20, 30), "p2": (20, 30)}
    pictures = {name: picture(*shape) for name, shape in shapes.items()}
    save(tmp_path / "in", **{f"{name}__png": p for name, p in pictures.items()})
    args = "--input=in", "--output=out", "--max_side=30"
    run(*args, "--batch_size=3")
    assert sorted(inverted[1]) == [1, 3]
    small = Image.fromarray(pictures["large"]).resize((20, 30), Image.BICUBIC)
    expected = {**pictures, "large": np.asarray(small)}
    for name, pixels in expected.items():
        made = load(tmp_path / f"out/{name}.png")
        np.testing.assert_array_equal(made, invert(pixels))
    run(*args, "--batch_size=1", "--compare")
    assert inverted[1][2:] == [1] * 4
    for name, pixels in expected.items():
        width = pixels.shape[1]
        made = load(tmp_path / f"out/{name}.png")
        assert made.shape == (len(pixels), width + 2 + width, 3)
        np.testing.assert_array_equal(made[:, :width], pixels)
        assert (made[:, width : width + 2] == 255).all()
        np.testing.assert_array_equal(made[:, width + 2 :], invert(pixels))


# --- Pictures that can't be read


def test_damaged_pictures_are_skipped_and_named(inverted, run, tmp_path, capsys):
    save(tmp_path / "in", **{f"s_p{i}__png": picture(8, 8, seed=i) for i in range(9)})
    for i in range(6):
        damage(tmp_path / f"in/s/p{i}.png")
    (tmp_path / "in/s/p6.png").unlink()
    (tmp_path / "in/s/p6.png").symlink_to("nowhere")
    (tmp_path / "in/c.heic").touch()
    run("--input=in", "--output=out")
    assert file_names(tmp_path / "out") == {"s/p7.png", "s/p8.png"}
    captured = capsys.readouterr()
    assert captured.out == "Translated 2 pictures to out\n"
    left_out, line, *each = captured.err.splitlines()
    assert "in" in left_out and "1 .heic" in left_out
    named = ", ".join(f"s/p{i}.png" for i in range(5))
    assert "7 of 9 pictures" in line and f"{named} and 2 more" in line
    names = [text.partition(": ")[0].strip() for text in each]
    assert names == [f"s/p{i}.png" for i in range(7)]
    assert "truncated" in each[0] and "No such file" in each[6]


def test_if_no_picture_can_be_read_nothing_is_written(inverted, refuses, tmp_path):
    save(tmp_path / "in", a__png=picture(8, 8), b__png=picture(8, 8))
    damage(tmp_path / "in/a.png")
    damage(tmp_path / "in/b.png")
    told = "2 of 2 .* a.png, b.png. a.png: .*truncated"
    refuses(told, "--input=in", "--output=out")
    (tmp_path / "in/c.txt").write_text("no picture")
    refuses("1 of 1 .* c.txt: ", "--input=in/c.txt", "--output=out")


def test_further_frames_are_counted_and_the_first_is_translated(
    inverted, run, tmp_path, capfd
):
    frames = [Image.fromarray(picture(16, 24, seed=seed)) for seed in range(2)]
    further = {"save_all": True, "append_images": frames[1:]}
    several = {"a.gif": {}, "b.tiff": {}, "c.webp": {"lossless": True}, "d.apng": {}}
    single = {"e.png": {}, "f.jfif": {"format": "JPEG"}, "g.mpo": further}
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").touch()
    for name, options in {**several, **single}.items():
        options = {**options, **(further if name in several else {})}
        frames[0].save(tmp_path / "in" / name, **options)
    run("--input=in", "--output=out")
    captured = capfd.readouterr()
    assert captured.out == "Translated 7 pictures to out\n"
    left_out, line = captured.err.splitlines()
    assert "1 .txt" in left_out
    assert "4 pictures" in line and "frames" in line
    first = invert(np.asarray(frames[0]))
    for name in ("b", "c", "d", "e"):
        np.testing.assert_array_equal(load(tmp_path / f"out/{name}.png"), first)
    for name in ("a", "f", "g"):  # A palette, and JPEG.
        made = load(tmp_path / f"out/{name}.png").astype(int)
        assert np.abs(made - first).mean() < 12


# --- Refusals

# Flags, with what the error must name and whether a run is named besides.
BAD_FLAGS = [
    ("--input must", ["--input="], True),
    ("--output must", ["--output="], True),
    ("--run_dir or --model", ["--model=m"], True),
    ("--run_dir or --model", [], False),
    ("--direction is for --run_dir", ["--model=m", "--direction=A2B"], False),
    ("--direction is for --run_dir", ["--model=m", "--direction=B2A"], False),
    ("`direction`.*'a2b'", ["--direction=a2b"], True),
    ("`max_side`.* 0.* -1", ["--max_side=-1"], True),
    ("`batch_size`.* 1.* 0", ["--batch_size=0"], True),
]


def test_bad_flags_are_refused(refuses, tmp_path):
    save(tmp_path / "in", a__png=picture(8, 8))
    for told, args, of_run in BAD_FLAGS:
        run_dir = {} if of_run else {"run_dir": None}
        refuses(told, "--input=in", "--output=out", *args, **run_dir)


def test_missing_or_wrong_paths_are_refused(refuses, tmp_path):
    save(tmp_path / "in", a__png=picture(8, 8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "bad.tflite").write_bytes(b"x" * 100)
    refuses(": no[.]", "--input=no", "--output=out")
    refuses("^empty ", "--input=empty", "--output=out")
    refuses("^file ", "--input=in", "--output=file")
    refuses(r"in/a\.png", "--input=in", "--output=in")
    args = "--input=in", "--output=out"
    refuses("no/config.json", *args, run_dir="no")
    refuses(": no[.]", *args, "--model=no", run_dir=None)
    refuses("bad.tflite ", *args, "--model=bad.tflite", run_dir=None)
    refuses("^empty ", *args, "--model=empty", run_dir=None)


def test_model_that_fails_or_changes_the_size_is_told_with_the_picture(tmp_path):
    pictures = {"a__png": picture(8, 9), "b__png": picture(8, 9)}
    found = find(save(tmp_path / "in", **pictures), tmp_path / "out")
    message = "OOM when allocating\nmore"
    for error in (
        tf.errors.ResourceExhaustedError(None, None, message),
        RuntimeError(message),
        ValueError(message),
    ):

        def translator(batch, error=error):
            raise error

        with pytest.raises(UserError, match=r"a\.png .*9x8.* 2 .*allocating$"):
            translate_files(found, translator, batch_size=4)
    with pytest.raises(UserError, match=r"a\.png"):
        translate_files(found, lambda batch: batch[:, :-1], batch_size=1)
    assert not (tmp_path / "out").exists()


# --- Progress


def test_bar_counts_pictures_whether_read_or_not(tmp_path, monkeypatch):
    bars = []

    def recorded(**options):
        bars.append(progress_bar(**options, file=open(os.devnull, "w")))
        return bars[-1]

    monkeypatch.setattr(translate, "progress_bar", recorded)
    pictures = {f"p{i}__png": picture(8, 8 + i % 2) for i in range(5)}
    found = find(save(tmp_path / "in", **pictures), tmp_path / "out")
    damage(tmp_path / "in/p1.png")
    missing = PictureFile("gone", tmp_path / "gone.png", tmp_path / "out/gone.png")
    reasons = translate_files([*found, missing], invert, batch_size=2)
    assert list(reasons) == ["p1.png", "gone"]
    assert reasons["gone"] == "No such file or directory"
    assert [(bar.n, bar.total, bar.unit) for bar in bars] == [(6, 6, "picture")]


# --- As a program

COMMAND = "-m", "cyclegan_tf", "translate", "--input=in", "--output=out"


def test_mistakes_are_one_line_without_tensorflow(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.heic", "b.png"):
        (tmp_path / "in" / name).write_bytes(b"no picture")
    for run_dir, told in {"": "--run_dir or --model", "no": "no/config.json"}.items():
        command = *COMMAND, f"--run_dir={run_dir}"
        result = program(tmp_path, *command, without=("tensorflow", "keras"))
        assert_refused(result, told)
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.slow
def test_program_translates_and_says_so(model, tmp_path):
    save(tmp_path / "in", a__png=picture(33, 47), b__png=picture(8, 8))
    damage(tmp_path / "in/b.png")
    result = program(tmp_path, *COMMAND, f"--run_dir={model.config.run_dir}")
    assert (result.returncode, result.stdout) == (0, "Translated 1 picture to out\n")
    line, reason = result.stderr.splitlines()
    assert "1 of 2 pictures" in line and reason.startswith("  b.png: ")
    made = load(tmp_path / "out/a.png")
    assert_near(made, direct(model.generator_g, picture(33, 47)))
