"""Names of numbers, tables, and what a whole training is worth."""

import math

import pytest

from cyclegan_tf.config import METRICS_TO_KEEP
from cyclegan_tf.evaluation import metrics

KERNEL = "A2B/kernel_distance/mobilenet_v2-1a2b3c4d-224px-bicubic/120-vs-667"
TAKEN = "B2A/taken_for_target/mobilenet_v2-1a2b3c4d-224px-bicubic/probe-534-667"


def test_full_name_carries_the_protocol():
    protocol = "mobilenet_v2-1a2b3c4d-224px-bicubic/120-vs-667"
    assert metrics.full_name("A2B", "kernel_distance", protocol) == KERNEL
    assert metrics.full_name("A2B", "cycle_error") == "A2B/cycle_error"
    assert metrics.short_name(KERNEL) == "A2B/kernel_distance"


def test_every_number_to_keep_the_best_by_has_a_better():
    for name in METRICS_TO_KEEP:
        assert metrics.METRICS[name].better in ("higher", "lower")
    assert metrics.higher_is_better("B2A/taken_for_target")
    assert not metrics.higher_is_better("kernel_distance")


def test_value_is_of_one_direction_or_the_mean_of_both():
    numbers = {
        KERNEL: 1.0,
        KERNEL.replace("A2B", "B2A"): 5.0,
        KERNEL.replace("distance", "distance_deviation"): 100.0,
        "A2B/cycle_error": 7.0,
    }
    assert metrics.value_of("kernel_distance", numbers) == 3.0
    assert metrics.value_of("A2B/kernel_distance", numbers) == 1.0
    assert metrics.value_of("B2A/kernel_distance", numbers) == 5.0
    assert metrics.value_of("frechet_distance", numbers) is None


def records(values, name=KERNEL):
    log = [{"step": 0, "error_x_to_y": 60.0}]
    for i, value in enumerate(values, start=1):
        log += [{"step": 10 * i, "gen_g_loss": 1.0}, {"step": 10 * i, name: value}]
    return log


def test_a_training_is_worth_its_last_five_evaluations_not_its_best():
    spread, best = metrics.last_five(records([9.0, 0.5, 4, 2, 4, 2, 4]))
    found = spread[KERNEL]
    assert found["mean"] == pytest.approx(3.2)
    assert found["deviation"] == pytest.approx(math.sqrt(0.96))
    assert found["count"] == 5
    assert best == {KERNEL: {"value": 0.5, "step": 20}}
    # The best may be the highest, and few evaluations are counted.
    spread, best = metrics.last_five(records([0.25, 0.75], TAKEN))
    assert spread[TAKEN] == {"mean": 0.5, "deviation": 0.25, "count": 2}
    assert best == {TAKEN: {"value": 0.75, "step": 20}}
    assert metrics.last_five(records([])) == ({}, {})
    # Numbers by other weights are not mixed in.
    other = KERNEL.replace("1a2b3c4d", "ffffffff")
    spread, _ = metrics.last_five([*records([1.0], other), *records([5.0])])
    assert {name: s["mean"] for name, s in spread.items()} == {KERNEL: 5.0}
    told = metrics.spread_table(*metrics.last_five(records([1.0, 3.0])))
    words = "A2B/kernel_distance 2.0000 +- 1.0000 best 1.0000 at step 10"
    assert told.split() == words.split()


def test_table_has_a_column_for_each_and_says_what_has_no_meaning():
    numbers = {
        KERNEL: {"model": 0.00831, "doing_nothing": 0.3235, "real": -0.0001},
        "A2B/cycle_psnr": {"model": 18.44, "doing_nothing": math.inf, "real": None},
        TAKEN: {"model": 0.914, "doing_nothing": 0.08, "real": 0.85},
    }
    heading, kernel, psnr, other, taken = metrics.table(numbers).splitlines()
    assert heading.split() == "A2B, X to Y model doing nothing real".split()
    assert kernel.split() == "kernel distance 0.0083 0.3235 -0.0001".split()
    assert psnr.split() == "cycle PSNR, dB 18.4 exact -".split()
    assert other.startswith("B2A, Y to X")
    assert taken.split() == "taken for the target 91% 8% 85%".split()
    assert len({len(line) for line in (heading, kernel, psnr, taken)}) == 1
    told = metrics.lines(numbers)
    assert told[0] == "A2B: kernel distance 0.0083 (doing nothing 0.3235, real -0.0001)"
    assert told[1] == "B2A: taken for the target 91% (doing nothing 8%, real 85%)"
