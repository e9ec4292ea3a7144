"""`import cyclegan_tf as cg`: what it offers, and that it does so at once."""

import ast
import pathlib
import pkgutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers.translations import assert_near, direct, picture

import cyclegan_tf as cg
from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.training.presets import PRESETS
from cyclegan_tf.training.run_directory import newest_checkpoint

ROOT = pathlib.Path(cg.__file__).parents[1]

# --- Names


def test_names_are_few_and_each_has_a_docstring():
    assert 6 <= len(cg.__all__) <= 8
    for name in cg.__all__:
        assert callable(getattr(cg, name)) and getattr(cg, name).__doc__, name
        assert name in dir(cg)
    # A module of the same name would take its place once it is loaded.
    modules = {module.name for module in pkgutil.iter_modules(cg.__path__)}
    assert not modules & set(cg.__all__)
    with pytest.raises(AttributeError, match="'tarin'"):
        _ = cg.tarin


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


def test_importing_loads_nothing_and_presets_need_no_tensorflow():
    code = (
        "import sys, cyclegan_tf as cg\n"
        "heavy = ('tensorflow', 'keras', 'numpy', 'absl', 'PIL', 'tqdm')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "print(cg.preset('demo').run_dir, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\nruns/demo False\n", "")


# --- Presets


def test_preset_takes_fields_of_ones_own_and_has_a_run_dir_of_its_data_set():
    for name, preset in PRESETS.items():
        config = cg.preset(name, run_dir="there", max_steps=7)
        expected = {"run_dir": "there", "max_steps": 7}
        assert config == preset.options(**{**preset.values, **expected}), name
    assert cg.preset("demo").run_dir == "runs/demo"
    assert cg.preset("unet", dataset="maps").run_dir == "runs/maps-unet"


def test_unknown_preset_and_field_are_refused():
    with pytest.raises(cg.UserError, match="`preset`.* horse2zebra, .*'huge'"):
        cg.preset("huge")
    with pytest.raises(TypeError, match="bach_size"):
        cg.preset("demo", bach_size=2)


# --- Training


@pytest.mark.usefixtures("few_shapes")
def test_train_works_in_another_thread_and_takes_the_data_sets_run_dir(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # A single step runs sooner than it is traced.
    eager = Trainer.train_step.python_function
    monkeypatch.setattr(Trainer, "train_step", eager)
    given = []
    thread = threading.Thread(target=lambda: given.append(cg.train(tiny(max_steps=1))))
    thread.start()
    thread.join()
    assert given == [pathlib.Path("runs/shapes")]
    assert newest_checkpoint("runs/shapes").endswith("step-1")


def test_train_refuses_the_run_of_another_configuration(tiny, run_of):
    run = run_of()
    with pytest.raises(cg.UserError, match=f"{run}.*seed: 0 .*3"):
        cg.train(tiny(run_dir=str(run), seed=3))


# --- Translating


@pytest.mark.stack
def test_run_translates_both_ways_pictures_and_batches(model):
    loaded = cg.load(model.config.run_dir)
    for direction, name in {"A2B": "generator_g", "B2A": "generator_f"}.items():
        made = loaded.translate(picture(33, 47), direction=direction)
        assert made.shape == (33, 47, 3) and made.dtype == np.uint8
        assert_near(made, direct(model.networks[name], picture(33, 47)))
    batch = np.stack([picture(16, 20, seed) for seed in range(2)])
    made = loaded.translate(batch)
    assert made.shape == batch.shape
    for pixels, one in zip(batch, made, strict=True):
        assert_near(loaded.translate(pixels), one)


@pytest.mark.stack
def test_export_gives_files_that_load(model, tmp_path, tried):
    rows = cg.export(
        model.config.run_dir,
        formats=("keras",),
        output=str(tmp_path),
        directions=("A2B",),
    )
    assert [row["kind"] for row in rows] == ["keras"]
    loaded = cg.load(tmp_path / rows[0]["path"])
    made = loaded.translate(picture(32, 32))
    assert_near(made, direct(model.generator_g, picture(32, 32)))
    with pytest.raises(cg.UserError, match="`direction`.*'B2A'"):
        loaded.translate(picture(32, 32), direction="B2A")
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(cg.UserError, match=str(path)):
            cg.load(path)


def test_what_are_no_pictures_is_refused(model):
    loaded = cg.load(model.config.run_dir)
    for shape, dtype in (
        ((8, 8), "uint8"),
        ((8, 8, 4), "uint8"),
        ((8, 8, 3), "float32"),
        ((1, 1, 8, 8, 3), "uint8"),
        ((0, 8, 8, 3), "uint8"),
    ):
        told = rf"`pictures`.*{dtype} \[{', '.join(map(str, shape))}\]"
        with pytest.raises(cg.UserError, match=told):
            loaded.translate(np.zeros(shape, dtype))
    with pytest.raises(cg.UserError, match="`direction`.*A2B, B2A.*'X'"):
        loaded.translate(picture(8, 8), direction="X")
