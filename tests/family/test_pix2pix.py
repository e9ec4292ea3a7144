"""pix2pix: its losses and gradients, its numbers, its runs."""

import runpy

import numpy as np
import pytest
import tensorflow as tf
from helpers.dataset_folders import picture
from helpers.flag_tables import ROOT
from helpers.precision import floats
from helpers.runs import assert_goes_on_to_the_bit
from PIL import Image

from cyclegan_tf.family.pix2pix import Pix2PixGAN
from cyclegan_tf.family.shared.options import Pix2Pix
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.nan_checks import NonFiniteLossError
from cyclegan_tf.training.train import describe, train

NETWORKS = ("generator", "discriminator", "optimizer_of_")
SMALL = {
    "image_size": 16,
    "load_size": 20,
    "num_filters": 3,
    "num_downs": 3,
    "discriminator_filters": 3,
    "discriminator_layers": 1,
    "batch_size": 2,
    "num_steps": 6,
    "log_every_steps": 1,
}

pytestmark = pytest.mark.usefixtures("few_shapes", "no_figures")

# --- Losses and gradients


@pytest.fixture
def in_double():
    with floats("float64"):
        yield


@pytest.mark.parametrize("lambda_gan", [1.0, 2.5, 0.0])
def test_gradients_equal_those_of_the_equations(lambda_gan, in_double):
    model = Pix2PixGAN(Pix2Pix(**SMALL, lambda_gan=lambda_gan))
    random = np.random.default_rng(0)
    a, b = tf.constant(random.uniform(-1, 1, (2, 3, 16, 16, 3)))
    g, d = model.generator, model.discriminator
    with tf.GradientTape(persistent=True) as tape:
        fake = g(a)
        p_real = tf.sigmoid(d(tf.concat([a, b], -1)))
        p_fake = tf.sigmoid(d(tf.concat([a, fake], -1)))
        # Equation 1 turned over, and halved as section 3.3 says.
        objective = tf.reduce_mean(tf.math.log(p_real))
        objective += tf.reduce_mean(tf.math.log(1 - p_fake))
        disc_loss = -objective / 2
        # Equations 3 and 4; G maximizes log D(x, G(x)).
        l1 = tf.reduce_mean(tf.abs(b - fake))
        gan = -tf.reduce_mean(tf.math.log(p_fake))
        gen_loss = lambda_gan * gan + 100 * l1
    losses, gen_gradients = model.generator_gradients(a, b)
    expected = {"gen_loss": gen_loss, "l1_loss": l1, "gan_loss": gan}
    assert set(losses) == set(expected) - ({"gan_loss"} if not lambda_gan else set())
    for name, loss in losses.items():
        assert float(loss) == pytest.approx(float(expected[name]), abs=1e-8), name
    result, disc_gradients = model.discriminator_gradients(a, b)
    assert float(result) == pytest.approx(float(disc_loss), abs=1e-8)
    for gradients, loss, network in (
        (gen_gradients, gen_loss, g),
        (disc_gradients, disc_loss, d),
    ):
        theirs = tape.gradient(loss, network.trainable_variables)
        assert max(np.abs(gradient).max() for gradient in theirs) > 1e-3
        for ours, other in zip(gradients, theirs, strict=True):
            np.testing.assert_allclose(ours, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize("lambda_gan", [1.0, 0.0])
def test_l1_alone_does_not_update_the_discriminator(lambda_gan, random_images):
    model = Pix2PixGAN(Pix2Pix(**SMALL, lambda_gan=lambda_gan))
    networks = model.generator, model.discriminator
    before = [[w.numpy() for w in n.trainable_variables] for n in networks]
    losses = model.trainer.train_step(
        random_images(2, 16, 16, 3), tf.zeros([2, 16, 16, 3])
    )
    moved = []
    for network, old in zip(networks, before, strict=True):
        pairs = zip(network.trainable_variables, old, strict=True)
        moved.append(any((weight.numpy() != past).any() for weight, past in pairs))
    assert moved == [True, bool(lambda_gan)]
    assert ("disc_loss" in losses) is bool(lambda_gan)
    shown = {name for names in model.curves.values() for name in names}
    assert shown == set(losses) - {"gen_loss"}


# --- Pictures and numbers


@pytest.fixture
def model_of(tmp_path):
    """Makes models whose generator is a function of a picture."""

    def make(function, **fields) -> Pix2PixGAN:
        model = Pix2PixGAN(Pix2Pix(**{**SMALL, **fields}))
        model.generator = lambda x, training: function(x)
        return model

    return make


def test_numbers_by_hand(model_of):
    model = model_of(lambda x: x)
    inputs, truths = (
        np.array([model.data.test.read(i)[..., s] for i in range(3)], np.float64)
        for s in (slice(0, 3), slice(3, 6))
    )
    found, (line,) = model.numbers()
    error = np.abs(inputs - truths).mean()
    assert error > 10
    assert found["error"] == found["error_of_input"] == pytest.approx(error)

    def steepness(x):
        across = np.abs(x[:, :, 1:] - x[:, :, :-1]).mean()
        return (across + np.abs(x[:, 1:] - x[:, :-1]).mean()) / 2

    ratio = steepness(inputs) / steepness(truths)
    assert found["sharpness"] == pytest.approx(ratio)
    assert 0.2 < ratio < 0.95
    assert line.endswith(f"{ratio:.0%} as sharp as the truth")
    assert model_of(lambda x: 0 * x).numbers()[0]["sharpness"] == 0


def test_numbers_do_not_depend_on_the_batch_size(model_of, monkeypatch):
    whole = model_of(lambda x: -x).numbers()[0]
    monkeypatch.setattr("cyclegan_tf.family.pix2pix._AT_ONCE", 2)
    assert model_of(lambda x: -x).numbers()[0] == pytest.approx(whole)


def test_pictures_are_input_output_and_truth(model_of):
    model = model_of(lambda x: -x)
    shown = model.pictures()
    assert [*shown] == ["input", "output", "truth"]
    pairs = np.array([model.data.test.read(i) for i in range(3)])
    np.testing.assert_array_equal(shown["input"], pairs[..., :3])
    np.testing.assert_array_equal(shown["output"], 255 - pairs[..., :3])
    np.testing.assert_array_equal(shown["truth"], pairs[..., 3:])


def test_numbers_for_a_truth_of_one_colour_and_without_test_pictures(
    model_of, tmp_path
):
    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
    picture(0).save(tmp_path / "trainA/x.png")
    picture(0).point(lambda value: 9).save(tmp_path / "trainB/x.png")
    model = model_of(lambda x: x, dataset=str(tmp_path))
    found, (line,) = model.numbers()
    assert found["sharpness"] == 1
    assert line.endswith("as sharp as the truth (of training pictures)")


# --- Runs


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "strategy", ["single", pytest.param("cpu:2", marks=pytest.mark.slow)]
)
def test_run_goes_on_to_the_bit(strategy, tmp_path):
    options = Pix2Pix(**SMALL, strategy=strategy, show_every_steps=4)
    records = assert_goes_on_to_the_bit(options, tmp_path, 3, NETWORKS)
    assert [r["step"] for r in records if "sharpness" in r] == [0, 4, 6]
    losses = [r for r in records if "gen_loss" in r]
    assert [r["step"] for r in losses] == [1, 2, 3, 4, 5, 6]
    for r in losses:
        assert r["gen_loss"] == pytest.approx(r["gan_loss"] + 100 * r["l1_loss"])
    assert (tmp_path / "whole/grids/epoch_0001.png").exists()
    assert (tmp_path / "whole/losses.png").exists()


