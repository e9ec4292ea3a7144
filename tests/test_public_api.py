"""`import cyclegan_tf as cg`: what it offers, and that it does so at once."""

import ast
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers.translations import assert_near, direct, picture

import cyclegan_tf as cg
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.run_directory import newest_checkpoint

ROOT = pathlib.Path(cg.__file__).parents[1]


def in_new_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- Names


def test_names_are_few_and_each_has_a_docstring():
    assert 6 <= len(cg.__all__) <= 8
    for name in cg.__all__:
        assert getattr(cg, name).__doc__, name
        assert name in dir(cg)


def test_type_checkers_see_what_python_loads():
    tree = ast.parse(pathlib.Path(cg.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("cyclegan_tf.")
        for node in guarded.body
        for alias in node.names
    }
    assert seen == cg._MODULES
    assert sorted(seen) == sorted(cg.__all__)


def test_importing_loads_nothing():
    heavy = "('tensorflow', 'keras', 'numpy', 'absl', 'PIL', 'tqdm')"
    code = f"import sys, cyclegan_tf; print([m for m in {heavy} if m in sys.modules])"
    assert in_new_python(code) == "[]\n"


def test_presets_need_no_tensorflow():
    code = (
        "import sys, cyclegan_tf as cg; print(cg.preset('demo').run_dir, "
        "'tensorflow' in sys.modules)"
    )
    assert in_new_python(code) == "runs/demo False\n"


def test_names_are_those_of_functions_even_after_their_modules_are_loaded():
    code = (
        "import cyclegan_tf as cg; import cyclegan_tf.exporting.request; "
        "import cyclegan_tf.training.checkpoints; import cyclegan_tf.commands.export; "
        "print(callable(cg.export), callable(cg.train), callable(cg.load))"
    )
    assert in_new_python(code) == "True True True\n"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = cg.tarin


# --- Presets


@pytest.mark.parametrize("name", PRESETS)
def test_preset_takes_fields_of_ones_own(name):
    config = cg.preset(name, run_dir="there", max_steps=7)
    expected = {**PRESETS[name].values, "run_dir": "there", "max_steps": 7}
    assert config == PRESETS[name].options(**expected)


def test_preset_on_another_data_set_has_a_run_dir_of_its_own():
    assert cg.preset("demo").run_dir == "runs/demo"
    assert cg.preset("unet", dataset="maps").run_dir == "runs/maps-unet"


def test_unknown_preset_and_field_are_refused():
    with pytest.raises(cg.UserError, match="`preset` must be one of horse2zebra, "):
        cg.preset("huge")
    with pytest.raises(TypeError, match="bach_size"):
        cg.preset("demo", bach_size=2)


# --- Training


@pytest.mark.usefixtures("few_shapes")
def test_train_works_in_another_thread_and_goes_on(tiny, tmp_path):
    config = tiny(run_dir=str(tmp_path / "run"), max_steps=2)
    given = []
    thread = threading.Thread(target=lambda: given.append(cg.train(config)))
    thread.start()
    thread.join()
    assert given == [tmp_path / "run"]
    assert newest_checkpoint(tmp_path / "run").endswith("step-2")


@pytest.mark.usefixtures("few_shapes")
def test_train_without_a_run_dir_takes_the_data_sets(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cg.train(tiny(max_steps=1)) == pathlib.Path("runs/shapes")
    assert newest_checkpoint("runs/shapes").endswith("step-1")


def test_train_refuses_the_run_of_another_configuration(tiny, run_of):
    run = run_of()
    with pytest.raises(cg.UserError, match="another configuration .*seed: 0 there, 3"):
        cg.train(tiny(run_dir=str(run), seed=3))


# --- Translating


@pytest.mark.parametrize(
    "direction, name", [("A2B", "generator_g"), ("B2A", "generator_f")]
)
def test_run_translates_both_ways(model, direction, name):
    loaded = cg.load(model.config.run_dir)
    made = loaded.translate(picture(33, 47), direction=direction)
    assert made.shape == (33, 47, 3) and made.dtype == np.uint8
    assert_near(made, direct(model.networks[name], picture(33, 47)))


def test_batch_is_translated_as_its_pictures_are(model):
    loaded = cg.load(model.config.run_dir)
    batch = np.stack([picture(16, 20, seed) for seed in range(2)])
    made = loaded.translate(batch)
    assert made.shape == batch.shape
    for pixels, one in zip(batch, made, strict=True):
        assert_near(loaded.translate(pixels), one)


def test_export_gives_files_that_load(model, tmp_path):
    options = {"directions": ("A2B",), "tflite_types": ("float32",)}
    rows = cg.export(
        model.config.run_dir, formats=("tflite",), output=str(tmp_path), **options
    )
    assert [row["kind"] for row in rows] == ["float32"]
    loaded = cg.load(tmp_path / rows[0]["path"])
    assert_near(
        loaded.translate(picture(32, 32)), direct(model.generator_g, picture(32, 32))
    )
    with pytest.raises(cg.UserError, match="`direction` is for a run"):
        loaded.translate(picture(32, 32), direction="B2A")


def test_what_is_no_model_is_refused_at_once(tmp_path):
    with pytest.raises(cg.UserError, match="No such model: .*nowhere"):
        cg.load(tmp_path / "nowhere")
    with pytest.raises(cg.UserError, match="holds no SavedModel"):
        cg.load(tmp_path)


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 1, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_what_are_no_pictures_is_refused(model, pictures):
    told = r"`pictures` must be uint8 \[height, width, 3\] or .* Received: "
    with pytest.raises(cg.UserError, match=told):
        cg.load(model.config.run_dir).translate(pictures)


def test_unknown_direction_is_refused(model):
    with pytest.raises(cg.UserError, match="`direction` must be one of A2B, B2A"):
        cg.load(model.config.run_dir).translate(picture(8, 8), direction="X")
