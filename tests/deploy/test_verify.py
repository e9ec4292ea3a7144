"""Exported files against hand-worked references, and their problems.

They run in this process; the last tests start a fresh one, or a stub.
"""

import math
import pathlib
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import SIGNATURES, files, run_here

from cyclegan_tf.core.generators import GENERATORS
from cyclegan_tf.deploy import model_card, verify
from cyclegan_tf.messages import UserError

pytestmark = pytest.mark.stack

SIZE = (6, 8)

TOLERANCES = {k: v for k, v in verify.TOLERANCES.items() if k != "generate"}

FILES = {signature: f"same:{signature}" for signature in SIGNATURES}
FILES |= {
    "keras": "same.keras",
    **dict.fromkeys(model_card.TFLITE_KINDS, "same.tflite"),
}


# --- Files that give their input back, or something bad


def write_tflite(path, function, size=(None, None)):
    spec = tf.TensorSpec([1, *size, 3], tf.float32, name="image")
    traced = tf.function(function, input_signature=[spec], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [traced.get_concrete_function()]
    )
    path.write_bytes(converter.convert())


def write_saved_model(path):
    def same(name, shape, dtype):
        spec = tf.TensorSpec(shape, dtype, name=name)
        return tf.function(lambda x: {name: tf.identity(x)}, input_signature=[spec])

    pixels = [None, None, None, 3]
    signatures = {
        "translate_float": same("images", pixels, tf.float32),
        "translate": same("images", pixels, tf.uint8),
        "serving_default": same("image_bytes", [None], tf.string),
    }
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def with_last(function):
    """Gives its input, but the last value of the last pixel."""
    here = np.zeros((1, *SIZE, 3), bool)
    here[0, -1, -1, -1] = True
    return lambda image: tf.where(here, function(image), image)


# --- References


def reference(number, size, difference):
    """Pictures, and outputs: columns by turns half `difference` below, or it above."""
    random = np.random.default_rng(number)
    pictures = random.integers(0, 256, (number, *size, 3), dtype=np.uint8)
    columns = np.where(np.arange(size[1]) % 2, 1, -0.5)[:, np.newaxis]
    outputs = pictures.astype(np.float32) / np.float32(127.5) - np.float32(1)
    outputs = (outputs + difference * columns).astype(np.float32)
    return {"pictures": pictures}, outputs


# Just below and just above the bar of each kind.
OFFSETS = {
    (kind, part): part * bar
    for kind, bar in TOLERANCES.items()
    for part in (0.99, 1.01)
}


def make_references():
    references = {
        "same": reference(2, SIZE, 0.0),
        "small": reference(1, (5, 4), 0.015),
        "half": reference(2, SIZE, 0.5),
        "level": reference(1, SIZE, 2 / 255),
    }
    for (kind, part), offset in OFFSETS.items():
        references[f"{kind} {part}"] = reference(1, SIZE, offset)
    inputs, outputs = references["same"]
    references["grey"] = inputs, np.full(outputs.shape, 0.25, np.float32)
    return references


def row(path, kind, *pictures):
    return {"path": path, "kind": kind, "pictures": list(pictures), "direction": "A2B"}