@pytest.mark.slow
def test_script_shows_translations_of_two_runs(tmp_path):
    for name in ("shapes", "shapes_anywhere"):
        fields = {**SMALL, "dataset": name, "num_steps": 1, "strategy": "single"}
        train(Pix2Pix(run_dir=str(tmp_path / name), **fields))
    script = runpy.run_path(str(ROOT / "tests/measuring/show_pairs.py"))
    runs = [f"ours={tmp_path / name}" for name in ("shapes", "shapes_anywhere")]
    script["main"](str(tmp_path / "shown.png"), *runs)
    shown = np.asarray(Image.open(tmp_path / "shown.png"))
    # Three rows of six pictures.
    assert 1.6 < shown.shape[1] / shown.shape[0] < 2.6


def test_loss_that_is_not_finite_names_the_pairs(tmp_path):
    options = Pix2Pix(**SMALL, learning_rate=1e38, run_dir=str(tmp_path / "run"))
    # The discriminator, updated first, judges the generator.
    number = r"shapes 0 number \d"
    message = f"gen_loss is (nan|inf) at step 1, of {number}, {number}[.]"
    with pytest.raises(NonFiniteLossError, match=message):
        train(options)


def test_plan_names_networks_and_steps():
    plan = describe(Pix2Pix(**SMALL)).splitlines()
    assert plan[1] == '  "model": "pix2pix",'
    # Convolutions of 4x4 with these inputs and outputs; biases where no norm follows.
    down = 16 * (3 * 3 + 3 * 6 + 6 * 12) + 3 + 12
    up = 16 * (12 * 6 + 12 * 3 + 6 * 3) + 3
    disc = 16 * (6 * 3 + 3 * 6 + 6 * 1) + 3 + 1
    assert plan[-3:] == [
        f"generator: {down + up:,} parameters",
        f"discriminator: {disc:,} parameters",
        "steps: 6",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 72}, "`image_size` .*64"),
        ({"load_size": 60}, "`load_size` .*`image_size`"),
        ({"discriminator_layers": 5}, "`image_size` .*5 `discriminator_layers`"),
        ({"lambda_l1": 0.0, "lambda_gan": 0.0}, "`lambda_l1`"),
    ],
)
def test_bad_option_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Pix2Pix(**fields)
