"""Times two workers' training step against trainings without others, on two cores.

`python tests/measuring/compare_workers.py PRESET ROUNDS [STEPS [SIDE ...]]`: whole
trainings of drawn pictures take turns, two pictures of each domain a step, or two
trainings with one each. Prints the medians of a step's seconds, and of its ratios to
those of the first side, of:

- `two alone`: two trainings that know nothing of each other, each on a core of its own.
- `workers`: two workers of one training, each on such a core.
- `one process`, `cpu:2`: one training on both cores, with one replica and with two.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.processes import two_workers  # noqa: E402

SIDES = ("two alone", "workers", "one process", "cpu:2")


def started(side: str, flags: list[str], folder: str) -> list[subprocess.Popen]:
    """The processes of a side; run directories are below `folder`."""
    both = [*flags, f"--run_dir={folder}/a", "--batch_size=2"]
    if side in ("one process", "cpu:2"):
        strategy = side.replace("one process", "single")
        return [train([*both, f"--strategy={strategy}"])]
    if side == "workers":
        processes = two_workers(both)
    else:
        processes = [train([*flags, f"--run_dir={folder}/{name}"]) for name in "ab"]
    # TensorFlow has not started yet, and makes as many threads as it finds cores.
    for process, core in zip(processes, os.sched_getaffinity(0), strict=False):
        os.sched_setaffinity(process.pid, {core})
    return processes


def train(flags: list[str]) -> subprocess.Popen:
    """One training, without others."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "train.py", *flags], cwd=ROOT, **pipes)


def seconds_of_step(side: str, preset: str, steps: int) -> float:
    """The median over the records of all run directories but the first record."""
    flags = [f"--preset={preset}", "--dataset=shapes", f"--max_steps={steps}"]
    flags += [f"--log_every_steps={steps // 5}", "--save_every_steps=1000000"]
    with tempfile.TemporaryDirectory() as folder:
        for process in started(side, flags, folder):
            told = process.communicate()[0]
            if process.returncode:
                sys.exit(f"error: {side}: {told}")
        rates = []
        for log in pathlib.Path(folder).glob("*/log.jsonl"):
            records = [json.loads(line) for line in log.read_text().splitlines()]
            rates += [r["steps_per_second"] for r in records if "epoch" in r][1:]
    return 1 / statistics.median(rates)


def main(preset: str, rounds: int, steps: int, sides: list[str]) -> None:
    """Has the sides take turns, and prints what they took."""
    seconds = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            seconds[side].append(seconds_of_step(side, preset, steps))
    print(f"{preset}, {rounds} rounds of {steps} steps, seconds of a step")
    for side in sides:
        pairs = zip(seconds[side], seconds[sides[0]], strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        print(f"{side}: {statistics.median(seconds[side]):.4f} ({ratio:.2f})")


if __name__ == "__main__":
    preset, rounds, *more = sys.argv[1:]
    steps = int(more[0]) if more else 50
    main(preset, int(rounds), steps, more[1:] or list(SIDES))
