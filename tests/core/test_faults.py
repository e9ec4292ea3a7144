"""Updates that are not finite, and that are left out where that is asked for."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.family.points import PointsGAN
from cyclegan_tf.family.shared.options import Points
from cyclegan_tf.training.devices import make_strategy


def state(trainer) -> dict[str, np.ndarray]:
    return {
        f"{group}/{name}": np.array(variable)
        for group, variables in trainer.state().items()
        for name, variable in variables.items()
    }


def assert_only_counted(before, after):
    """Nothing but the steps moved on."""
    for name, value in after.items():
        step = 1 if name.endswith("iteration") else 0
        np.testing.assert_array_equal(value, before[name] + step, err_msg=name)


def distributed(images, strategy):
    parts = tf.split(images, 2)
    return strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )


@pytest.fixture
def pair(random_images):
    return [random_images(2, 32, 32, 3, seed=seed) for seed in (0, 1)]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_update_that_is_not_finite_changes_nothing(tiny, pair, replicas):
    """One bad picture of two: of a replica of its own, if there are two."""
    config = tiny(batch_size=2, on_nonfinite="skip", average_decay=0.5)
    strategy = make_strategy("cpu:2" if replicas == 2 else "single")
    model = CycleGAN(config, 10, strategy)

    def step(x, y):
        if replicas == 2:
            x, y = (distributed(images, strategy) for images in (x, y))
        return float(model.train_step(x, y)["skipped_updates"])

    x, y = pair
    bad = tf.concat([x[:1], x[1:] * np.nan], axis=0)
    assert step(x, y) == 0
    before = state(model.trainer)
    assert step(bad, y) == 1
    after = state(model.trainer)
    pools = [name for name in after if name.startswith("pools_")]
    assert all(np.isfinite(after[name]).all() for name in pools)
    averages = [name for name in after if name.startswith("average")]
    assert averages
    moved = {*pools, *averages}
    assert_only_counted(before, {k: v for k, v in after.items() if k not in moved})
    assert step(x, y) == 1
    kernel = "generator_g/first_conv_kernel"
    assert (state(model.trainer)[kernel] != before[kernel]).any()


@pytest.mark.usefixtures("eagerly")
def test_where_all_is_finite_it_trains_as_without(tiny, pair):
    def trained(on_nonfinite):
        tf.keras.utils.set_random_seed(0)
        model = CycleGAN(tiny(batch_size=2, on_nonfinite=on_nonfinite), 10)
        for _ in range(2):
            losses = model.train_step(*pair)
        return state(model.trainer), losses

    (stopping, _), (skipping, losses) = trained("stop"), trained("skip")
    assert float(losses["skipped_updates"]) == 0
    assert skipping.keys() == stopping.keys()
    for name, value in stopping.items():
        # Gradients are added up in another order.
        np.testing.assert_allclose(value, skipping[name], atol=1e-5, err_msg=name)


def test_models_beside_cyclegan_leave_such_updates_out_too():
    options = Points(num_units=8, batch_size=4, on_nonfinite="skip")
    model = PointsGAN(options, None).trainer
    assert float(model.train_step()["skipped_updates"]) == 0
    before = state(model)
    strategy = tf.distribute.get_strategy()
    weights = model.networks["generator"].trainable_variables
    # What is not finite is a gradient, the loss, or one of the losses.
    faults = (np.nan, 1.0), (1.0, np.nan), (1.0, {"l1": 0.0, "gan": np.inf})
    for number, (gradient, loss) in enumerate(faults, start=1):
        gradients = [tf.fill(weight.shape, gradient) for weight in weights]
        losses = tf.nest.map_structure(tf.constant, loss)
        strategy.run(lambda g=gradients, x=losses: model.apply("generator", g, x))
        after = state(model)
        counted = "optimizer_of_generator/000_iteration"
        assert after.pop(counted) == before[counted] + number
        assert all((value == before[name]).all() for name, value in after.items())
    assert float(model.train_step()["skipped_updates"]) == len(faults)
    plain = PointsGAN(dataclasses.replace(options, on_nonfinite="stop"), None)
    assert "skipped_updates" not in plain.trainer.train_step()
