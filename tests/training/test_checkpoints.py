import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.core.cyclegan import NETWORKS, CycleGAN
from cyclegan_tf.core.state import named_weights
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.checkpoints import (
    Checkpoints,
    check_can_go_on,
    initialize,
    load_network,
    networks_in,
    save_networks,
)
from cyclegan_tf.training.devices import make_strategy
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import newest_checkpoint, save_config

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def trained():
    """A CycleGAN whose variables all have other values than at the start."""
    keras.utils.set_random_seed(0)
    model = CycleGAN(preset("tiny"), 100)
    random = np.random.default_rng(0)
    for variables in model.trainer.state().values():
        for variable in variables.values():
            if variable.dtype.is_floating:
                shape = variable.shape
                variable.assign_add(random.uniform(0.01, 0.1, shape).astype("f4"))
            else:
                variable.assign(tf.cast(3, variable.dtype))
    return model


def arrays(model):
    return {
        f"{group}/{name}": variable.numpy()
        for group, variables in model.trainer.state().items()
        for name, variable in variables.items()
    }


def assert_same_state(model, other):
    ours, theirs = arrays(model), arrays(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.usefixtures("eagerly")
def test_restored_state_is_the_saved_one_to_the_bit(
    trained, tiny, random_images, tmp_path
):
    Checkpoints(trained.trainer.state(), tmp_path).save(3)
    others = CycleGAN(tiny(seed=9), 100), CycleGAN(tiny(), 100)
    for other in others:
        assert other.trainer.step == 0
        assert (
            Checkpoints(other.trainer.state(), tmp_path).restore()
            == other.trainer.step
            == 3
        )
        assert_same_state(trained, other)
        # The seed of the pool's draws is in the configuration, not in the checkpoint.
        other.trainer.options = trained.config
    x, y = random_images(1, 32, 32, 3, seed=8), random_images(1, 32, 32, 3, seed=9)
    for _ in range(2):
        for other in others:
            other.train_step(x, y)
    assert_same_state(*others)


def test_learning_rate_goes_on_where_it_was(trained, tiny, tmp_path):
    """After three epochs of one step: the second of three in which it falls."""
    Checkpoints(trained.trainer.state(), tmp_path).save(3)
    other = CycleGAN(tiny(num_epochs=1, num_decay_epochs=3), 1)
    Checkpoints(other.trainer.state(), tmp_path).restore()
    assert other.trainer.learning_rate == pytest.approx(2e-4 / 4)


@pytest.fixture
def small_state():
    return {"network": {"kernel": tf.Variable([1.0, 2.0])}}


def test_nothing_to_restore_is_step_0(small_state, tmp_path):
    assert Checkpoints(small_state, tmp_path).restore() == 0
    assert newest_checkpoint(tmp_path) is None


def test_three_checkpoints_are_kept(small_state, tmp_path):
    checkpoints = Checkpoints(small_state, tmp_path)
    for step in (5, 10, 10, 15, 20):
        checkpoints.save(step)
    names = sorted(p.name for p in (tmp_path / "checkpoints").glob("*.index"))
    assert names == ["step-10.index", "step-15.index", "step-20.index"]
    assert newest_checkpoint(tmp_path).endswith("step-20")


@pytest.mark.parametrize(
    "name", ["a [v2]", "b*", "q?", "back\\slash", os.fsdecode(b"caf\xe9")]
)
def test_name_of_a_folder_is_no_pattern(small_state, tmp_path, name, monkeypatch):
    """TensorFlow takes some paths for patterns; neighbours would lose checkpoints."""
    neighbour = Checkpoints(small_state, tmp_path / "bc")
    neighbour.save(1)
    monkeypatch.chdir(tmp_path)
    for run_dir in (tmp_path / name, pathlib.Path(name, "relative")):
        checkpoints = Checkpoints(small_state, run_dir)
        for step in (1, 2, 3, 4):
            small_state["network"]["kernel"].assign([step, step])
            checkpoints.save(step)
        small_state["network"]["kernel"].assign([0.0, 0.0])
        assert Checkpoints(small_state, run_dir).restore() == 4
        np.testing.assert_array_equal(small_state["network"]["kernel"], [4, 4])
        indices = (run_dir / "checkpoints").glob("*.index")
        assert sorted(p.stem for p in indices) == ["step-2", "step-3", "step-4"]
        save_networks(run_dir / "networks", {"generator_g": {"kernel": np.ones(2)}})
        assert networks_in(newest_checkpoint(run_dir / "networks")) == ("generator_g",)
    assert newest_checkpoint(tmp_path / "bc").endswith("step-1")


def test_run_that_goes_on_keeps_three_in_all(small_state, tmp_path):
    for step in (1, 2, 3):
        Checkpoints(small_state, tmp_path).save(step)
    again = Checkpoints(small_state, tmp_path)
    again.restore()
    again.save(4)
    names = sorted(p.stem for p in (tmp_path / "checkpoints").glob("*.index"))
    assert names == ["step-2", "step-3", "step-4"]


def test_other_networks_are_refused_with_all_that_differs(tiny, tmp_path):
    Checkpoints(CycleGAN(tiny(num_blocks=2), 10).trainer.state(), tmp_path).save(1)
    model = CycleGAN(tiny(num_blocks=1, discriminator_filters=8, pool_size=0), 10)
    before = arrays(model)
    with pytest.raises(UserError) as error:
        Checkpoints(model.trainer.state(), tmp_path).restore()
    message = str(error.value)
    assert "unexpected: generator_f/block_2_conv_1_kernel" in message
    assert (
        "discriminator_x/conv_1_kernel (4, 4, 3, 4) instead of (4, 4, 3, 8)" in message
    )
    assert "\n" not in message
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_missing_variables_are_listed(trained, tmp_path):
    state = trained.trainer.state()
    without = {k: v for k, v in state.items() if not k.startswith("pools_x")}
    Checkpoints(without, tmp_path).save(1)
    with pytest.raises(UserError, match="missing: pools_x_0/count, pools_x_0/images"):
        Checkpoints(state, tmp_path).restore()


def test_pools_of_two_replicas_do_not_fit_one(tiny, tmp_path):
    mirrored = CycleGAN(tiny(batch_size=2), 10, make_strategy("cpu:2"))
    Checkpoints(mirrored.trainer.state(), tmp_path).save(1)
    again = CycleGAN(tiny(batch_size=2), 10, make_strategy("cpu:2"))
    assert Checkpoints(again.trainer.state(), tmp_path).restore() == 1
    assert_same_state(mirrored, again)
    with pytest.raises(UserError, match="unexpected: pools_x_1/count"):
        Checkpoints(
            CycleGAN(tiny(batch_size=2), 10).trainer.state(), tmp_path
        ).restore()


def test_network_is_loaded_from_its_run_directory(
    trained, tiny, random_images, tmp_path
):
    save_config(tiny(run_dir=str(tmp_path)))
    Checkpoints(trained.trainer.state(), tmp_path).save(3)
    images = random_images(2, 32, 32, 3, seed=5)
    for name in NETWORKS:
        made = load_network(tmp_path, name)(images)
        np.testing.assert_array_equal(made, trained.networks[name](images), name)


def test_generator_of_no_run_or_no_checkpoint_or_another_network_is_refused(
    tiny, tmp_path
):
    with pytest.raises(UserError, match="No configuration at"):
        load_network(tmp_path, "generator_g")
    save_config(tiny(run_dir=str(tmp_path)))
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_network(tmp_path, "generator_g")
    Checkpoints(CycleGAN(tiny(num_blocks=2), 10).trainer.state(), tmp_path).save(1)
    with pytest.raises(
        UserError, match=r"not match the conf.* \(unexpected: .*block_2"
    ):
        load_network(tmp_path, "generator_g")


def test_tensors_are_saved_under_our_names(trained, tmp_path):
    Checkpoints(trained.trainer.state(), tmp_path).save(1)
    names = [name for name, _ in tf.train.list_variables(newest_checkpoint(tmp_path))]
    assert "generator_g/first_conv_kernel/.ATTRIBUTES/VARIABLE_VALUE" in names


# --- Networks alone


def saved_networks(model, run_dir, names=NETWORKS):
    """Saves some networks of a training, as an import does."""
    save_networks(
        run_dir,
        {
            name: {k: v.numpy() for k, v in named_weights(model.networks[name]).items()}
            for name in names
        },
    )
    return newest_checkpoint(run_dir)


def test_networks_alone_are_saved_as_step_0_under_the_names_of_a_training(
    trained, tiny, tmp_path
):
    path = saved_networks(trained, tmp_path, ["generator_f", "discriminator_x"])
    assert path == str(tmp_path / "checkpoints" / "step-0")
    assert networks_in(path) == ("generator_f", "discriminator_x")
    save_config(tiny(run_dir=str(tmp_path)))
    for name in networks_in(path):
        loaded = named_weights(load_network(tmp_path, name))
        for key, variable in named_weights(trained.networks[name]).items():
            np.testing.assert_array_equal(loaded[key], variable)
    told = "does not hold generator_g; it holds generator_f, discriminator_x"
    with pytest.raises(UserError, match=told):
        load_network(tmp_path, "generator_g")


def test_networks_alone_are_no_run_to_go_on_with(trained, tmp_path):
    model = trained
    check_can_go_on(tmp_path)
    saved_networks(model, tmp_path)
    with pytest.raises(UserError, match="has networks only.*--initialize_from"):
        check_can_go_on(tmp_path)
    with pytest.raises(UserError, match="missing: optimizer_of_discriminator_x/"):
        Checkpoints(model.trainer.state(), tmp_path).restore()
    Checkpoints(model.trainer.state(), tmp_path).save(1)
    check_can_go_on(tmp_path)


@pytest.mark.parametrize(("strategy", "whole"), [("single", False), ("cpu:2", True)])
def test_training_begins_with_the_networks_of_another_and_nothing_else(
    trained, tiny, tmp_path, strategy, whole
):
    if whole:
        Checkpoints(trained.trainer.state(), tmp_path).save(3)
    else:
        saved_networks(trained, tmp_path)
    model = CycleGAN(tiny(seed=9, batch_size=2), 100, make_strategy(strategy))
    untouched = arrays(model)
    assert initialize(model.networks, tmp_path) == NETWORKS
    for name, value in arrays(model).items():
        network = name.partition("/")[0] in NETWORKS
        expected = arrays(trained)[name] if network else untouched[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)
    assert model.trainer.step == 0


def test_networks_that_are_not_there_keep_their_random_weights(trained, tiny, tmp_path):
    model = CycleGAN(tiny(), 10)
    saved_networks(trained, tmp_path, ["generator_g", "generator_f"])
    random = arrays(model)
    assert initialize(model.networks, tmp_path) == ("generator_g", "generator_f")
    for name, value in arrays(model).items():
        of = trained.trainer.state() if name.startswith("generator") else None
        group, _, key = name.partition("/")
        expected = of[group][key] if of else random[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)


def test_networks_that_do_not_fit_are_refused_and_change_nothing(tiny, tmp_path):
    saved_networks(CycleGAN(tiny(num_blocks=2), 10), tmp_path)
    model = CycleGAN(tiny(), 10)
    before = arrays(model)
    with pytest.raises(UserError, match="unexpected: generator_f/block_2_conv_1"):
        initialize(model.networks, tmp_path)
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_nothing_to_begin_with_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="`initialize_from` .* has no checkpoint"):
        initialize(trained.networks, tmp_path)
    save_networks(tmp_path, {"encoder": {"kernel": np.zeros(2, np.float32)}})
    with pytest.raises(UserError, match="`initialize_from` .* has no networks[.]"):
        initialize(trained.networks, tmp_path)
