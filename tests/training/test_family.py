"""Two steps of every preset of the family, as its command takes them."""

import json

import pytest

from cyclegan_tf.family.shared.options import FAMILY_PRESETS
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.train import train


@pytest.mark.usefixtures("few_digits", "few_shapes")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "points" else pytest.mark.slow)
        for name in (*FAMILY_PRESETS, "limits")
    ],
)
def test_two_steps_of_a_preset(name, tmp_path):
    fields = {}
    if needs := FAMILY_PRESETS[name].needs if name != "limits" else "":
        fields["generator_run"] = str(tmp_path / needs)
        train(preset(needs, run_dir=fields["generator_run"], max_steps=1))
    config = preset(name, run_dir=str(tmp_path / "run"), max_steps=2, **fields)
    train(config)
    log = (tmp_path / "run/log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in log]
    losses = [r for r in records if "learning_rate" in r]
    numbers = [r for r in records if "learning_rate" not in r]
    assert [r["step"] for r in losses] == [2]
    # A CycleGAN shows nothing before its first step.
    shown = [2] if name == "limits" else [0, 2]
    assert [r["step"] for r in numbers] == shown
    assert numbers[0].keys() == numbers[-1].keys() and len(numbers[0]) > 1
    assert len(list((tmp_path / "run/grids").glob("*.png"))) == len(shown)
    assert (tmp_path / "run/losses.png").stat().st_size > 1000
