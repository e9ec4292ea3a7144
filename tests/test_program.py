"""What all programs share; how they end on mistakes is tested with each of them."""

import os
import signal
import threading

import pytest
from absl import flags

from cyclegan_tf import program
from cyclegan_tf.config import UserError


def test_what_native_code_prints_is_hidden_and_the_rest_is_not(capfd):
    os.write(2, b"before ")
    with program.without_native_messages():
        os.write(2, b"within ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_native_messages_come_back_after_an_error(capfd):
    with pytest.raises(ValueError), program.without_native_messages():
        raise ValueError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_put_off_and_not_lost(number):
    received, done = [], []
    before = signal.signal(number, lambda number, frame: received.append(number))
    try:
        with program.signals_after():
            signal.raise_signal(number)
            assert not received
            done.append(True)
        assert (done, received) == ([True], [number])
        signal.raise_signal(number)
        assert received == [number, number]
    finally:
        signal.signal(number, before)


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError), program.signals_after():
        raise ValueError
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_are_left_alone_in_other_threads():
    done = []

    def work():
        with program.signals_after():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_argument_that_is_no_flag_is_refused():
    program.no_arguments([])
    with pytest.raises(UserError, match=r"^Not a flag: 'horse'\. See --help\.$"):
        program.no_arguments(["horse", "zebra"])


def test_choice_is_refused_with_all_choices():
    program.check_choice("direction", "A2B", ("A2B", "B2A"))
    told = r"^`direction` must be one of A2B, B2A\. Received: 'a2b'\.$"
    with pytest.raises(UserError, match=told):
        program.check_choice("direction", "a2b", ("A2B", "B2A"))


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
