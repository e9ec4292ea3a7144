"""Many command lines, each in a fork of one process that can't import TensorFlow."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

_CODE = """
import json, os, runpy, sys, tempfile

sys.modules |= {"tensorflow": None, "keras": None}
sys.path.insert(0, sys.argv[1])
import cyclegan_tf.commands.train  # Once for all forks.


def ended(script, *arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(error.fileno(), 2)
            sys.argv = [script, *arguments]
            if script.endswith(".py"):
                runpy.run_path(script, run_name="__main__")
            else:
                runpy.run_module(script, run_name="__main__", alter_sys=True)
            sys.exit()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told = [(file.seek(0), file.read().decode())[1] for file in (out, error)]
        return status, *told


print(json.dumps([ended(*line) for line in json.loads(sys.argv[2])]))
"""


def ends_of(script: str, lines: list[list[str]], folder) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of each command line, all in a folder.

    Args:
      script: A file in the root folder, or a module.
      lines: The arguments of each.
      folder: Where they run.
    """
    path = str(ROOT / script) if script.endswith(".py") else script
    commands = json.dumps([[path, *line] for line in lines])
    command = [sys.executable, "-c", _CODE, str(ROOT), commands]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [tuple(end) for end in json.loads(done.stdout)]
