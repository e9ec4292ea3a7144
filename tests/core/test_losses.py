import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.core.losses import (
    ADVERSARIAL_LOSSES,
    binary_cross_entropy,
    cycle_loss,
    discriminator_loss,
    generator_loss,
    hinge,
    identity_loss,
    least_squares,
    wasserstein,
)

pytestmark = pytest.mark.stack

REAL = tf.constant([[2.0, -1.0], [0.5, 0.0]])
FAKE = tf.constant([[1.0, 0.0], [-3.0, 0.25]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x.numpy().astype(np.float64)))


def test_every_loss_is_tested_and_can_be_chosen():
    names = {"least_squares", "binary_cross_entropy", "hinge", "wgan_gp"}
    assert set(ADVERSARIAL_LOSSES) == names
    assert Config.__dataclass_fields__["adversarial_loss"].metadata["choices"] == tuple(
        ADVERSARIAL_LOSSES
    )


def test_least_squares_by_hand():
    assert float(least_squares(REAL, True)) == pytest.approx((1 + 4 + 0.25 + 1) / 4)
    assert float(least_squares(FAKE, False)) == pytest.approx((1 + 0 + 9 + 0.0625) / 4)


def test_binary_cross_entropy_by_its_formula():
    expected = -np.log(sigmoid(REAL)).mean()
    assert float(binary_cross_entropy(REAL, True)) == pytest.approx(expected, rel=1e-6)
    expected = -np.log(1 - sigmoid(FAKE)).mean()
    assert float(binary_cross_entropy(FAKE, False)) == pytest.approx(expected, rel=1e-6)


def test_binary_cross_entropy_is_finite_for_huge_logits():
    for value in (1e4, -1e4):
        for is_real in (True, False):
            loss = binary_cross_entropy(tf.constant([value]), is_real)
            assert np.isfinite(loss)


def test_hinge_by_hand():
    assert float(hinge(REAL, True)) == pytest.approx((0 + 2 + 0.5 + 1) / 4)
    assert float(hinge(FAKE, False)) == pytest.approx((2 + 1 + 0 + 1.25) / 4)


def test_wasserstein_by_hand():
    assert float(wasserstein(REAL, True)) == pytest.approx(-1.5 / 4)
    assert float(wasserstein(FAKE, False)) == pytest.approx(-1.75 / 4)


@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES.values())
def test_discriminator_loss_is_of_real_and_fake_halved_as_its_paper_has_it(loss):
    half = 0.5 if loss in (least_squares, binary_cross_entropy) else 1.0
    expected = half * (loss(REAL, True) + loss(FAKE, False))
    assert float(discriminator_loss(loss, REAL, FAKE)) == pytest.approx(float(expected))


@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES.values())
def test_generator_wants_its_fakes_taken_for_real(loss):
    of_fakes = wasserstein if loss is hinge else loss
    wanted = float(of_fakes(FAKE, True))
    assert float(generator_loss(loss, FAKE)) == pytest.approx(wanted)
    with tf.GradientTape() as tape:
        tape.watch(FAKE)
        value = generator_loss(loss, FAKE)
    below_one = FAKE.numpy() < 1
    assert np.all(tape.gradient(value, FAKE).numpy()[below_one] < 0)


def test_cycle_and_identity_losses_by_hand():
    real = tf.constant([[1.0, -1.0]])
    other = tf.constant([[0.5, 0.0]])
    assert float(cycle_loss(real, other, 10.0)) == pytest.approx(10 * 0.75)
    assert float(identity_loss(real, other, 10.0, 0.5)) == pytest.approx(5 * 0.75)


def test_pooled_cycle_loss_compares_means_over_squares():
    """Two squares of 2x2: one with checks only, one that is 0.5 brighter."""
    change = np.float32([[1, -1, 0.5, 0.5], [-1, 1, 0.5, 0.5]]).reshape(1, 2, 4, 1)
    real = tf.zeros((1, 2, 4, 1))
    assert float(cycle_loss(real, change, 10.0, 2)) == pytest.approx(10 * 0.25)
    assert float(cycle_loss(real, change, 10.0)) == pytest.approx(10 * 0.75)
    # Rows that an image lacks do not count as zeros.
    assert float(cycle_loss(real, change, 10.0, 4)) == pytest.approx(10 * 0.25)
