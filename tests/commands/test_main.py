"""`python -m cyclegan_tf`: the list of commands, and finding one."""

import os
import re
import subprocess
import sys

from helpers.command_lines import ROOT, ends_of

import cyclegan_tf
from cyclegan_tf.commands import COMMANDS, MODULES
from cyclegan_tf.commands.program import Command, load_command


def test_commands_are_listed_with_a_sentence_each(tmp_path):
    lines = [], ["--help"], ["-h"], ["help"], ["--version"]
    *lists, version = ends_of("cyclegan_tf", list(lines), tmp_path)
    assert version == (0, f"{cyclegan_tf.__version__}\n", "")
    for status, listed, error in lists:
        assert (status, error) == (0, "")
        assert listed.startswith("usage: python -m cyclegan_tf COMMAND ")
        rows = [line.split(None, 1) for line in listed.splitlines()]
        for name, sentence in COMMANDS.items():
            assert rows.count([name, sentence]) == 1


def test_list_needs_nothing_but_python():
    heavy = "('tensorflow', 'keras', 'numpy', 'absl', 'PIL', 'tqdm')"
    code = (
        "import sys; sys.argv = ['x/__main__.py', '--help']; "
        "from cyclegan_tf.__main__ import main; main(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    assert printed.splitlines()[-1] == b"[]"


def test_every_module_holds_a_command():
    folder = ROOT / "cyclegan_tf/commands"
    modules = {p.stem for p in folder.glob("*.py")} - {"__init__", "program"}
    assert modules == {MODULES.get(name, name) for name in COMMANDS}
    assert all(isinstance(load_command(name), Command) for name in COMMANDS)


def test_help_of_a_command_is_its_own_and_tells_kinds_and_defaults(tmp_path):
    ends = ends_of("cyclegan_tf", [[name, "--help"] for name in COMMANDS], tmp_path)
    helps = dict(zip(COMMANDS, ends, strict=True))
    for name, (status, printed, error) in helps.items():
        assert (status, error) == (0, ""), name
        assert printed.startswith(f"usage: python -m cyclegan_tf {name} ")
        assert "\n  --help " in printed
    printed = " ".join(helps["translate"][1].split())
    assert re.search(r" --\[no\]compare write .* \(default: false\)", printed)
    assert re.search(r" --batch_size N pictures .* \(default: 4\)", printed)
    assert re.search(r" --input PATH ", printed)


def test_reader_of_a_help_may_leave_early():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "cyclegan_tf", "train", "--help"]
    result = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, b"")


def test_mistakes_are_one_line_that_helps(tmp_path):
    table = {
        "tranlate --run_dir=x": ("'tranlate'", "Did you mean translate?"),
        "exprot": ("'exprot'", "Did you mean export?"),
        "pytorch-import": ("'pytorch-import'", "Did you mean pytorch_import?"),
        "qqqq": ("'qqqq'. See python -m cyclegan_tf --help.",),
        "export --no_such_flag=1": ("no_such_flag",),
    }
    ends = ends_of("cyclegan_tf", [line.split() for line in table], tmp_path)
    for (status, printed, error), told in zip(ends, table.values(), strict=True):
        assert (status, printed) == (1, "")
        assert error.startswith("error: ") and error.count("\n") == 1
        for text in told:
            assert text in error
