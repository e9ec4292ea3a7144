"""`python -m cyclegan_tf`: the list of commands, and finding one."""

import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import cyclegan_tf
from cyclegan_tf.commands import COMMANDS

ROOT = pathlib.Path(__file__).parents[2]


def program(*args, code="") -> subprocess.CompletedProcess:
    command = ["-c", code] if code else ["-m", "cyclegan_tf", *args]
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_commands_are_listed_with_a_sentence_each(args):
    result = program(*args)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: python -m cyclegan_tf COMMAND ")
    lines = result.stdout.splitlines()
    for name, sentence in COMMANDS.items():
        assert [line.split(None, 1) for line in lines].count([name, sentence]) == 1
    assert max(map(len, lines)) <= 88


def test_list_needs_nothing_but_python():
    heavy = "('tensorflow', 'keras', 'numpy', 'absl', 'PIL', 'tqdm')"
    code = (
        "import sys; sys.argv = ['x/__main__.py', '--help']; "
        "from cyclegan_tf.__main__ import main; main(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert program(code=code).stdout.splitlines()[-1] == "[]"


def test_every_command_has_a_module_with_what_is_asked_of_it():
    folder = ROOT / "cyclegan_tf/commands"
    modules = {p.stem for p in folder.glob("*.py")} - {"__init__", "program"}
    assert modules == set(COMMANDS)
    for name in COMMANDS:
        command = importlib.import_module(f"cyclegan_tf.commands.{name}")
        for function in ("main", "define_flags", "help_text"):
            assert callable(getattr(command, function))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_its_own(name):
    result = program(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: python -m cyclegan_tf {name} ")
    assert "--help " in result.stdout


def test_reader_of_a_help_may_leave_early():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "cyclegan_tf", "train", "--help"]
    result = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    "typed, meant",
    [("tranlate", "translate"), ("exprot", "export"), ("pytorch-import", "pytorch_im")],
)
def test_mistyped_command_names_the_nearest(typed, meant):
    result = program(typed, "--run_dir=x")
    assert (result.returncode, result.stdout) == (1, "")
    told = f"error: No such command: {typed!r}. Did you mean {meant}"
    assert result.stderr.startswith(told) and result.stderr.count("\n") == 1


def test_command_like_none_names_the_help():
    result = program("qqqq")
    told = "error: No such command: 'qqqq'. See python -m cyclegan_tf --help.\n"
    assert (result.returncode, result.stderr) == (1, told)


def test_version_is_told():
    assert program("--version").stdout == f"{cyclegan_tf.__version__}\n"


def test_refused_flag_of_a_command_is_one_line():
    result = program("export", "--no_such_flag=1")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and "no_such_flag" in result.stderr
    assert result.stderr.count("\n") == 1
