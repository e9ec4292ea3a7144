"""Domain-invariant features: gradients, the probe, runs."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.precision import floats
from helpers.runs import assert_goes_on_to_the_bit

from cyclegan_tf.family.domain_invariant import DomainInvariantClassifier, ramp
from cyclegan_tf.family.shared import digits
from cyclegan_tf.training.presets import preset

GROUPS = ("encoder/", "classifier/", "domain/", "optimizer_of_")
SMALL = {
    "num_filters": 2,
    "num_features": 6,
    "num_units": 5,
    "batch_size": 6,
    "num_steps": 4,
    "log_every_steps": 1,
}

pytestmark = pytest.mark.usefixtures("few_digits", "no_figures")


def small(**fields):
    options = preset("digits_domain_invariant")
    return dataclasses.replace(options, **{**SMALL, **fields})


@pytest.mark.parametrize("weight", [0.7, 0.0])
def test_gradients_equal_those_of_the_equations(weight):
    with floats("float64"):
        model = DomainInvariantClassifier(small(lambda_r1=0.2))
        random = np.random.default_rng(0)
        source, target = random.uniform(-1, 1, (2, 6, 28, 28, 1))
        labels = np.array([3, 0, 9, 9, 1, 2], np.int32)
        with tf.GradientTape(persistent=True) as tape:
            plain, textured = (model.encoder(x) for x in (source, target))
            right = tf.gather(
                tf.nn.softmax(model.classifier(plain)), labels, batch_dims=1
            )
            class_loss = -tf.reduce_mean(tf.math.log(right))
            of_plain, of_textured = (
                tf.sigmoid(model.domain(x)) for x in (plain, textured)
            )
            domain_loss = -tf.reduce_mean(
                tf.math.log(of_plain) + tf.math.log(1 - of_textured)
            )
            swapped = -tf.reduce_mean(
                tf.math.log(1 - of_plain) + tf.math.log(of_textured)
            )
            encoder_loss = class_loss + weight * swapped / 2
            features = tf.stop_gradient(tf.concat([plain, textured], axis=0))
            with tf.GradientTape() as inner:
                inner.watch(features)
                logits = model.domain(features)
            slopes = inner.gradient(logits, features)
            steep = tf.reduce_mean(tf.reduce_sum(slopes**2, axis=1)) / 2
            total = domain_loss / 2 + 0.2 * steep
        losses, gradients = model.gradients(
            tf.constant(source), labels, tf.constant(target), weight
        )
        assert float(losses["class_loss"]) == pytest.approx(float(class_loss))
        assert float(losses["domain_loss"]) == pytest.approx(float(domain_loss) / 2)
        for name, loss in (
            ("encoder", encoder_loss),
            ("classifier", class_loss),
            ("domain", total),
        ):
            weights = model.trainer.networks[name].trainable_variables
            expected = tape.gradient(loss, weights)
            for ours, theirs in zip(gradients[name], expected, strict=True):
                # The penalty does not depend on the last bias.
                theirs = tf.zeros_like(ours) if theirs is None else theirs
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


def test_weight_of_fooling_grows_from_0_to_1():
    found = [float(ramp(tf.constant(x))) for x in (0.0, 0.1, 1.0)]
    assert found[0] == 0 and found[2] == pytest.approx(1, abs=1e-4)
    assert found[1] == pytest.approx((1 - np.exp(-1)) / (1 + np.exp(-1)), rel=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_weight_of_fooling_follows_the_progress_of_the_training(monkeypatch):
    model = DomainInvariantClassifier(small(num_steps=8, lambda_domain=2.0))
    weights, gradients = [], model.gradients

    def seen(source, labels, target, weight):
        weights.append(float(weight))
        return gradients(source, labels, target, weight)

    monkeypatch.setattr(model, "gradients", seen)
    for _ in range(2):
        model.trainer.train_step()
    assert weights == pytest.approx([0, 2 * float(ramp(tf.constant(1 / 8)))])


@pytest.mark.slow
def test_probe_separates_domains_only_if_their_features_differ():
    model = DomainInvariantClassifier(small())
    random = np.random.default_rng(0)
    same, other = random.normal(size=(2, 400, 6)).astype(np.float32)
    assert abs(model.probe_accuracy(same, other) - 0.5) < 0.1
    assert model.probe_accuracy(same, other + 2.0) > 0.95
    # The same mean, but another spread.
    assert model.probe_accuracy(same, 4 * other) > 0.85


def test_numbers_are_accuracies_on_test_digits(monkeypatch):
    monkeypatch.setattr(DomainInvariantClassifier, "probe_accuracy", lambda *_: 0.75)
    model = DomainInvariantClassifier(small())
    found, _ = model.numbers()
    for name, domain in zip(("source", "target"), digits.DOMAINS, strict=True):
        test = digits.load("test", domain)
        classes = model.classifier(model.encoder(test.pictures)).numpy().argmax(axis=1)
        assert found[name] == pytest.approx((classes == test.labels).mean())
    assert found["probe"] == 0.75


def test_no_digit_is_in_both_domains():
    source, target = (digits.load("train", domain) for domain in digits.DOMAINS)
    assert (source.labels != target.labels).any()
    assert np.abs(source.factors - target.factors).min(axis=1).max() > 0.1


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "strategy", ["single", pytest.param("cpu:2", marks=pytest.mark.slow)]
)
def test_run_goes_on_to_the_bit(strategy, tmp_path, monkeypatch):
    # The probe would train for long.
    model = DomainInvariantClassifier
    monkeypatch.setattr(model, "probe_accuracy", lambda self, a, b: float(np.mean(a)))
    options = small(strategy=strategy, show_every_steps=4)
    log = assert_goes_on_to_the_bit(options, tmp_path, 2, GROUPS)
    numbers = [r for r in log if "target" in r]
    assert [r["step"] for r in numbers] == [0, 4]
    assert {"source", "target", "probe"} <= numbers[0].keys()
