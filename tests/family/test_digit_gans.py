"""DCGAN, the conditional and the controllable GAN: gradients, runs, refusals."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf
from helpers.precision import floats
from helpers.runs import assert_goes_on_to_the_bit

from cyclegan_tf.family import dcgan
from cyclegan_tf.family.controllable import ControllableGAN
from cyclegan_tf.family.dcgan import DCGAN, ConditionalGAN
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.train import train

GAN = ("generator/", "discriminator/", "optimizer_of_generator", "optimizer_of_disc")
LATENTS = ("generator/", "start/", "latents/", "optimizer_of_latents")
SMALL = {"num_filters": 2, "latent_size": 5, "num_steps": 4, "log_every_steps": 1}


pytestmark = pytest.mark.usefixtures("few_digits", "no_figures")


def small(name: str, **fields):
    return dataclasses.replace(preset(name), **{**SMALL, "batch_size": 6, **fields})


def assert_same_gradients(result, loss, tape, network):
    assert float(result[0]) == pytest.approx(float(loss), abs=1e-8)
    expected = tape.gradient(loss, network.trainable_variables)
    for ours, theirs in zip(result[1], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


# --- Gradients, against the equations


def value_function(d_real, d_fake):
    """Goodfellow's, halved as the discriminator's loss, and the generator's other."""
    real, fake = tf.sigmoid(d_real), tf.sigmoid(d_fake)
    value = tf.reduce_mean(tf.math.log(real) + tf.math.log(1 - fake))
    return -value / 2, -tf.reduce_mean(tf.math.log(fake))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_dcgan_gradients_equal_those_of_the_equations(norm):
    with floats("float64"):
        model = DCGAN(small("digits_dcgan", norm=norm))
        real = tf.constant(digits.load("test").pictures[:6], tf.float64)
        latent = tf.random.stateless_normal([6, 5], (0, 2), dtype=tf.float64)
        g, d = model.generator, model.discriminator
        with tf.GradientTape(persistent=True) as tape:
            fake = g(latent, training=True)
            d_real, d_fake = d(real, training=True), d(fake, training=True)
            disc_loss, gen_loss = value_function(d_real, d_fake)
        result = model.discriminator_gradients(real, latent, None)
        assert_same_gradients(result, disc_loss, tape, d)
        result = model.generator_gradients(latent, None)
        assert_same_gradients(result, gen_loss, tape, g)


def test_conditional_gradients_equal_those_of_the_equations():
    with floats("float64"):
        model = ConditionalGAN(small("digits_conditional"))
        real = tf.constant(digits.load("test").pictures[:6], tf.float64)
        latent = tf.random.stateless_normal([6, 5], (0, 2), dtype=tf.float64)
        labels = tf.constant([3, 0, 9, 9, 1, 2])
        y = np.eye(10)[labels]
        maps = np.broadcast_to(y[:, None, None], (6, 28, 28, 10))
        g, d = model.generator, model.discriminator
        with tf.GradientTape(persistent=True) as tape:
            fake = g(tf.concat([latent, y], 1), training=True)
            d_real, d_fake = (
                d(tf.concat([x, maps], 3), training=True) for x in (real, fake)
            )
            disc_loss, gen_loss = value_function(d_real, d_fake)
        result = model.discriminator_gradients(real, latent, labels)
        assert_same_gradients(result, disc_loss, tape, d)
        result = model.generator_gradients(latent, labels)
        assert_same_gradients(result, gen_loss, tape, g)


def test_controllable_gradients_equal_those_of_the_equations(tmp_path):
    run_dir = str(tmp_path)
    model = ControllableGAN(small("digits_controllable", run_dir=run_dir))
    model.prepare()
    table = model.latents.trainable_variables[0]
    before = table.numpy()
    table.assign_add(tf.random.stateless_normal(table.shape, (1, 2)))
    which = tf.range(6)
    losses, (gradient,) = model.gradients(which)

    def expected(z):
        logits, seen, _ = model.judge.network(model.generator(z))
        first = model.judge.network(model.generator(before))[1].numpy()
        log_p = tf.nn.log_softmax(logits).numpy()[range(6), range(6)]
        return -log_p.mean(), ((seen.numpy() - first) ** 2).mean()

    score, features = expected(table.numpy())
    assert float(losses["asked_loss"]) == pytest.approx(score, rel=1e-5)
    assert float(losses["features_loss"]) == pytest.approx(features, rel=1e-4)
    with tf.GradientTape() as tape:
        z = tf.constant(table.numpy())
        tape.watch(z)
        logits, seen, _ = model.judge.network(model.generator(z, training=False))
        log_p = tf.gather(tf.nn.log_softmax(logits), which, batch_dims=1)
        first = model.judge.network(model.generator(before, training=False))[1]
        loss = -tf.reduce_mean(log_p) + 10 * tf.reduce_mean((seen - first) ** 2)
    np.testing.assert_allclose(gradient, tape.gradient(loss, z), rtol=1e-4, atol=1e-8)


