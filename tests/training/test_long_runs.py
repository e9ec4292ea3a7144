"""A long run takes no more memory and no more files than a short one."""

import pathlib
import statistics
import subprocess
import sys

import pytest
from helpers.processes import ends_within

from cyclegan_tf.training.reporting import read_log

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 3000


def resident(process: subprocess.Popen) -> int:
    """Bytes of memory that a process has now."""
    pages = pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def open_files(process: subprocess.Popen) -> int:
    return len(list(pathlib.Path(f"/proc/{process.pid}/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="Linux")
def test_memory_and_files_after_3000_steps_are_those_after_300(tmp_path):
    flags = f"--preset tiny --num_epochs 999 --max_steps {STEPS} --log_every_steps 20"
    flags += f" --save_every_steps 100 --run_dir {tmp_path}"
    command = [sys.executable, "train.py", *flags.split()]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    seen, last = [], 0
    while not ends_within(run, 0.1):
        step = max((r["step"] for r in read_log(tmp_path / "log.jsonl")), default=0)
        if step == last:
            continue
        last = step
        try:
            seen.append((step, resident(run), open_files(run)))
        except OSError:  # It has just ended.
            break
    assert run.wait() == 0

    def medians(first: int, end: int) -> list[float]:
        rows = [numbers for step, *numbers in seen if first <= step <= end]
        return [statistics.median(column) for column in zip(*rows, strict=True)]

    memory, files = medians(300, 600)
    memory_later, files_later = medians(2700, STEPS)
    print(f"{memory / 1e9:.3f} and {memory_later / 1e9:.3f} GB")
    assert memory_later < 1.05 * memory
    assert files_later <= files
