"""The semi-supervised GAN: labels, gradients, runs and refusals."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.precision import floats
from helpers.runs import assert_goes_on_to_the_bit

from cyclegan_tf.family.semi_supervised import SemiSupervisedGAN
from cyclegan_tf.family.shared import digits
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.presets import preset

GROUPS = ("classifier/", "generator/", "optimizer_of_classifier", "optimizer_of_gen")
SMALL = {
    "num_labels": 20,
    "num_filters": 2,
    "num_features": 7,
    "generator_filters": 2,
    "latent_size": 5,
    "batch_size": 6,
    "num_steps": 4,
    "log_every_steps": 1,
}

pytestmark = pytest.mark.usefixtures("few_digits", "no_figures")


def small(**fields):
    return dataclasses.replace(preset("digits_semi_supervised"), **{**SMALL, **fields})


def test_seed_chooses_equally_many_labels_per_class():
    labels = digits.load("train").labels
    chosen = digits.choose_labelled(labels, 20, 3)
    assert (np.bincount(labels[chosen]) == 2).all() and len(set(chosen)) == 20
    np.testing.assert_array_equal(chosen, digits.choose_labelled(labels, 20, 3))
    assert set(chosen) != set(digits.choose_labelled(labels, 20, 4))


@pytest.mark.parametrize("number", [25, 110])
def test_number_of_labels_that_classes_cannot_share_is_refused(number):
    message = f"`num_labels` must be a multiple of 10, at most 100. Received: {number}"
    with pytest.raises(UserError, match=message):
        SemiSupervisedGAN(small(num_labels=number))


def test_digits_without_labels_are_the_others():
    model = SemiSupervisedGAN(small())
    labelled, _ = model._labelled
    assert len(labelled) == 20 and len(model._unlabelled) == 80
    known = {image.tobytes() for image in labelled.numpy()}
    assert not known & {image.tobytes() for image in model._unlabelled.numpy()}


def test_augmented_digits_are_rotated_scaled_and_shifted():
    image = np.zeros((200, 28, 28, 1), np.uint8)
    image[:, 10:18, 12:16] = 255
    still = digits.augment(image, 0.0, (0, 1)).numpy()
    np.testing.assert_array_equal(still, image)
    moved = digits.augment(image, 1.0, (0, 1)).numpy()
    ink = moved.sum(axis=(1, 2, 3)) / image[0].sum()
    assert 0.6 < ink.min() < 0.8 and 1.2 < ink.max() < 1.7
    rows, columns = np.mgrid[:28, :28]
    for axis in (rows, columns):
        centre = (moved[..., 0] * axis).sum(axis=(1, 2)) / moved.sum(axis=(1, 2, 3))
        assert 1.5 < np.abs(centre - 13.5).max() < 3.5
        assert abs(centre.mean() - 13.5) < 0.3
    assert (moved != digits.augment(image, 1.0, (0, 2)).numpy()).any()


@pytest.mark.usefixtures("eagerly")
def test_step_updates_both_networks_of_the_requested_sizes():
    model = SemiSupervisedGAN(small())
    first, features = model.classifier.weights[0], model.classifier.outputs[0]
    assert first.shape[-1] == 2 and features.shape[-1] == 7
    before = [network.get_weights() for network in (model.classifier, model.generator)]
    model.trainer.train_step()
    for network, old in zip((model.classifier, model.generator), before, strict=True):
        kernel = network.trainable_variables[0].numpy()
        assert np.any(kernel != old[0])


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_gradients_equal_those_of_the_equations(weight):
    with floats("float64"):
        model = SemiSupervisedGAN(small(lambda_unlabelled=weight, noise=0.25))
        random = np.random.default_rng(0)
        known, real = random.uniform(-1, 1, (2, 6, 28, 28, 1))
        labels = np.array([3, 0, 9, 9, 1, 2], np.int32)
        latent = tf.constant(random.normal(size=(6, 5)))
        place = tf.constant((0, 3))
        noise = tf.random.stateless_normal(known.shape, place, dtype=tf.float64)
        classifier, generator = model.classifier, model.generator
        with tf.GradientTape(persistent=True) as tape:
            fake = generator(latent, training=True) + 0.25 * noise

            def probabilities(images):
                """Probabilities of ten digits and an eleventh class with logit 0."""
                _, logits = classifier(images, training=True)
                zero = tf.zeros([6, 1], tf.float64)
                return tf.nn.softmax(tf.concat([logits, zero], axis=1))

            of_digits = probabilities(known)[:, :10]
            of_digits /= tf.reduce_sum(of_digits, axis=1, keepdims=True)
            right = tf.gather(of_digits, labels, batch_dims=1)
            labelled_loss = -tf.reduce_mean(tf.math.log(right))
            real_loss = -tf.reduce_mean(tf.math.log(1 - probabilities(real)[:, 10]))
            given = tf.stop_gradient(fake)
            fake_loss = -tf.reduce_mean(tf.math.log(probabilities(given)[:, 10]))
            loss = labelled_loss + weight * (real_loss + fake_loss) / 2
            features = [classifier(x, training=True)[0] for x in (real, fake)]
            means = [tf.reduce_mean(x, axis=0) for x in features]
            gen_loss = tf.reduce_sum((means[0] - means[1]) ** 2)
        losses, gradients = model.classifier_gradients(
            tf.constant(known), labels, tf.constant(real), latent, place
        )
        assert float(losses["labelled_loss"]) == pytest.approx(float(labelled_loss))
        expected = tape.gradient(loss, classifier.trainable_variables)
        for ours, theirs in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)
        found, gradients = model.generator_gradients(tf.constant(real), latent, place)
        assert float(found) == pytest.approx(float(gen_loss), abs=1e-8)
        expected = tape.gradient(gen_loss, generator.trainable_variables)
        for ours, theirs in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "strategy", ["single", pytest.param("cpu:2", marks=pytest.mark.slow)]
)
def test_run_goes_on_to_the_bit(strategy, tmp_path):
    options = small(strategy=strategy, show_every_steps=3)
    log = assert_goes_on_to_the_bit(options, tmp_path, 2, GROUPS)
    assert [r["step"] for r in log if "right" in r] == [0, 3, 4]


def test_numbers_give_the_accuracy_and_pictures_show_wrong_classes():
    model = SemiSupervisedGAN(small())
    predicted = model.predict()
    right = (predicted == digits.load("test").labels).mean()
    assert model.numbers()[0] == {"right": pytest.approx(right)}
    sheets = model.pictures()
    assert [*sheets] == ["labelled", "generated", "wrongly classified"]
    wrong = digits.load("test").images[predicted != digits.load("test").labels]
    sheet = sheets["wrongly classified"][0]
    np.testing.assert_array_equal(sheet[:28, :28, :1], wrong[0])
    assert {sheet.shape for (sheet,) in sheets.values()} == {(224, 224, 3)}
