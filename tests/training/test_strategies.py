import pytest

from cyclegan_tf.training.strategies import devices, make_strategy
from cyclegan_tf.validation import UserError


def test_strategy_by_name():
    assert make_strategy("single").num_replicas_in_sync == 1
    assert make_strategy("auto").num_replicas_in_sync == 1
    assert make_strategy("cpu:2").num_replicas_in_sync == 2
    with pytest.raises(UserError, match="mirrored needs a GPU"):
        make_strategy("mirrored")
    with pytest.raises(UserError, match="cpu:3 must be asked for at the start"):
        make_strategy("cpu:3")


def test_devices_are_told_in_words():
    assert devices() == "CPU only, no GPU found"
