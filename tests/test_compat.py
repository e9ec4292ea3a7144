"""Both stacks compute the same, and read what the other wrote (tests/stored)."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers import stack_samples as samples

import cyclegan_tf as cg
from cyclegan_tf.core.layers import InstanceNormalization
from cyclegan_tf.core.state import State
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.run_directory import load_config

ROOT = pathlib.Path(__file__).parents[1]
# The long run of the tests on the current stack, the usual one on that of addons.
pytestmark = [pytest.mark.stack]
LONG = pytest.mark.slow if samples.this_stack() == "current" else pytest.mark.stack
IN_BOTH = pytest.mark.parametrize("stack", samples.STACKS)
# What this stack wrote itself is read in the long run of the tests.
OTHERS = pytest.mark.parametrize(
    "stack",
    [
        pytest.param(s, marks=pytest.mark.slow if s == samples.this_stack() else ())
        for s in samples.STACKS
    ],
)
RECIPES = pytest.mark.parametrize("recipe", samples.RECIPES)


@pytest.fixture
def run(stack, recipe, tmp_path):
    """A copy of the run that a stack wrote."""
    shutil.copytree(samples.STORED / stack / recipe, tmp_path / "run")
    return tmp_path / "run"


def stored_losses(stack: str, kind: str, recipe: str):
    path = samples.STORED / stack / "losses.json"
    return json.loads(path.read_text())[kind][recipe]


def apart(ours: list[dict], theirs: list[dict]) -> float:
    """The largest difference of a loss, relative to it."""
    assert [row.keys() for row in ours] == [row.keys() for row in theirs]
    return max(
        abs(row[name] - value) / abs(value or 1)
        for row, other in zip(ours, theirs, strict=True)
        for name, value in other.items()
    )


@IN_BOTH
def test_instance_norm_gives_what_the_stack_gave(stack):
    with np.load(samples.STORED / stack / "norm.npz") as stored:
        inputs, outputs = stored["inputs"], stored["outputs"]
    assert np.abs(outputs - inputs).max() > 1
    for made in (samples.normalised(inputs), InstanceNormalization()(inputs)):
        np.testing.assert_allclose(made, outputs, rtol=0, atol=1e-6)


def test_instance_norm_is_that_of_addons_where_there_are_any():
    norm = samples.instance_normalization("norm", 0.25)
    name = "tensorflow_addons" if samples.this_stack() == "addons" else "cyclegan_tf"
    assert type(norm).__module__.partition(".")[0] == name
    assert (norm.name, norm.epsilon) == ("norm", 0.25)
    norm(tf.zeros((1, 4, 4, 3)))
    assert not norm.weights


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(name, marks=() if name == "official" else pytest.mark.slow)
        for name in samples.RECIPES
    ],
)
def test_ten_steps_in_float64_lose_the_same_on_both_stacks(recipe):
    ours = samples.losses_in_double(recipe)
    assert len(ours) == 10
    for stack in samples.STACKS:
        theirs = stored_losses(stack, "in_double", recipe)
        assert apart(ours, theirs) < 1e-9


@LONG
@OTHERS
@RECIPES
@pytest.mark.usefixtures("eagerly", "no_figures")
def test_checkpoint_is_restored_to_the_bit_and_gone_on_from(
    stack, recipe, run, monkeypatch
):
    config = dataclasses.replace(load_config(run), run_dir=str(run))
    model = cg.CycleGAN(config, 12)
    state = model.trainer.state()
    assert Checkpoints(state, run).restore() == samples.SAVED_AT
    check_restored(state, run / "checkpoints" / f"step-{samples.SAVED_AT}")

    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 12)
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TEST", 3)
    cg.train(dataclasses.replace(config, max_steps=samples.GONE_ON_TO))
    ours = samples.losses_of(run)
    theirs = stored_losses(stack, "gone_on", recipe)
    assert [str(step) for step in ours] == list(theirs)
    assert apart(list(ours.values()), list(theirs.values())) < 1e-4


def check_restored(state: State, path: pathlib.Path) -> None:
    reader = tf.train.load_checkpoint(str(path))
    held = [k for k in reader.get_variable_to_shape_map() if "/.ATTRIBUTES" in k]
    names = {k.partition("/.ATTRIBUTES")[0] for k in held} - {"save_counter"}
    assert names == {f"{group}/{name}" for group in state for name in state[group]}
    kinds = {name.partition("_")[0] for name in names}
    assert kinds >= {"generator", "discriminator", "optimizer", "pools"}
    for group, variables in state.items():
        for name, variable in variables.items():
            stored = reader.get_tensor(f"{group}/{name}/.ATTRIBUTES/VARIABLE_VALUE")
            np.testing.assert_array_equal(variable.numpy(), stored, f"{group}/{name}")


@OTHERS
@RECIPES
def test_run_and_its_exports_translate_as_the_stack_did(stack, recipe, run):
    shutil.unpack_archive(run / "export.zip", run / "export")
    (saved_model,) = run.glob("export/saved_model/*_A2B/1")
    (tflite,) = run.glob("export/tflite/*.tflite")
    with np.load(run / "translated.npz") as stored:
        expected = {k: stored[k].astype(int) for k in stored}
    for direction, pixels in expected.items():
        made = samples.translated(cg.load(run), direction=direction)
        assert np.abs(made - pixels).max() <= 1
    assert np.abs(samples.translated(cg.load(saved_model)) - expected["A2B"]).max() <= 1
    # The file takes one size, so that the other is resized for it.
    square = 2 * 32 * 32 * 3
    made = samples.translated(cg.load(tflite))[:square]
    assert np.abs(made - expected["A2B"][:square]).max() <= 1


def test_only_one_module_asks_for_a_version():
    """Records only tell which were used."""
    asking = re.compile(
        r"metadata\.version\(\"|__version__( *[<>!]| *==|[.\[])|version_info|tf_keras|"
        r"hasattr\((keras|tf)\b|import tensorflow_addons|_KERAS_2"
    )
    found = {
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob("*.py"), *(ROOT / "cyclegan_tf").rglob("*.py")]
        if asking.search(path.read_text())
    }
    assert found == {"cyclegan_tf/compat.py"}
