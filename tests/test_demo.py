import pathlib
import subprocess
import sys

import pytest

from cyclegan_tf.reporting import read_log

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_demo_beats_doing_nothing_both_ways_within_two_epochs(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "--preset", "demo"]
    command += ["--run_dir", str(tmp_path / "run"), "--max_steps", "800"]
    subprocess.run(command, check=True, timeout=900)
    errors = [r for r in read_log(tmp_path / "run/log.jsonl") if "error_y_to_x" in r]
    assert [r["step"] for r in errors] == [0, 400, 800]
    for way in ("x_to_y", "y_to_x"):
        nothing = errors[0][f"error_doing_nothing_{way}"]
        assert errors[0][f"error_{way}"] > nothing
        assert errors[-1][f"error_{way}"] < 0.85 * nothing
