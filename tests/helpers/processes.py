"""Other processes, that tests wait for, talk to and kill."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]


@contextlib.contextmanager
def running(
    code: str, argument, says: str, **environment
) -> Iterator[subprocess.Popen]:
    """A Python process that has said a line, until it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(argument)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == f"{says}\n"
        yield process
        process.kill()


def ends_within(process: subprocess.Popen, seconds: float) -> bool:
    """Waits so long at most; whether the process has ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
