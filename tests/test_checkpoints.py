import pathlib

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.checkpoints import Checkpoints, load_generator, newest
from cyclegan_tf.config import UserError, save_config
from cyclegan_tf.cyclegan import CycleGAN
from cyclegan_tf.strategies import make_strategy


def trained(config, images, steps=3):
    model = CycleGAN(config, 100)
    for step in range(steps):
        model.train_step(images(1, 32, 32, 3, seed=2 * step), images(1, 32, 32, 3))
    return model


def arrays(model):
    return {
        f"{group}/{name}": variable.numpy()
        for group, variables in model.state().items()
        for name, variable in variables.items()
    }


def assert_same_state(model, other):
    ours, theirs = arrays(model), arrays(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_restored_state_is_the_saved_one_to_the_bit(tiny, random_images, tmp_path):
    model = trained(tiny(), random_images)
    Checkpoints(model, tmp_path).save(3)
    other = CycleGAN(tiny(seed=9), 100)
    assert other.step == 0
    assert Checkpoints(other, tmp_path).restore() == 3
    assert other.step == 3
    assert_same_state(model, other)
    x, y = random_images(1, 32, 32, 3, seed=8), random_images(1, 32, 32, 3, seed=9)
    # The seed of the pool's draws is not in the checkpoint but in the configuration.
    other.config = model.config
    model.train_step(x, y)
    other.train_step(x, y)
    assert_same_state(model, other)


def test_learning_rate_goes_on_where_it_was(tiny, random_images, tmp_path):
    config = tiny(num_epochs=1, num_decay_epochs=3)
    model = CycleGAN(config, 1)
    for _ in range(3):
        model.train_step(random_images(1, 32, 32, 3), random_images(1, 32, 32, 3))
    Checkpoints(model, tmp_path).save(3)
    other = CycleGAN(config, 1)
    Checkpoints(other, tmp_path).restore()
    assert other.learning_rate == model.learning_rate == pytest.approx(2e-4 / 4)


def test_nothing_to_restore_is_step_0(tiny, tmp_path):
    assert Checkpoints(CycleGAN(tiny(), 10), tmp_path).restore() == 0
    assert newest(tmp_path) is None


def test_three_checkpoints_are_kept(tiny, tmp_path):
    checkpoints = Checkpoints(CycleGAN(tiny(), 10), tmp_path)
    for step in (5, 10, 10, 15, 20):
        checkpoints.save(step)
    names = sorted(p.name for p in (tmp_path / "checkpoints").glob("*.index"))
    assert names == ["step-10.index", "step-15.index", "step-20.index"]
    assert newest(tmp_path).endswith("step-20")


def test_run_that_goes_on_keeps_three_in_all(tiny, tmp_path):
    model = CycleGAN(tiny(), 10)
    for step in (1, 2, 3):
        Checkpoints(model, tmp_path).save(step)
    again = Checkpoints(model, tmp_path)
    again.restore()
    again.save(4)
    names = sorted(p.stem for p in (tmp_path / "checkpoints").glob("*.index"))
    assert names == ["step-2", "step-3", "step-4"]


def test_other_networks_are_refused_with_all_that_differs(tiny, tmp_path):
    Checkpoints(CycleGAN(tiny(num_blocks=2), 10), tmp_path).save(1)
    model = CycleGAN(tiny(num_blocks=1, discriminator_filters=8, pool_size=0), 10)
    before = arrays(model)
    with pytest.raises(UserError) as error:
        Checkpoints(model, tmp_path).restore()
    message = str(error.value)
    assert "unexpected: generator_f/block_2_conv_1_kernel" in message
    assert (
        "discriminator_x/conv_1_kernel (4, 4, 3, 4) instead of (4, 4, 3, 8)" in message
    )
    assert "\n" not in message
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_missing_variables_are_listed(tiny, tmp_path):
    Checkpoints(CycleGAN(tiny(pool_size=0), 10), tmp_path).save(1)
    with pytest.raises(UserError, match="missing: pools_x_0/count, pools_x_0/images"):
        Checkpoints(CycleGAN(tiny(), 10), tmp_path).restore()


def test_pools_of_two_replicas_do_not_fit_one(tiny, tmp_path):
    mirrored = CycleGAN(tiny(batch_size=2), 10, make_strategy("cpu:2"))
    Checkpoints(mirrored, tmp_path).save(1)
    again = CycleGAN(tiny(batch_size=2), 10, make_strategy("cpu:2"))
    assert Checkpoints(again, tmp_path).restore() == 1
    assert_same_state(mirrored, again)
    with pytest.raises(UserError, match="unexpected: pools_x_1/count"):
        Checkpoints(CycleGAN(tiny(batch_size=2), 10), tmp_path).restore()


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["empty", "half", "gone", "garbage"])
def test_damaged_checkpoint_is_told_in_one_line(tiny, tmp_path, part, damage):
    model = CycleGAN(tiny(), 10)
    checkpoints = Checkpoints(model, tmp_path)
    checkpoints.save(1)
    checkpoints.save(2)
    path = pathlib.Path(f"{newest(tmp_path)}.{part}")
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        replacement = {
            "empty": b"",
            "half": content[: len(content) // 2],
            "garbage": b"x" * len(content),
        }
        path.write_bytes(replacement[damage])
    if (part, damage) == ("index", "gone"):
        # As if it had not been written yet: the one before is the newest.
        assert Checkpoints(model, tmp_path).restore() == 1
        return
    with pytest.raises(UserError, match="step-2 is damaged .*to go on from the one"):
        Checkpoints(model, tmp_path).restore()
    assert "\n" not in str(pytest.raises(UserError, checkpoints.restore).value)
    for file in path.parent.glob("step-2.*"):
        file.unlink()
    assert Checkpoints(model, tmp_path).restore() == 1


@pytest.mark.parametrize("name", ["generator_g", "generator_f"])
def test_generator_is_loaded_from_its_run_directory(
    name, tiny, random_images, tmp_path
):
    config = tiny(run_dir=str(tmp_path))
    model = trained(config, random_images)
    save_config(config)
    Checkpoints(model, tmp_path).save(3)
    generator = load_generator(tmp_path, name)
    images = random_images(2, 32, 32, 3, seed=5)
    np.testing.assert_array_equal(generator(images), model.networks[name](images))


def test_generator_of_no_run_or_no_checkpoint_or_another_network_is_refused(
    tiny, tmp_path
):
    with pytest.raises(UserError, match="No configuration at"):
        load_generator(tmp_path, "generator_g")
    save_config(tiny(run_dir=str(tmp_path)))
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_generator(tmp_path, "generator_g")
    Checkpoints(CycleGAN(tiny(num_blocks=2), 10), tmp_path).save(1)
    with pytest.raises(UserError, match="does not hold the weights of generator_g"):
        load_generator(tmp_path, "generator_g")


def test_tensors_are_saved_under_our_names(tiny, tmp_path):
    Checkpoints(CycleGAN(tiny(), 10), tmp_path).save(1)
    names = [name for name, _ in tf.train.list_variables(newest(tmp_path))]
    assert "generator_g/first_conv_kernel/.ATTRIBUTES/VARIABLE_VALUE" in names
