"""The README's demo, shorter: what it learns, and what its exports keep of that."""

import json
import pathlib
import subprocess
import sys

import pytest

from cyclegan_tf.training.reporting import read_log

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def program(name: str, run_dir: pathlib.Path, *flags: str) -> None:
    command = [sys.executable, str(ROOT / name), "--run_dir", str(run_dir), *flags]
    subprocess.run(command, check=True, timeout=900)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """The demo after two of its three epochs."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    program("train.py", folder, "--preset", "demo", "--max_steps", "800")
    return folder


def test_demo_beats_doing_nothing_both_ways_within_two_epochs(run_dir):
    errors = [r for r in read_log(run_dir / "log.jsonl") if "error_y_to_x" in r]
    assert [r["step"] for r in errors] == [400, 800]
    for way in ("x_to_y", "y_to_x"):
        nothing = errors[0][f"error_doing_nothing_{way}"]
        assert errors[-1][f"error_{way}"] < 0.85 * nothing


def test_trained_generators_keep_what_they_learned_as_small_integers(run_dir):
    kinds = "float32,float16,dynamic_int8"
    program("export.py", run_dir, "--formats=tflite", f"--tflite_types={kinds}")
    record = json.loads((run_dir / "export/export.json").read_text())
    sizes = {row["path"]: row["bytes"] for row in record["parity"]}
    psnr = {row["path"]: row["psnr"] for row in record["parity"]}
    for direction in ("A2B", "B2A"):
        path = f"tflite/shapes_{direction}_dynamic_int8.tflite"
        assert record["recommended"][direction] == path
        # 45 dB or more in all runs looked at; 30 is what we promise.
        assert psnr[path] > 40
        assert sizes[path] < 0.3 * sizes[path.replace("dynamic_int8", "float32")]
