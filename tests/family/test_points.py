"""The GAN on points: its data, its losses and gradients, its runs."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
from helpers.flag_tables import ROOT
from helpers.precision import floats
from helpers.runs import assert_goes_on_to_the_bit

from cyclegan_tf.core.penalties import interpolation_penalty
from cyclegan_tf.core.state import named_weights
from cyclegan_tf.family import points
from cyclegan_tf.family.points import PointsGAN
from cyclegan_tf.family.shared.networks import perceptron
from cyclegan_tf.family.shared.options import Points
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import PRESETS, preset
from cyclegan_tf.training.run_directory import load_config, newest_checkpoint
from cyclegan_tf.training.train import train

NETWORKS = ("generator", "discriminator", "optimizer_of_")
NAMES = ("points", "points_grid", "points_wgan_gp")
SMALL = {
    "num_units": 8,
    "num_layers": 2,
    "batch_size": 6,
    "num_steps": 6,
    "log_every_steps": 1,
}

pytestmark = pytest.mark.usefixtures("no_figures")

# --- Data


@pytest.mark.parametrize(("kind", "modes"), [("ring", 8), ("grid", 25)])
def test_points_are_drawn_equally_from_all_modes(kind, modes):
    drawn = points.draw(kind, 100_000, (3, 4)).numpy()
    found = points.statistics(drawn, kind)
    assert found["modes"] == modes
    assert abs(found["within"] - (1 - np.exp(-4.5))) < 0.002
    assert 0 < found["kl_generated_real"] < 0.001
    assert 0 < found["kl_real_generated"] < 0.001
    sigma = points.DEVIATION[kind]
    near = drawn[np.linalg.norm(drawn - points.centres(kind)[0], axis=1) < 6 * sigma]
    assert abs(len(near) * modes / 100_000 - 1) < 0.05
    np.testing.assert_allclose(near.std(axis=0), sigma, rtol=0.05)
    again = points.draw(kind, 100_000, (3, 4)).numpy()
    np.testing.assert_array_equal(drawn, again)
    assert not (drawn == points.draw(kind, 100_000, (3, 5)).numpy()).any()


def test_statistics_by_hand():
    means = points.centres("ring")
    # Four points at one centre, three at the next, one far outside nearest to it.
    result = np.concatenate([means[[0] * 4], means[[1] * 3], 9 * means[[1]]])
    found = points.statistics(result, "ring")
    shares = np.array([5, 5, 1, 1, 1, 1, 1, 1]) / 16
    assert found["modes"] == 2
    assert found["within"] == 7 / 8
    expected = np.sum(shares * np.log(shares / (1 / 8)))
    assert found["kl_generated_real"] == pytest.approx(expected)
    expected = np.sum(np.log(1 / 8 / shares) / 8)
    assert found["kl_real_generated"] == pytest.approx(expected)


# --- Losses and gradients


@pytest.fixture
def in_double():
    with floats("float64"):
        yield


def test_perceptron_has_the_requested_hidden_layers():
    network = perceptron(2, 1, 3, 2, "network")
    shapes = [tuple(weight.shape) for weight in network.weights]
    assert shapes == [(2, 3), (3,), (3, 3), (3,), (3, 1), (1,)]


def test_penalty_equals_finite_differences(in_double):
    critic = perceptron(2, 1, 16, 2, "critic")
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(2, 5, 2))
    seed = (1, 2)
    place = tf.random.stateless_uniform([5, 1], seed, dtype=tf.float64).numpy()
    between = fake + place * (real - fake)
    norms, epsilon = np.zeros((5, 2)), 1e-6
    for axis in range(2):
        moved = epsilon * np.eye(2)[axis]
        above, below = critic(between + moved), critic(between - moved)
        norms[:, axis] = (above - below).numpy()[:, 0] / (2 * epsilon)
    expected = np.mean((np.linalg.norm(norms, axis=1) - 1) ** 2)
    real, fake = tf.constant(real), tf.constant(fake)
    penalty = interpolation_penalty(critic, real, fake, seed)
    assert float(penalty) == pytest.approx(expected, rel=1e-6)
    # Its gradient for a weight, likewise.
    weight = critic.trainable_variables[0]
    with tf.GradientTape() as tape:
        penalty = interpolation_penalty(critic, real, fake, seed)
    gradient = tape.gradient(penalty, critic.trainable_variables)[0].numpy()
    start, values = weight.numpy(), []
    for sign in (1, -1):
        moved = start.copy()
        moved[0, 0] += sign * epsilon
        weight.assign(moved)
        values.append(float(interpolation_penalty(critic, real, fake, seed)))
    difference = (values[0] - values[1]) / (2 * epsilon)
    assert difference == pytest.approx(gradient[0, 0], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_those_of_the_equations(name, in_double):
    options = dataclasses.replace(PRESETS[name].config, **SMALL)
    model = PointsGAN(options)
    real = tf.cast(points.draw(options.points, 6, (0, 1)), tf.float64)
    latent = tf.random.stateless_normal([6, 2], (0, 2), dtype=tf.float64)
    place = tf.constant((0, 3))
    g, d = model.generator, model.discriminator
    with tf.GradientTape(persistent=True) as tape:
        fake = g(latent)
        if options.adversarial_loss == "wgan_gp":
            u = tf.random.stateless_uniform([6, 1], place, dtype=tf.float64)
            with tf.GradientTape() as inner:
                x = u * real + (1 - u) * tf.stop_gradient(fake)
                inner.watch(x)
                score = d(x)
            slope = tf.norm(inner.gradient(score, x), axis=1)
            disc_loss = tf.reduce_mean(d(tf.stop_gradient(fake)) - d(real))
            disc_loss += 10 * tf.reduce_mean((slope - 1) ** 2)
            gen_loss = -tf.reduce_mean(d(fake))
        else:
            p_real, p_fake = tf.sigmoid(d(real)), tf.sigmoid(d(fake))
            # Algorithm 1 with the discriminator's loss halved.
            disc_loss = -tf.reduce_mean(tf.math.log(p_real) + tf.math.log(1 - p_fake))
            disc_loss /= 2
            gen_loss = -tf.reduce_mean(tf.math.log(p_fake))
    for result, loss, network in (
        (model.discriminator_gradients(real, latent, place), disc_loss, d),
        (model.generator_gradients(latent), gen_loss, g),
    ):
        assert float(result[0]) == pytest.approx(float(loss), abs=1e-8)
        expected = tape.gradient(loss, network.trainable_variables)
        for ours, theirs in zip(result[1], expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


# --- Runs


@pytest.mark.stack
@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("points", "single"),
        pytest.param("points", "cpu:2", marks=pytest.mark.slow),
        pytest.param("points_wgan_gp", "single", marks=pytest.mark.slow),
    ],
)
def test_run_goes_on_to_the_bit(name, strategy, tmp_path):
    options = preset(name, **SMALL, strategy=strategy, show_every_steps=4)
    records = assert_goes_on_to_the_bit(options, tmp_path, 3, NETWORKS)
    assert [r["step"] for r in records if "modes" in r] == [0, 4, 6]
    assert [r["step"] for r in records if "gen_loss" in r] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "whole/grids/epoch_0001.png").exists()
    assert (tmp_path / "whole/losses.png").exists()


def test_bare_loop_of_the_page_equals_the_command(tmp_path):
    page = (ROOT / "cyclegan_tf/family/README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert code.count("num_steps, batch = 10_000, 256\n") == 1
    result = {}
    exec(code.replace("10_000", "9"), result)
    train(preset("points", run_dir=str(tmp_path), num_steps=9))
    saved = tf.train.load_checkpoint(newest_checkpoint(tmp_path))
    for network in (result["generator"], result["discriminator"]):
        for name, variable in named_weights(network).items():
            stored = f"{network.name}/{name}/.ATTRIBUTES/VARIABLE_VALUE"
            np.testing.assert_array_equal(variable, saved.get_tensor(stored), stored)


def test_learning_rates_of_both_networks_are_constant_and_then_fall():
    options = Points(num_steps=8, critic_steps=5, adversarial_loss="wgan_gp")
    model = PointsGAN(options)
    generator, critic = (
        model.trainer.schedule(n) for n in ("generator", "discriminator")
    )
    rates = [float(generator(step)) for step in range(8)]
    assert rates[:4] == [pytest.approx(1e-3)] * 4
    assert np.diff(rates[3:]) == pytest.approx([-2e-4] * 4)
    assert [float(critic(5 * step + 4)) for step in range(8)] == rates


def test_commands_for_a_cyclegan_refuse_the_run(tmp_path):
    train(preset("points", run_dir=str(tmp_path / "run"), **{**SMALL, "num_steps": 1}))
    message = "is a run of the model `points`; this needs a CycleGAN.$"
    with pytest.raises(UserError, match=message):
        load_config(tmp_path / "run")
    message = r"another configuration \(model: points there, cyclegan requested\)"
    with pytest.raises(UserError, match=message):
        train(preset("tiny", run_dir=str(tmp_path / "run")))