PLAN = {
    **{f"exact {kind}": row(FILES[kind], kind, "same") for kind in FILES},
    **{
        f"{kind} {part} of bar": row(FILES[kind], kind, f"{kind} {part}")
        for kind, part in OFFSETS
    },
    "two references": row("same.tflite", "float16", "same", "small"),
    "integers": row("same.tflite", "int8", "half"),
    "too far": {**row("same.tflite", "int8", "half"), "min_psnr": 15.0},
    "near enough": {**row("same.tflite", "int8", "half"), "min_psnr": 14.0},
    "one level": row("same:translate", "translate", "level"),
    "nan": row("nan.tflite", "int8", "same"),
    "infinite": row("infinite.tflite", "float32", "same"),
    "flat": row("grey.tflite", "dynamic_int8", "same"),
    "flat and far": row("grey.tflite", "float32", "same"),
    "rightly flat": row("grey.tflite", "float32", "grey"),
    "flat red": row("red.tflite", "int8", "same"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    layers = [keras.Input((None, None, 3)), keras.layers.Rescaling(1.0)]
    keras.Sequential(layers).save(folder / "same.keras")
    write_saved_model(folder / "same")
    # An op is needed: TFLite has no graph without any.
    write_tflite(folder / "same.tflite", lambda image: tf.maximum(image, -1.0))
    write_tflite(folder / "nan.tflite", with_last(lambda image: image * np.nan), SIZE)
    too_large = with_last(lambda image: tf.exp(image + 1000))
    write_tflite(folder / "infinite.tflite", too_large, SIZE)
    for name, colour in {"grey": [0.25] * 3, "red": [0.9, -0.9, -0.9]}.items():
        write_tflite(folder / f"{name}.tflite", lambda image, c=colour: image * 0.0 + c)
    return folder


@pytest.fixture(scope="module")
def verified(folder):
    """The rows of `PLAN` by name, and the folder's contents before."""
    before = files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "run_process", run_here)
        with np.errstate(all="ignore"):  # Some values are not finite.
            rows = verify.verify(list(PLAN.values()), make_references(), folder)
    return dict(zip(PLAN, rows, strict=True)), before


# --- Numbers


def test_rows_keep_what_the_plan_says_and_the_folder_is_left(verified, folder):
    rows, before = verified
    assert files(folder) == before
    for name, planned in PLAN.items():
        assert rows[name].items() >= planned.items()
        assert rows[name].keys() - planned.keys() == {
            "bytes",
            "max_error",
            "mean_error",
            "psnr",
            "milliseconds",
            "problem",
        }
        assert 0 < rows[name]["milliseconds"] < 60_000


def test_file_that_gives_the_same_is_exact(verified):
    for kind in FILES:
        found = verified[0][f"exact {kind}"]
        assert (found["max_error"], found["mean_error"]) == (0.0, 0.0), kind
        assert (found["psnr"], found["problem"]) == (None, None)


# Of errors d in half of the values and d / 2 in the others.
MEAN, MEAN_SQUARE = 0.75, 0.625


def test_errors_are_those_of_a_known_difference(verified):
    found = verified[0]["integers"]
    assert found["max_error"] == pytest.approx(0.5, abs=1e-6)
    assert found["mean_error"] == pytest.approx(MEAN * 0.5, abs=1e-6)
    psnr = 20 * math.log10(2 / 0.5) - 10 * math.log10(MEAN_SQUARE)
    assert found["psnr"] == pytest.approx(psnr, abs=1e-4)


def test_errors_are_over_the_values_of_all_references(verified):
    found = verified[0]["two references"]
    # 2 pictures of 6x8 without an error, one of 5x4 with errors up to 0.015.
    part = 5 * 4 / (2 * 6 * 8 + 5 * 4)
    assert found["max_error"] == pytest.approx(0.015, abs=1e-6)
    assert found["mean_error"] == pytest.approx(MEAN * 0.015 * part, rel=1e-4)
    psnr = 20 * math.log10(2 / 0.015) - 10 * math.log10(MEAN_SQUARE * part)
    assert found["psnr"] == pytest.approx(psnr, abs=1e-3)
    assert found["problem"] is None


def test_bytes_are_those_of_the_file_or_of_all_files_of_a_saved_model(verified, folder):
    rows, _ = verified
    assert rows["exact keras"]["bytes"] == (folder / "same.keras").stat().st_size
    assert rows["exact int8"]["bytes"] == (folder / "same.tflite").stat().st_size
    inside = [path for path in (folder / "same").rglob("*") if path.is_file()]
    assert len(inside) > 1
    size = sum(path.stat().st_size for path in inside)
    assert rows["exact translate"]["bytes"] == size


# --- Judgement


def test_error_below_the_bar_passes_and_above_it_does_not(verified):
    rows, _ = verified
    for kind, bar in TOLERANCES.items():
        below, above = (rows[f"{kind} {part} of bar"] for part in (0.99, 1.01))
        assert below["max_error"] == pytest.approx(0.99 * bar, rel=0.003)
        assert below["problem"] is None, kind
        assert f"{1.01 * bar:.2g}" in above["problem"], kind


def test_every_kind_has_a_bar_or_is_of_integers(verified):
    assert {*TOLERANCES, *model_card.INTEGER_KINDS} == FILES.keys()
    assert verified[0]["integers"]["problem"] is None
    for kind in ("translate_float", "keras", "float32"):
        assert TOLERANCES[kind] == 1e-4
    # Half precision has 11 bits; of bytes rounding costs half a level at most.
    assert TOLERANCES["float16"] == 0.02
    for kind in ("translate", "serving_default"):
        assert 1 / 255 < TOLERANCES[kind] < 1.1 / 255
    assert verified[0]["one level"]["max_error"] == pytest.approx(2 / 255, abs=1e-6)
    assert "0.0078" in verified[0]["one level"]["problem"]


def test_psnr_below_the_least_fails(verified):
    assert "14.1 dB, less than 15" in verified[0]["too far"]["problem"]
    assert verified[0]["near enough"]["problem"] is None


def test_one_value_that_is_not_finite_fails_any_kind(verified):
    for name in ("nan", "infinite"):
        found = verified[0][name]
        assert "finite" in found["problem"]
        assert (found["max_error"], found["psnr"]) == (2.0, 0.0)


def test_flat_output_fails_unless_the_generator_gives_the_same(verified):
    for name in ("flat", "flat and far", "flat red"):
        assert "flat" in verified[0][name]["problem"], name
    found = verified[0]["rightly flat"]
    assert (found["problem"], found["psnr"]) == (None, None)


# --- Files that can't be run, and the process


def test_file_that_does_not_run_is_told_in_one_line(folder, tiny, monkeypatch):
    monkeypatch.setattr(verify, "run_process", run_here)
    write_tflite(folder / "cut.tflite", lambda image: image[:, 1:] * 1.0)
    # It leans on layers of ours, that a loader does not know.
    GENERATORS["resnet"](tiny(), "generator_g").save(folder / "ours.keras")
    for planned, told in (
        (row("cut.tflite", "int8", "same"), r"cut\.tflite .*\(5, 8, 3\).*\(6, 8, 3\)"),
        (row("ours.keras", "keras", "same"), r"ours\.keras "),
    ):
        with pytest.raises(UserError, match=told) as error:
            verify.verify([planned], {"same": reference(1, SIZE, 0.0)}, folder)
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_fresh_process_knows_no_layer_of_ours(folder, tiny):
    GENERATORS["resnet"](tiny(), "generator_g").save(folder / "ours.keras")
    planned = row("ours.keras", "keras", "same")
    with pytest.raises(UserError, match=r"ours\.keras ") as error:
        verify.verify([planned], {"same": reference(1, SIZE, 0.0)}, folder)
    assert "\n" not in str(error.value)


def test_process_works_on_the_cpu_and_its_last_line_is_told(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    ends = {
        "last words": (1, "a page\nlast words\n"),
        "exit status -9": (-9, "\n"),
        "exit status 0": (0, ""),
    }
    for told, (status, stderr) in ends.items():

        def run(command, ended=(status, None, stderr), **options):
            assert command[-1] == str(tmp_path / "here")
            assert options["env"]["CUDA_VISIBLE_DEVICES"] == ""
            return subprocess.CompletedProcess(command, *ended)

        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(UserError, match=f"{told}$"):
            verify.run_process(pathlib.Path("here"))
