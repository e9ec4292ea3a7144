import pytest

from cyclegan_tf.core.adam import ConstantThenLinearDecay, schedules_of


def python_factor(epoch: int, num_epochs: int, num_decay_epochs: int) -> float:
    return 1 - max(0, epoch - num_epochs) / (num_decay_epochs + 1)


@pytest.mark.parametrize("num_epochs,num_decay_epochs", [(100, 100), (2, 3), (1, 0)])
def test_factor_equals_plain_python_at_both_ends_of_each_epoch(
    num_epochs, num_decay_epochs
):
    schedule = ConstantThenLinearDecay(2e-4, num_epochs, num_decay_epochs, 7)
    for epoch in range(1, num_epochs + num_decay_epochs + 1):
        expected = 2e-4 * python_factor(epoch, num_epochs, num_decay_epochs)
        for step in (7 * (epoch - 1), 7 * epoch - 1):
            assert float(schedule(step)) == pytest.approx(expected, rel=1e-6)


def test_official_values():
    schedule = ConstantThenLinearDecay(1.0, 100, 100, 1334)
    factors = [float(schedule((e - 1) * 1334)) for e in (1, 100, 101, 150, 200)]
    assert factors == pytest.approx([1, 1, 1 - 1 / 101, 1 - 50 / 101, 1 / 101])


def test_rate_stays_at_the_last_value_after_the_schedule():
    schedule = ConstantThenLinearDecay(1.0, 1, 1, 10)
    assert float(schedule(10_000)) == float(schedule(19)) == 0.5


def test_no_decay_before_the_steps_of_a_long_run():
    # 2**24 is where float32 steps would start to be wrong.
    schedule = ConstantThenLinearDecay(1.0, 2, 2, 2**25)
    assert float(schedule(2**26 - 1)) == 1.0
    assert float(schedule(2**26)) == pytest.approx(1 - 1 / 3)


def test_length_in_steps_takes_the_place_of_epochs(tiny):
    config = tiny(num_steps=100, learning_rate=0.5, discriminator_learning_rate=1.0)
    schedules = schedules_of(config, ("g",), ("d",), 7)
    rates = [float(schedules["g"](step)) for step in (0, 49, 50, 75, 99)]
    expected = [0.5, 0.5, *(0.5 * (1 - (step - 49) / 51) for step in (50, 75, 99))]
    assert rates == pytest.approx(expected)
    assert float(schedules["d"](75)) == pytest.approx(2 * rates[3])
    config = tiny(learning_rate=0.5)
    schedules = schedules_of(config, ("g",), ("d",), 7)
    for name in "gd":
        assert [float(schedules[name](step)) for step in (6, 7)] == [0.5, 0.25]
