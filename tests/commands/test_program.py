"""What all programs share; how they end on mistakes is tested with each of them."""

import pytest
from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.validation import UserError, check_choice


def test_argument_that_is_no_flag_is_refused():
    program.no_arguments([])
    with pytest.raises(UserError, match="'horse'.*--help"):
        program.no_arguments(["horse", "zebra"])


def test_choice_is_refused_with_all_choices():
    check_choice("direction", "A2B", ("A2B", "B2A"))
    with pytest.raises(UserError, match="`direction`.* A2B, B2A.*'a2b'"):
        check_choice("direction", "a2b", ("A2B", "B2A"))


def test_help_tells_kinds_and_defaults(monkeypatch):
    values = flags.FlagValues()
    table = {
        "file": ("", "a file"),
        "number": (3, "a number"),
        "fast": (False, "hurry"),
    }
    program.define_flags(table, values)
    monkeypatch.setattr(flags, "FLAGS", values)
    text = program.help_of_flags("python it.py", "Does it.", table)
    *_, file, number, fast, last = [
        " ".join(line.split()) for line in text.splitlines()
    ]
    assert file == "--file TEXT a file"
    assert number == "--number N how many (default: 3)"
    assert fast == "--[no]fast hurry (default: false)"
    assert last.startswith("--help ")