def test_norm_stands_between_layer_and_activation_without_a_bias():
    network = networks.generator(5, 2, "batch")
    names = [layer.name for layer in network.layers]
    assert names[1:5] == ["dense", "reshape", "norm_1", "relu_1"]
    assert names[5:8] == ["up_1", "norm_2", "relu_2"]
    biased = [n for n in names if getattr(network.get_layer(n), "use_bias", False)]
    assert biased == ["up_2"]
    plain = networks.generator(5, 2, "none")
    assert plain.get_layer("dense").use_bias and plain.get_layer("up_1").use_bias


def test_norm_uses_the_batch_in_training_and_moving_averages_afterwards():
    norm = networks.generator(5, 2, "batch").get_layer("norm_1")
    random = np.random.default_rng(0)
    mean, variance = np.zeros(4), np.ones(4)
    for _ in range(3):
        x = random.normal(3, 2, (6, 7, 7, 4)).astype(np.float32)
        of_batch = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        expected = (x - of_batch[0]) / np.sqrt(of_batch[1] + 1e-5)
        np.testing.assert_allclose(norm(x, training=True), expected, atol=1e-4)
        mean = 0.99 * mean + 0.01 * of_batch[0]
        variance = 0.99 * variance + 0.01 * of_batch[1]
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(norm(x, training=False), expected, rtol=2e-3, atol=1e-3)


def test_norm_of_two_replicas_uses_the_whole_batch():
    latent = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with two.scope():
        split = networks.generator(5, 2, "batch")
    whole = networks.generator(5, 2, "batch")
    whole.set_weights(split.get_weights())
    parts = two.experimental_distribute_values_from_function(
        lambda replica: tf.constant(
            np.split(latent, 2)[replica.replica_id_in_sync_group]
        )
    )
    run = tf.function(lambda x: two.run(lambda y: split(y, training=True), args=(x,)))
    result = np.concatenate([x.numpy() for x in run(parts).values])
    np.testing.assert_allclose(result, whole(latent, training=True), atol=1e-6)
    for ours, theirs in zip(split.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


# --- Runs


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("digits_dcgan", "single"),
        pytest.param("digits_conditional", "single", marks=pytest.mark.slow),
        pytest.param("digits_dcgan", "cpu:2", marks=pytest.mark.slow),
        pytest.param("digits_conditional", "cpu:2", marks=pytest.mark.slow),
    ],
)
def test_run_goes_on_to_the_bit(name, strategy, tmp_path):
    options = small(name, strategy=strategy, show_every_steps=3)
    log = assert_goes_on_to_the_bit(options, tmp_path, 2, GAN)
    number = "frechet_distance" if name == "digits_dcgan" else "as_asked"
    assert [r["step"] for r in log if number in r] == [0, 3, 4]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "strategy", ["single", pytest.param("cpu:2", marks=pytest.mark.slow)]
)
def test_controllable_moves_latents_of_a_run_and_nothing_else(strategy, tmp_path):
    first = small("digits_dcgan", run_dir=str(tmp_path / "first"), num_steps=1)
    train(first)
    options = small(
        "digits_controllable", strategy=strategy, generator_run=first.run_dir
    )
    log = assert_goes_on_to_the_bit(options, tmp_path, 2, LATENTS)
    assert {"changed", "moved", "moved_rotation"} <= log[-1].keys()
    ours = tf.train.load_checkpoint(tmp_path / "whole/checkpoints")
    theirs = tf.train.load_checkpoint(tmp_path / "first/checkpoints")
    names = [n for n in theirs.get_variable_to_shape_map() if n.startswith("generator")]
    assert len(names) == 12
    for name in names:
        np.testing.assert_array_equal(ours.get_tensor(name), theirs.get_tensor(name))
    start, end = (
        ours.get_tensor(f"{group}/table_embeddings/.ATTRIBUTES/VARIABLE_VALUE")
        for group in ("start", "latents")
    )
    assert (start != end).all() and 0.6 < start.std() < 1.4


