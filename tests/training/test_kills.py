"""A run that is killed again and again ends as one that never was, to the bit.

`python -m pytest -m slow tests/training/test_kills.py --kills 20` takes half an hour,
and does so with two replicas too.
"""

import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.runs import tensors

from cyclegan_tf.training.reporting import MEASURES, read_log

ROOT = pathlib.Path(__file__).parents[2]
REPLICAS = {1: [], 2: ["--strategy", "cpu:2", "--batch_size", "2"]}


def command(run_dir: pathlib.Path, replicas: int, steps: int) -> list[str]:
    flags = "--preset tiny --deterministic --log_every_steps 1 --save_every_steps 4"
    flags += f" --max_steps {steps} --num_epochs {steps} --run_dir {run_dir}"
    return [sys.executable, "train.py", *flags.split(), *REPLICAS[replicas]]


def killed_while(run: subprocess.Popen, due) -> bool:
    """Kills a run as soon as something is so; whether it lived until then."""
    while run.poll() is None:
        if due():
            run.kill()
            run.wait()
            return True
    return False


def is_writing(run_dir: pathlib.Path) -> bool:
    """Whether a checkpoint is half written: TensorFlow's parts are still there."""
    folder = run_dir / "checkpoints"
    return any("temp" in path.name for path in folder.glob("step-*"))


def kill(training: list[str], run_dir: pathlib.Path, chance: random.Random) -> str:
    """Starts the run once, and kills it: in a checkpoint, or at any moment."""
    run = subprocess.Popen(training, cwd=ROOT)
    if chance.random() < 0.5:
        assert killed_while(run, lambda: is_writing(run_dir))
        return "in a checkpoint"
    end = time.monotonic() + chance.uniform(1, 12)
    assert killed_while(run, lambda: time.monotonic() > end)
    return "at any moment"


def records(run_dir: pathlib.Path) -> list[dict]:
    log = [r for r in read_log(run_dir / "log.jsonl") if "gen_g_loss" in r]
    return [{k: v for k, v in r.items() if k not in MEASURES} for r in log]


@pytest.mark.slow
@pytest.mark.parametrize("replicas", REPLICAS)
def test_killed_run_ends_as_an_unbroken_one(tmp_path, replicas, pytestconfig):
    number = pytestconfig.getoption("kills")
    if replicas > 1 and number < 20:
        pytest.skip("Two replicas are killed with --kills 20.")
    steps = max(500, 50 * number)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(whole, replicas, steps), cwd=ROOT, check=True)
    chance, training = random.Random(replicas), command(broken, replicas, steps)
    kills = [kill(training, broken, chance) for _ in range(number)]
    assert {"in a checkpoint", "at any moment"} == set(kills)
    subprocess.run(training, cwd=ROOT, check=True)
    expected, found = tensors(whole), tensors(broken)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], err_msg=name)
    assert [r["step"] for r in records(whole)] == list(range(1, steps + 1))
    assert records(broken) == records(whole)
