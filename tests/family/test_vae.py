"""The VAE: its ELBO and gradients, its numbers, its runs and its export."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.exporting_samples import run_here, untrained_run
from helpers.precision import floats
from helpers.runs import assert_goes_on_to_the_bit

from cyclegan_tf.core.state import named_weights
from cyclegan_tf.deploy import verify
from cyclegan_tf.deploy.export import export
from cyclegan_tf.family.shared import digits
from cyclegan_tf.family.shared.options import VAE as Options
from cyclegan_tf.family.vae import VAE
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import newest_checkpoint

GROUPS = ("encoder/", "generator/", "optimizer_of_encoder", "optimizer_of_generator")
SMALL = {
    "num_filters": 2,
    "num_features": 7,
    "latent_size": 5,
    "batch_size": 6,
    "num_steps": 4,
    "log_every_steps": 1,
}

pytestmark = pytest.mark.usefixtures("few_digits", "no_figures")


def small(**fields):
    return dataclasses.replace(preset("digits_vae"), **{**SMALL, **fields})


# --- The ELBO


def test_losses_of_a_hand_worked_case():
    """q(z|x) = N(1, 4), the decoder paints every pixel with z, and x is 0.5."""
    model = VAE(small(pixel_deviation=0.3))
    model.encoder = lambda x, training: (tf.ones([1, 1]), tf.math.log([[4.0]]))
    model.decoder = lambda z, training: tf.broadcast_to(z[..., None, None], x.shape)
    x = tf.fill([1, 28, 28, 1], 0.5)
    # z = 1 + 2 * -0.25 = 0.5 is exact; z = 1 is off by 0.5 in each of 784 pixels.
    constant = 784 / 2 * np.log(2 * np.pi * 0.3**2)
    for noise, error in ((-0.25, 0.0), (0.0, 784 * 0.5**2 / (2 * 0.3**2))):
        losses = model.losses(x, tf.fill([1, 1], noise))
        expected = pytest.approx(constant + error, rel=1e-5)
        assert float(losses["reconstruction_loss"]) == expected
        # (mean**2 + variance - 1 - log(variance)) / 2
        assert float(losses["kl_loss"]) == pytest.approx((1 + 4 - 1 - np.log(4)) / 2)


def test_kl_equals_the_integral_and_losses_are_means_of_the_batch():
    model = VAE(small())
    mean, log_variance = (
        np.array([[0.7, -2.0], [0.0, 0.3]]),
        np.array([[-0.5, 1], [0, 0]]),
    )
    model.encoder = lambda x, training: (tf.constant(mean), tf.constant(log_variance))
    model.decoder = lambda z, training: tf.zeros([2, 28, 28, 1], tf.float64)
    kl = model.losses(tf.zeros([2, 28, 28, 1], tf.float64), np.zeros([2, 2]))["kl_loss"]
    z = np.linspace(-30, 30, 100_001)

    def log_normal(mean, variance):
        return -((z - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2

    expected = 0.0
    for m, v in zip(mean.ravel(), np.exp(log_variance.ravel()), strict=True):
        q = np.exp(log_normal(m, v))
        expected += np.trapezoid(q * (log_normal(m, v) - log_normal(0, 1)), z)
    assert float(kl) == pytest.approx(expected / 2, rel=1e-6)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_gradients_equal_those_of_the_equations(norm):
    with floats("float64"):
        model = VAE(small(norm=norm, pixel_deviation=0.4))
        x = tf.constant(digits.load("test").pictures[:6], tf.float64)
        noise = tf.random.stateless_normal([6, 5], (0, 2), dtype=tf.float64)
        with tf.GradientTape(persistent=True) as tape:
            mean, log_variance = model.encoder(x, training=True)
            deviation = tf.sqrt(tf.exp(log_variance))
            z = mean + deviation * noise
            decoded = model.decoder(z, training=True)
            density = tf.exp(-((x - decoded) ** 2) / (2 * 0.4**2))
            density /= np.sqrt(2 * np.pi) * 0.4
            log_p = tf.reduce_sum(tf.math.log(density), axis=(1, 2, 3))
            # Appendix B of the paper.
            minus_kl = 1 + tf.math.log(deviation**2) - mean**2 - deviation**2
            elbo = log_p + tf.reduce_sum(minus_kl, axis=1) / 2
            loss = -tf.reduce_mean(elbo)
        losses, gradients = model.gradients(x, noise)
        assert float(sum(losses.values())) == pytest.approx(float(loss))
        for name, network in (("encoder", model.encoder), ("generator", model.decoder)):
            expected = tape.gradient(loss, network.trainable_variables)
            for ours, theirs in zip(gradients[name], expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8)


def test_elbo_is_the_mean_of_the_test_digits(tmp_path):
    model = VAE(small())
    pictures = digits.load("test").pictures
    noise = digits.fixed_latents(len(pictures), 5)
    each = [
        -sum(map(float, model.losses(pictures[i : i + 1], noise[i : i + 1]).values()))
        for i in range(len(pictures))
    ]
    assert model.elbo() == pytest.approx(np.mean(each), rel=1e-5)


# --- Numbers


def test_measured_numbers_by_hand(monkeypatch):
    """Digits of one grey; the stub judge reads the class and rotation from it."""
    inputs = keras.Input((2,))
    grey = keras.layers.Reshape((1, 1, 2))(inputs)
    grey = keras.layers.UpSampling2D(28)(grey)
    generator = keras.Model(inputs, grey)

    def network(pictures, training):
        first, second = pictures[:, 0, 0, 0], pictures[:, 0, 0, 1]
        logits = np.eye(10)[np.clip(np.rint(second), 0, 9).astype(int)]
        factors = np.stack([first, 0 * first, 0 * first, 0 * first], axis=1)
        return logits, factors, np.stack([first, second], axis=1)

    monkeypatch.setattr(digits.Judge, "frechet_distance", lambda self, x: x.mean())
    monkeypatch.setattr(digits.Judge, "accuracy", 0.5)
    # Rotations -1, 0, 1, 2 and classes 3, 3, 4, 9.
    latents = np.array([[-1, 3], [0, 3], [1, 4], [2, 9]], np.float32)
    found, (line,) = digits.Judge(network).measure(generator, latents)
    # The two with the largest rotation minus the others: (1.5, 6.5) - (-0.5, 3).
    assert found["rotated"] == pytest.approx(2.0)
    # Classes move by 3.5: to 6, 6, 8 and 9.
    assert found["same_digit"] == 0.25
    assert found["rarest_digit"] == 0 and found["commonest_digit"] == 0.5
    assert found["frechet_distance"] == pytest.approx(latents.mean())
    assert found["sharpness"] == 0.0 and "50.0% accuracy" in line


def test_sharpness_of_real_digits_is_1_and_of_half_the_contrast_one_half(tmp_path):
    test = digits.load("test").pictures
    judge = digits.judge_of(tmp_path)
    indices = np.arange(len(test))

    def sharpness(contrast: float) -> float:
        def generator(which, training):
            return contrast * test[np.clip(which.astype(int), 0, len(test) - 1)]

        return judge.measure(generator, indices)[0]["sharpness"]

    assert sharpness(1.0) == pytest.approx(1.0)
    assert sharpness(0.5) == pytest.approx(0.5)


def test_pictures_are_reconstructions_samples_and_paths():
    model = VAE(small())
    sheets = model.pictures()
    assert [*sheets] == ["real", "reconstructed", "generated", "paths"]
    assert {sheet.shape for sheet in sheets.values()} == {(1, 224, 224, 3)}
    # A path begins and ends with reconstructions.
    paths, reconstructed = sheets["paths"][0], sheets["reconstructed"][0]
    for row in range(8):
        rows = slice(28 * row, 28 * row + 28)
        first = reconstructed[:28, 28 * row : 28 * row + 28].astype(int)
        last = reconstructed[28:56, 28 * row : 28 * row + 28].astype(int)
        assert np.abs(paths[rows, :28] - first).max() <= 1
        assert np.abs(paths[rows, -28:] - last).max() <= 1


# --- Runs


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "strategy", ["single", pytest.param("cpu:2", marks=pytest.mark.slow)]
)
def test_run_goes_on_to_the_bit(strategy, tmp_path):
    options = small(strategy=strategy, show_every_steps=3)
    log = assert_goes_on_to_the_bit(options, tmp_path, 2, GROUPS)
    assert [r["step"] for r in log if "elbo" in r] == [0, 3, 4]
    assert {"reconstruction_loss", "kl_loss"} <= log[1].keys()


@pytest.mark.stack
def test_decoder_is_exported(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "run_process", run_here)
    options = small(run_dir=str(tmp_path / "run"))
    untrained_run(options, factor=5.0)
    rows = export(options.run_dir, name="vae", tflite_types=("float32",))
    assert [row["kind"] for row in rows] == ["serving_default", "generate", "float32"]
    assert not any(row["problem"] for row in rows)
    model = VAE(options)
    saved = tf.train.load_checkpoint(newest_checkpoint(options.run_dir))
    for name, weight in named_weights(model.decoder).items():
        stored = f"generator/{name}/.ATTRIBUTES/VARIABLE_VALUE"
        weight.assign(saved.get_tensor(stored))
    latent = digits.fixed_latents(3, 5)
    path = f"{options.run_dir}/export/saved_model/vae/1"
    signature = tf.saved_model.load(path).signatures["generate"]
    images = signature(latent=tf.constant(latent))["images"]
    np.testing.assert_allclose(images, model.decoder(latent), atol=1e-5)


def test_pixels_without_deviation_are_refused():
    with pytest.raises(UserError, match="`pixel_deviation`.*0.0"):
        Options(pixel_deviation=0.0)
