"""`benchmark`: what its flags ask for, and what comes out."""

import json
import re

import pytest
import tensorflow as tf
from absl import flags
from helpers.flag_tables import ROOT

from cyclegan_tf.commands import benchmark as command
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.config import Config
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.speed import benchmark, tutorial_step
from cyclegan_tf.speed.operations import count_flops
from cyclegan_tf.speed.timing import Call, Times, take_turns
from cyclegan_tf.validation import UserError


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str):
        monkeypatch.setattr(command.flags, "FLAGS", parsed(*arguments))
        command.main([])

    return call


def parsed(*arguments: str) -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(command.FLAGS, values)
    values(["benchmark", *arguments])
    return values


def test_every_size_batch_and_precision_is_measured():
    asked = "--preset=tiny,quick", "--sizes=32,64", "--precisions=float32,bfloat16"
    cases = command.configurations(parsed(*asked))
    assert [(preset, c.image_size, c.precision) for preset, c in cases] == [
        (preset, size, precision)
        for preset in ("tiny", "quick")
        for size in (32, 64)
        for precision in ("float32", "bfloat16")
    ]
    asked = "--preset=horse2zebra", "--sizes=256,512"
    (_, official), (_, larger) = command.configurations(parsed(*asked))
    assert official == Config(strategy="single")
    assert (larger.load_size, larger.image_size) == (572, 512)


def test_refuses_before_it_measures(run, monkeypatch):
    monkeypatch.setattr(benchmark, "measure", None)
    for arguments, told in {
        "--preset=points": "`preset` .*horse2zebra, ",
        "--preset=": "`preset` .*horse2zebra, ",
        "--sizes=64,a": "`sizes` .*'64,a'",
        "--preset=tiny --sizes=30": "`image_size` .* 4 .* 30",
        "--precisions=float8": "`precisions` .*float32, bfloat16,.*'float8'",
        "--batches=0": "`batch_size` .* 1.* 0",
        "--rounds=0": "`rounds` .* 1.* 0",
        "--beside=torch": "`beside` .*plain, tutorial, generator.*'torch'",
        "--models=none.keras": "none.keras",
        "--chart=none/a.png": "`chart` none/a.png",
    }.items():
        with pytest.raises(UserError, match=told):
            run(*arguments.split())


@pytest.mark.slow
def test_measures_all_in_one_round_and_in_a_fresh_program(
    run, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    flags_given = "--rounds=1", "--identity_every_steps=2"
    run("--preset=tiny", *flags_given, "--json=a.json", "--chart=a.png")
    told = capsys.readouterr().out
    names = ["step", "step without identity", "plain step"]
    names += ["tutorial's step, Keras' layers", "generator, forward"]
    names += ["matrix product", "3x3 convolution"]
    assert re.findall(r"^\| ([^`|]+) \| \d", told, re.MULTILINE) == names
    assert told.rstrip().splitlines()[-1].startswith("| `tiny` | 32 px, batch 1, ")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "a.json").read_text())
    assert {"devices", "processor", "tensorflow"} <= set(found["machine"])
    (case,) = found["cases"]
    assert list(case["seconds"]) == names
    assert all(len(seconds) == 1 for seconds in case["seconds"].values())
    assert case["flops"]["step without identity"] < case["flops"]["step"]
    assert case["share"]["matrix product"] == pytest.approx(1)
    assert case["first_step_seconds"] > 0 and case["jpeg_files"] > 0
    assert 0.2 < case["peak_gigabytes"] < 10


@pytest.mark.slow
def test_replicas_are_timed_beside_one_device(tiny, random_images):
    config = tiny(batch_size=2, strategy="cpu:2")
    found = benchmark.measure(config, 1, ("generator",))
    names = ["step", "generator, forward", "matrix product", "3x3 convolution"]
    assert list(found.times) == names
    one = tf.function(CycleGAN(config, 10).compute_gradients)
    step = one.get_concrete_function(*[random_images(2, 32, 32, 3)] * 2)
    assert found.calls["step"].flops == count_flops(step)


def test_steps_that_do_something_else_are_left_out(tiny):
    assert tutorial_step.does_all_of(tiny())
    for fields in ({"generator": "unet"}, {"input_skip": True}):
        assert not tutorial_step.does_all_of(tiny(**fields))


def test_calls_take_turns_and_ratios_are_the_middle_ones():
    order = []
    calls = {name: Call(lambda name=name: order.append(name)) for name in "ab"}
    times = take_turns(calls, 3)
    assert order == list("ab" * 5)
    assert all(len(of_call.seconds) == 3 for of_call in times.values())
    ours, theirs = Times([1.0, 2.0, 10.0]), Times([2.0, 6.0, 50.0])
    assert (ours.ratio(theirs), ours.median) == (3, 2)
