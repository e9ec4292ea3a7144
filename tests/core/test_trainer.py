import pytest
import tensorflow as tf

from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.core.trainer import average_decay_at

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(
    ("step", "expected"), [(1, 1 / 10), (11, 11 / 20), (990, 990 / 999), (10**6, 0.999)]
)
def test_decay_grows_to_what_was_asked_for(step, expected):
    decay = float(average_decay_at(tf.constant(step, tf.int64), 0.999))
    assert decay == pytest.approx(expected, rel=1e-12)


def test_without_averages_the_trained_generators_are_shown(tiny):
    model = CycleGAN(tiny(), 10)
    assert model.shown_generators["generator_f"] is model.generator_f
    assert not any(name.startswith("average") for name in model.trainer.state())
