"""The benchmark: its configurations, and what it prints."""

import re

import pytest

from benchmarks import benchmark, measure, tutorial_step
from cyclegan_tf.config import Config


def configurations(*arguments: str) -> list[tuple[str, Config]]:
    return benchmark.configurations(benchmark.parser().parse_args(arguments))


def test_every_size_and_precision_is_measured():
    options = "--preset=tiny,quick", "--sizes=32,64", "--precisions=float32,bfloat16"
    cases = configurations(*options)
    assert [(preset, c.image_size, c.precision) for preset, c in cases] == [
        (preset, size, precision)
        for preset in ("tiny", "quick")
        for size in (32, 64)
        for precision in ("float32", "bfloat16")
    ]
    (_, official), (_, larger) = configurations(
        "--preset=horse2zebra", "--sizes=256,512"
    )
    assert official == Config(strategy="single")
    assert (larger.load_size, larger.image_size) == (572, 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--preset=points", "`preset` .*horse2zebra, .*'points'"),
        ("--sizes=64,a", "--sizes.*'64,a'"),
        ("--preset=tiny --sizes=30", "`image_size` .* 4 .* 30"),
        ("--precisions=float8", "`precision` .*float32, bfloat16,.*'float8'"),
        ("--rounds=0", "`rounds` .* 1.* 0"),
        ("--beside=torch", "`beside` .*plain, tutorial, generator.*'torch'"),
    ],
)
def test_mistakes_are_refused_before_it_measures(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        benchmark.main(arguments.split())
    error = f"{end.value} {capsys.readouterr().err}"
    assert end.value.code and re.search(message, error)


@pytest.mark.slow
def test_measures_all_in_one_round_and_in_a_fresh_program(capsys, monkeypatch):
    found = []
    measured = measure.measure
    monkeypatch.setattr(
        measure, "measure", lambda *x: found.append(measured(*x)) or found[-1]
    )
    benchmark.main(["--preset=tiny", "--rounds=1", "--identity_every_steps=2"])
    printed = capsys.readouterr().out
    names = ["step", "step without identity", "plain step"]
    names += ["tutorial's step, Keras' layers", "generator, forward"]
    names += ["matrix product", "3x3 convolution"]
    assert re.findall(r"^\| ([^`|]+) \| \d", printed, re.MULTILINE) == names
    assert re.search(r"[1-9]\d* pictures/s from JPEG files, [1-9]", printed)
    gigabytes = float(re.search(r"own: \d.* s from .* (\d\.\d) GB", printed)[1])
    assert 0.2 < gigabytes < 10
    assert printed.rstrip().splitlines()[-1].startswith("| `tiny` | 32 px, batch 1, ")
    assert all(len(seconds) == 1 for seconds in found[0].seconds.values())
    flops = found[0].flops
    assert 0 < flops["step without identity"] < flops["step"] < flops["plain step"]
    assert flops["matrix product"] == 2 * 2 * 2048**3
    assert flops["3x3 convolution"] == 2 * 2 * 64**2 * 9 * 256**2
    assert found[0].share("matrix product") == 1


def test_steps_that_do_something_else_are_left_out(tiny):
    assert tutorial_step.does_all_of(tiny())
    for fields in ({"generator": "unet"}, {"input_skip": True}):
        assert not tutorial_step.does_all_of(tiny(**fields))


def test_functions_take_turns_and_ratios_are_medians():
    order = []
    functions = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = measure.take_turns(functions, 3)
    assert order == list("ab" * 5)
    assert all(len(rounds) == 3 for rounds in seconds.values())
    seconds = {"a": [1.0, 2.0, 10.0], "b": [2.0, 6.0, 50.0]}
    found = measure.Measured(Config(), seconds, {}, 0, 0.0, 0.0)
    assert (found.ratio("b", of="a"), found.median("a")) == (3, 2)
