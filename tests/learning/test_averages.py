import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.learning.averages import decay_at
from cyclegan_tf.models.cyclegan import GENERATOR_NAMES, CycleGAN
from cyclegan_tf.stacks import as_tf_variable
from cyclegan_tf.training.strategies import make_strategy


@pytest.mark.parametrize(
    ("step", "expected"), [(1, 1 / 10), (11, 11 / 20), (990, 990 / 999), (10**6, 0.999)]
)
def test_decay_grows_to_what_was_asked_for(step, expected):
    decay = float(decay_at(tf.constant(step, tf.int64), 0.999))
    assert decay == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("strategy", ["single", "cpu:2"])
def test_average_follows_the_rule_after_each_step(tiny, random_images, strategy):
    config = tiny(pool_size=0, batch_size=2, average_decay=0.3, learning_rate=1e-2)
    model = CycleGAN(config, 100, make_strategy(strategy))
    images = [random_images(2, 32, 32, 3, seed=i) for i in range(2)]
    if strategy == "cpu:2":
        images = [
            model.strategy.experimental_distribute_values_from_function(
                lambda c, x=x: x[c.replica_id_in_sync_group][None]
            )
            for x in images
        ]
    expected = [
        [w.astype(np.float64) for w in model.networks[name].get_weights()]
        for name in GENERATOR_NAMES
    ]
    for step in range(6):
        model.train_step(*images)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, averages in zip(GENERATOR_NAMES, expected, strict=True):
            weights = model.networks[name].get_weights()
            averages[:] = [
                decay * a + (1 - decay) * w
                for a, w in zip(averages, weights, strict=True)
            ]
    for name, averages in zip(GENERATOR_NAMES, expected, strict=True):
        shown = model.shown_generators[name]
        for variable in shown.variables:
            one, *others = model.strategy.experimental_local_results(
                as_tf_variable(variable)
            )
            assert len(others) == model.num_replicas - 1
            for other in others:
                np.testing.assert_array_equal(one, other)
        assert shown is not model.networks[name]
        for ours, theirs, trained in zip(
            shown.get_weights(),
            averages,
            model.networks[name].get_weights(),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
            assert np.abs(ours - trained).max() > 1e-4


def test_without_averages_the_trained_generators_are_shown(tiny):
    model = CycleGAN(tiny(), 10)
    assert model.shown_generators["generator_f"] is model.generator_f
    assert not any(name.startswith("average") for name in model.state())
