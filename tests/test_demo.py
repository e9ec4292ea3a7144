import pathlib
import subprocess
import sys

import pytest

from cyclegan_tf.reporting import read_log

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_demo_learns_to_take_stripes_off_in_its_first_two_epochs(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "--preset", "demo"]
    command += ["--run_dir", str(tmp_path / "run"), "--max_steps", "800"]
    subprocess.run(command, check=True, timeout=900)
    errors = [r for r in read_log(tmp_path / "run/log.jsonl") if "error_y_to_x" in r]
    assert [r["step"] for r in errors] == [0, 400, 800]
    assert errors[0]["error_y_to_x"] > errors[0]["error_doing_nothing_y_to_x"]
    assert errors[-1]["error_y_to_x"] < errors[-1]["error_doing_nothing_y_to_x"]
    assert errors[-1]["error_x_to_y"] < 0.8 * errors[0]["error_x_to_y"]
