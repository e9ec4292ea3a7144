"""A training of a few steps in a process of its own: time to the first, and memory."""

import json
import pathlib
import subprocess
import sys
import tempfile

from cyclegan_tf.config import Config
from cyclegan_tf.run_directory import LOG_FILE
from cyclegan_tf.speed.pictures import write_folder
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.validation import UserError

_STEPS = 3


def fresh_run(config: Config) -> dict[str, float]:
    """Trains three steps with `train.py`'s command, and reads what its log says.

    Args:
      config: What to train; on a few pictures that are made for it.

    Returns:
      `first_step_seconds`, from the start of the program, and `peak_gigabytes` of the
      process, its data among it.

    Raises:
      UserError: the training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_dir = pathlib.Path(folder) / "run"
        pictures = pathlib.Path(folder) / "pictures"
        pictures.mkdir()
        write_folder(pictures, config.picture_size)
        fields = {
            "run_dir": str(run_dir),
            "dataset": str(pictures),
            "max_steps": _STEPS,
            "log_every_steps": 1,
            "evaluate_every_epochs": 0,
        }
        values = {**json.loads(config.to_json()), **fields}
        flags = [
            f"--{'' if value else 'no'}{name}"
            if isinstance(value, bool)
            else f"--{name}={value}"
            for name, value in values.items()
            if value != ""
        ]
        done = subprocess.run(
            [sys.executable, "-m", "cyclegan_tf", "train", *flags],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["it was killed"]
            raise UserError(f"A training in a new process failed: {reason[0]}")
        log = read_log(run_dir / LOG_FILE)
    peak = max(record.get("peak_memory_gigabytes", 0) for record in log)
    first = next(r["first_step_seconds"] for r in log if "first_step_seconds" in r)
    return {"first_step_seconds": first, "peak_gigabytes": peak}
