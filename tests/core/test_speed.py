"""Options that change the speed of a step and little else."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from helpers.gradients import relative_error
from helpers.precision import floats

from cyclegan_tf.core.adam import sum_over_replicas
from cyclegan_tf.core.cyclegan import GENERATOR_NAMES, NETWORKS, CycleGAN
from cyclegan_tf.core.loss_scale import LossScale
from cyclegan_tf.data import shapes
from cyclegan_tf.training import devices
from cyclegan_tf.training.cyclegan_run import make_run
from cyclegan_tf.training.devices import make_strategy

pytestmark = pytest.mark.stack


def alike(config, other) -> CycleGAN:
    """A CycleGAN with the weights of another."""
    model = CycleGAN(config, 10)
    for name in NETWORKS:
        model.networks[name].set_weights(other.networks[name].get_weights())
    return model


@pytest.fixture
def pair(random_images):
    return [random_images(1, 32, 32, 3, seed=seed) for seed in (0, 1)]


def convolutions(compute, pair) -> int:
    """How many a traced function computes."""
    graph = compute.get_concrete_function(*pair).graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return sum(node.op == "Conv2D" for node in nodes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "fields"),
    [
        ("recompute", {"num_blocks": 2, "input_skip": True}),
        ("recompute", {"generator": "unet", "input_skip": True}),
        ("jit_compile", {"num_blocks": 2}),
    ],
)
def test_gradients_are_those_without_the_option(tiny, pair, option, fields):
    fields = {"num_filters": 8, **fields}
    plain = CycleGAN(tiny(**fields), 10)
    model = alike(tiny(**fields, **{option: True}), plain)
    before, after = tf.function(plain.compute_gradients), tf.function(model._compute)
    _, expected = before(*pair)
    _, gradients = after(*pair)
    for name in NETWORKS:
        assert relative_error(gradients[name], expected[name]) < 1e-5, name
    if fields.get("num_blocks") and option == "recompute":
        # Four calls of a generator of 1 + 2 + 2 * 2 + 2 convolutions, again.
        assert convolutions(after, pair) - convolutions(before, pair) == 4 * 9


@pytest.mark.slow
def test_two_replicas_that_recompute_train_as_one_device(tiny, random_images):
    config = tiny(batch_size=2, pool_size=0, recompute=True)
    x, y = (random_images(2, 32, 32, 3, seed=seed) for seed in (0, 1))
    one = CycleGAN(config, 10)
    two = CycleGAN(config, 10, make_strategy("cpu:2"))
    for name in NETWORKS:
        two.networks[name].set_weights(one.networks[name].get_weights())
    distribute = two.trainer.strategy.experimental_distribute_values_from_function
    halves = [
        distribute(lambda c, v=v: v[c.replica_id_in_sync_group][None]) for v in (x, y)
    ]
    for rel in (1e-5, 1e-3):  # The second losses tell what the first step updated.
        expected, losses = one.train_step(x, y), two.train_step(*halves)
        for name, loss in losses.items():
            assert float(loss) == pytest.approx(float(expected[name]), rel=rel), name


def test_identity_loss_of_every_fourth_step_weighs_four_times_as_much(tiny, pair):
    model, found = CycleGAN(tiny(num_filters=8), 10), {}
    _, official = model.compute_gradients(*pair)
    for identity, same in ((True, 2.0), (False, 0.0)):
        model.config = tiny(num_filters=8, lambda_identity=same)
        expected_losses, expected = model.compute_gradients(*pair)
        model.config = tiny(num_filters=8, identity_every_steps=4)
        losses, gradients = model.compute_gradients(*pair, identity=identity)
        found[identity] = gradients
        for name in NETWORKS:
            assert relative_error(gradients[name], expected[name]) < 1e-6, name
        for name, loss in expected_losses.items():
            assert float(losses[name]) == pytest.approx(float(loss), rel=1e-6), name
    for name in GENERATOR_NAMES:
        pairs = zip(found[True][name], found[False][name], strict=True)
        mean = [(a + 3 * b) / 4 for a, b in pairs]
        assert relative_error(mean, official[name]) < 1e-5


def test_identity_loss_keeps_its_steps_when_a_run_goes_on(tiny, monkeypatch):
    monkeypatch.setattr(shapes, "NUM_TRAIN", 4)
    monkeypatch.setattr(shapes, "NUM_TEST", 1)
    config = tiny(identity_every_steps=3)
    run = make_run(config)
    for start in (0, 4):
        batches = list(itertools.islice(run.batches(start), 4))
        expected = [step % 3 == 0 for step in range(start, start + 4)]
        assert [identity for *_, identity in batches] == expected


# The generators' absolute errors have a sign, which half precision may turn.
MOST = {"bfloat16": (0.5, 0.1), "float16": (0.2, 0.02)}


def test_half_precision_is_near_and_of_float32_where_it_must_be(tiny, pair):
    fields = {"num_filters": 8, "generator": "resnet", "pool_size": 0}
    plain = CycleGAN(tiny(**fields), 10)
    expected_losses, expected = plain.compute_gradients(*pair)
    for precision, (generators, discriminators) in MOST.items():
        model = alike(tiny(**fields, precision=precision), plain)
        assert tf.keras.mixed_precision.global_policy().name == "float32"
        scale = 1.0
        if precision == "float16":
            scale = 64.0  # The first scale overflows on noise, and would halve.
            model.trainer.loss_scale.scale.assign(scale)
        losses, gradients = model.compute_gradients(*pair)
        for name in NETWORKS:
            network = model.networks[name]
            assert network(pair[0], training=True).dtype == tf.float32
            assert {w.dtype for w in network.get_weights()} == {np.dtype("float32")}
            assert network.layers[2].compute_dtype == precision
            unscaled = [g / scale for g in gradients[name]]
            most = generators if name in GENERATOR_NAMES else discriminators
            error = relative_error(unscaled, expected[name])
            assert 1e-5 < error < most, (precision, name)
        for name, loss in losses.items():
            assert loss.dtype == tf.float32
            near = pytest.approx(float(expected_losses[name]), rel=0.005)
            assert float(loss) == near, (precision, name)


@pytest.mark.usefixtures("eagerly")
def test_an_overflow_changes_nothing_but_the_scale(tiny, pair):
    config = tiny(precision="float16", num_filters=8, average_decay=0.5)
    model = CycleGAN(config, 10)
    scale = model.trainer.state()["loss_scale"]  # What a checkpoint holds.
    assert scale.keys() == {"scale", "good", "skipped"}
    scale["scale"].assign(64.0)
    model.train_step(*pair)
    assert int(scale["skipped"]) == 0

    def state():
        return {
            f"{group}/{name}": np.array(variable)
            for group, variables in model.trainer.state().items()
            for name, variable in variables.items()
            if not group.startswith(("pools", "loss_scale", "average"))
        }

    before = state()
    scale["scale"].assign(1e30)
    losses = model.train_step(*pair)
    assert float(losses["skipped_updates"]) == 1
    assert float(scale["scale"]) == pytest.approx(0.5e30)
    for name, value in state().items():
        if name.endswith("iteration"):
            assert value == before[name] + 1
        else:
            np.testing.assert_array_equal(value, before[name], err_msg=name)
    scale["scale"].assign(64.0)
    losses = model.train_step(*pair)
    assert float(losses["skipped_updates"]) == 1
    assert (
        np.array(state()["generator_g/first_conv_kernel"])
        != before["generator_g/first_conv_kernel"]
    ).any()


def test_the_scale_grows_and_halves_by_the_rule():
    loss_scale = LossScale(initial=8.0, growth_steps=3)
    seen = []
    for gradient in (1.0, 1.0, 1.0, 1.0, np.inf, np.nan, 1.0, 1.0, 1.0):
        unscaled, finite = loss_scale.unscale({"g": [tf.constant([4.0, gradient])]})
        expected = [0, 0] if not np.isfinite(gradient) else None
        if expected:
            np.testing.assert_array_equal(unscaled["g"][0], expected)
        assert bool(finite) == np.isfinite(gradient)
        seen.append(float(loss_scale.scale))
    assert seen == [8, 8, 16, 16, 8, 4, 4, 4, 8]
    assert int(loss_scale.skipped) == 2
    for _ in range(9):
        loss_scale.unscale({"g": [tf.constant(np.nan)]})
    assert float(loss_scale.scale) == 1


def test_one_replicas_overflow_is_everybodys(tiny):
    strategy = make_strategy("cpu:2")
    with strategy.scope():
        loss_scale = LossScale()

    @tf.function
    def judged(values):
        def replica(value):
            gradients = sum_over_replicas({"g": [value]})
            unscaled, finite = loss_scale.unscale(gradients)
            return unscaled["g"][0], finite

        return strategy.run(replica, args=(values,))

    values = strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant([1.0, np.inf][c.replica_id_in_sync_group])
    )
    unscaled, finite = judged(values)
    for one, all_finite in zip(
        strategy.experimental_local_results(unscaled),
        strategy.experimental_local_results(finite),
        strict=True,
    ):
        assert float(one) == 0
        assert not bool(all_finite)
    one = strategy.experimental_local_results(loss_scale.scale)[0]
    assert float(one) == 2.0**14


def test_precision_float64_stays_what_it_was(tiny, pair):
    with floats("float64"):
        model = CycleGAN(tiny(), 10)
        assert model.generator_g(tf.cast(pair[0], tf.float64)).dtype == tf.float64


@pytest.mark.parametrize(
    ("cores", "told", "expected"), [(8, None, [4]), (1, None, [1]), (8, "8", [])]
)
def test_half_of_the_cores_are_for_each_half(monkeypatch, cores, told, expected):
    monkeypatch.setattr(devices, "num_cores", lambda: cores)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    if told:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
    asked = []
    place = tf.config.threading
    monkeypatch.setattr(place, "set_intra_op_parallelism_threads", asked.append)
    devices.share_cores()
    assert asked == expected
