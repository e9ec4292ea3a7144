"""`benchmark`: what its flags ask for, and what comes out."""

import contextlib
import json
import re

import pytest
from absl import flags

from cyclegan_tf.commands import benchmark as command
from cyclegan_tf.config import Config
from cyclegan_tf.presets import PRESETS
from cyclegan_tf.speed import benchmark, plain_step, tutorial_step
from cyclegan_tf.speed.fresh import fresh_run
from cyclegan_tf.speed.timing import Call, Times, take_turns
from cyclegan_tf.validation import UserError

VALUES = flags.FlagValues()
command.define_flags(VALUES)


def cases_of(*arguments: str):
    with parsed():
        VALUES(["benchmark", *arguments])
        return command.configurations(VALUES)


@contextlib.contextmanager
def parsed():
    """Flags have their defaults again afterwards."""
    try:
        yield
    finally:
        for name in VALUES:
            VALUES[name].unparse()
        VALUES.unparse_flags()


def test_every_size_batch_and_precision_is_measured():
    cases = cases_of(
        "--preset=tiny,quick", "--sizes=32,64", "--precisions=float32,bfloat16"
    )
    assert [(preset, c.image_size, c.precision) for preset, c in cases] == [
        (preset, size, precision)
        for preset in ("tiny", "quick")
        for size in (32, 64)
        for precision in ("float32", "bfloat16")
    ]
    (_, official), (_, larger) = cases_of("--preset=horse2zebra", "--sizes=256,512")
    assert official == Config(strategy="single")
    assert (larger.load_size, larger.image_size) == (572, 512)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--preset=points"], "`preset` must be one of horse2zebra, "),
        (["--preset="], "`preset` must be one of horse2zebra, "),
        (["--sizes=64,a"], "`sizes` must be whole numbers with commas"),
        (["--sizes=30"], "`image_size` must be a multiple of 4"),
        (["--precisions=float8"], "`precisions` must be one of float32, bfloat16,"),
        (["--batches=0"], "`batch_size` must be at least 1. Received: 0."),
    ],
)
def test_refuses(arguments, text):
    with pytest.raises(UserError, match=re.escape(text)):
        cases_of(*arguments)


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str):
        with parsed():
            VALUES(["benchmark", *arguments])
            monkeypatch.setattr(command.flags, "FLAGS", VALUES)
            command.main([])

    return call


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--rounds=0", "`rounds` must be at least 1. Received: 0."),
        ("--beside=torch", "`beside` must be one of plain, tutorial, generator."),
        ("--models=none.keras", "No such model: none.keras."),
        ("--chart=none/a.png", "`chart` none/a.png is no file in a folder that exists"),
    ],
)
def test_refuses_before_it_measures(run, argument, text):
    with pytest.raises(UserError, match=re.escape(text)):
        run("--preset=tiny", argument)


def test_measures_and_writes_what_it_found(run, capsys, tmp_path):
    run(
        "--preset=tiny",
        "--rounds=2",
        "--nofresh",
        "--noinput",
        "--identity_every_steps=2",
        "--json=a.json",
        "--chart=a.png",
    )
    told = capsys.readouterr().out
    names = ["step", "step without identity", "plain step"]
    names += ["tutorial's step, Keras' layers", "generator, forward"]
    names += ["matrix product", "3x3 convolution"]
    for name in names:
        assert f"| {name} | " in told
    assert told.rstrip().splitlines()[-1].startswith("| `tiny` | 32 px, batch 1, ")
    found = json.loads((tmp_path / "a.json").read_text())
    (case,) = found["cases"]
    assert list(case["seconds"]) == names
    assert all(len(seconds) == 2 for seconds in case["seconds"].values())
    assert case["flops"]["step without identity"] < case["flops"]["step"]
    assert case["share"]["matrix product"] == pytest.approx(1)
    assert {"devices", "processor", "tensorflow"} <= set(found["machine"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_steps_that_do_something_else_are_left_out(tiny):
    assert plain_step.does_all_of(tiny()) and tutorial_step.does_all_of(tiny())
    assert plain_step.does_all_of(tiny(generator="unet"))
    for fields in ({"generator": "unet"}, {"output_skip": True}):
        assert not tutorial_step.does_all_of(tiny(**fields))
    for fields in ({"lambda_r1": 0.2}, {"critic_steps": 2}):
        assert not plain_step.does_all_of(tiny(**fields))
        assert not tutorial_step.does_all_of(tiny(**fields))


@pytest.mark.slow
def test_replicas_are_timed_beside_one_device(tiny):
    config = tiny(batch_size=2, strategy="cpu:2")
    found = benchmark.measure(config, 1, ("plain", "generator"))
    whole = benchmark.measure(tiny(batch_size=2), 1)
    assert found.calls["step"].flops == whole.calls["step"].flops
    assert list(found.times) == [
        "step", "plain step", "generator, forward", "matrix product", "3x3 convolution"
    ]  # fmt: skip


def test_fresh_run_reports_time_to_start_and_memory():
    found = fresh_run(PRESETS["tiny"].config)
    assert found.keys() == {"first_step_seconds", "peak_gigabytes"}
    assert found["first_step_seconds"] > 0
    assert 0.2 < found["peak_gigabytes"] < 10


def test_calls_take_turns():
    order = []
    calls = {name: Call(lambda name=name: order.append(name)) for name in "ab"}
    times = take_turns(calls, 3)
    assert order == list("ab" * 5)
    assert all(len(of_call.seconds) == 3 for of_call in times.values())


def test_ratio_is_the_middle_one_of_the_rounds():
    ours, theirs = Times([1.0, 2.0, 10.0]), Times([2.0, 6.0, 50.0])
    assert ours.ratio(theirs) == 3
    assert ours.median == 2