def test_generator_run_that_does_not_fit_is_refused(tmp_path):
    fields = {"run_dir": str(tmp_path / "run")}
    options = small("digits_controllable", generator_run="runs/none", **fields)
    with pytest.raises(UserError, match="`generator_run` runs/none has no checkpoint"):
        train(options)
    assert not (tmp_path / "run").exists()
    first = small("digits_dcgan", run_dir=str(tmp_path / "first"), num_steps=1)
    train(first)
    other = dataclasses.replace(
        options, generator_run=first.run_dir, latent_size=7, num_filters=3
    )
    with pytest.raises(UserError, match="misshapen: generator/dense_kernel"):
        train(other)


def test_batch_that_replicas_cannot_share_is_refused():
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with pytest.raises(UserError, match="multiple of the 2 replicas. Received: 3"):
        DCGAN(small("digits_dcgan", batch_size=3), two)


def test_frechet_distance_compares_the_judges_features(tmp_path):
    model = DCGAN(small("digits_dcgan", run_dir=str(tmp_path)))
    numbers, (line,) = model.numbers()
    train, test, result = (
        model.judge.examine(pictures)[2].astype(np.float64)
        for pictures in (
            digits.load("train").pictures,
            digits.load("test").pictures,
            model.sample(dcgan._MEASURED)[0],
        )
    )

    def distance(a, b):
        apart = a.mean(axis=0) - b.mean(axis=0)
        a, b = (np.cov(x, rowvar=False) for x in (a, b))
        roots = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).real
        return apart @ apart + np.trace(a) + np.trace(b) - 2 * roots.sum()

    assert numbers["frechet_distance"] == pytest.approx(
        distance(result, train), rel=1e-2
    )
    expected = distance(test, train)
    assert numbers["frechet_distance_of_real"] == pytest.approx(expected, rel=1e-2)
    assert f"{model.judge.accuracy:.1%}" in line


def test_conditional_draws_equally_many_digits_per_label_and_judges_them(tmp_path):
    model = ConditionalGAN(small("digits_conditional", run_dir=str(tmp_path)))
    result, labels = model.sample(30)
    np.testing.assert_array_equal(labels, np.repeat(np.arange(10), 3))
    latent = tf.random.stateless_normal([30, 5], (0, 0))
    expected = model.generate(latent, tf.constant(labels))
    np.testing.assert_allclose(result, expected, atol=1e-6)
    result, labels = model.sample(dcgan._MEASURED)
    right = (model.judge.examine(result)[0] == labels).mean()
    assert model.numbers()[0]["as_asked"] == pytest.approx(right)


def test_controllable_numbers_by_hand(tmp_path):
    """Digits 0 to 5 are requested; a stub replaces the trained judge."""
    model = ControllableGAN(small("digits_controllable", run_dir=str(tmp_path)))
    before = np.array([0, 7, 2, 9, 5, 5]), np.zeros((6, 4))
    moves = np.arange(24.0).reshape(6, 4)
    after = np.array([0, 1, 7, 3, 5, 5]), moves * [1, -1, 1, 1]
    answers = iter([before, after])
    judge = types.SimpleNamespace(examine=lambda result: next(answers), accuracy=0.5)
    model.second_judge = judge
    found, _ = model.numbers()
    # Others before: 7, 9 and 5 (of 4); the first two became 1 and 3.
    assert found["changed"] == pytest.approx(2 / 3)
    others = moves[[1, 3, 4]].mean(axis=0)
    assert found["moved"] == pytest.approx(others.mean())
    assert found["moved_rotation"] == pytest.approx(others[0])


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("name", "kind"), [("digits_dcgan", DCGAN), ("digits_conditional", ConditionalGAN)]
)
def test_step_moves_both_networks(name, kind):
    model = kind(small(name))
    networks = model.generator, model.discriminator
    before = [[w.numpy() for w in n.trainable_variables] for n in networks]
    model.trainer.train_step()
    for network, old in zip(networks, before, strict=True):
        pairs = zip(network.trainable_variables, old, strict=True)
        assert any((weight.numpy() != past).any() for weight, past in pairs)


def test_numbers_of_the_end_are_measured_once(tmp_path, monkeypatch):
    measured = []
    numbers = DCGAN.numbers
    monkeypatch.setattr(
        DCGAN,
        "numbers",
        lambda self: measured.append(self.trainer.step) or numbers(self),
    )
    train(small("digits_dcgan", run_dir=str(tmp_path / "run"), num_steps=2))
    assert measured == [0, 2]
