"""What all programs share; how they end on mistakes is tested with each of them."""

import pytest
from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.validation import UserError, check_choice


def test_argument_that_is_no_flag_is_refused():
    program.no_arguments([])
    with pytest.raises(UserError, match=r"^Not a flag: 'horse'\. See --help\.$"):
        program.no_arguments(["horse", "zebra"])


def test_choice_is_refused_with_all_choices():
    check_choice("direction", "A2B", ("A2B", "B2A"))
    told = r"^`direction` must be one of A2B, B2A\. Received: 'a2b'\.$"
    with pytest.raises(UserError, match=told):
        check_choice("direction", "a2b", ("A2B", "B2A"))


def test_help_tells_kinds_and_defaults(monkeypatch):
    values = flags.FlagValues()
    flags.DEFINE_string("file", "", "a file", flag_values=values)
    flags.DEFINE_integer("number", 3, "a number", flag_values=values)
    flags.DEFINE_boolean("fast", False, "hurry", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    text = program.help_of_flags("python it.py", "Does it.", ["file", "number", "fast"])
    assert [" ".join(line.split()) for line in text.splitlines()] == [
        "usage: python it.py",
        "",
        "Does it.",
        "",
        "Flags",
        "--file TEXT a file",
        "--number N a number (default: 3)",
        "--[no]fast hurry (default: false)",
        "--help print this",
    ]
