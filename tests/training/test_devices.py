"""Strategies by name, the order in a step, and several workers on the loopback."""

import json
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from benchmarks.operations import graphs_of
from helpers.processes import ROOT, ends_within, free_ports, two_workers
from helpers.runs import tensors

from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.messages import UserError
from cyclegan_tf.training import devices
from cyclegan_tf.training.devices import describe_devices, make_strategy
from cyclegan_tf.training.reporting import read_log
from cyclegan_tf.training.run_directory import (
    load_config,
    newest_checkpoint,
    save_config,
)


def disordered(graphs) -> list[str]:
    """Readings of a weight that may come after its update by Adam."""
    nodes = {(i, n.name): n for i, g in enumerate(graphs) for n in g.node}
    senders = {n.attr["tensor_name"].s: k for k, n in nodes.items() if n.op == "_Send"}

    def before(key) -> set:
        """All that a node waits for, on any device."""
        seen, ahead = set(), [key]
        while ahead:
            device, node = ahead[-1][0], nodes[ahead.pop()]
            found = {(device, i.lstrip("^").partition(":")[0]) for i in node.input}
            if node.op == "_Recv":
                found.add(senders[node.attr["tensor_name"].s])
            ahead += found - seen
            seen |= found
        return seen

    updates = [k for k, n in nodes.items() if n.op == "ResourceApplyAdam"]
    assert updates
    late = []
    for update in updates:
        known, weight = before(update), nodes[update].input[0]
        late += [
            name
            for (device, name), node in nodes.items()
            if (device, node.op) == (update[0], "ReadVariableOp")
            and node.input[0] == weight
            and (device, name) not in known
        ]
    return late


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu:2", "single"])
def test_no_weight_is_updated_before_it_is_read(name, tiny, random_images):
    strategy = make_strategy(name)
    replicas = strategy.num_replicas_in_sync
    model = CycleGAN(tiny(batch_size=replicas), 10, strategy)
    x, y = (
        strategy.experimental_distribute_values_from_function(
            lambda context, seed=seed: random_images(1, 32, 32, 3, seed=seed)
        )
        for seed in (0, 1)
    )
    runs = graphs_of(lambda: model.train_step(x, y))
    assert disordered([g for run in runs for g in run.partition_graphs]) == []
    make_strategy("single")


def test_strategy_by_name():
    assert make_strategy("single").num_replicas_in_sync == 1
    assert make_strategy("auto").num_replicas_in_sync == 1
    assert make_strategy("cpu:2").num_replicas_in_sync == 2
    with pytest.raises(UserError, match="mirrored needs a GPU"):
        make_strategy("mirrored")
    with pytest.raises(UserError, match="cpu:3 must be set"):
        make_strategy("cpu:3")


def test_stored_run_of_a_strategy_that_went_is_refused_in_a_line(tiny, tmp_path):
    save_config(tiny(run_dir=str(tmp_path)))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "strategy": "tpu"}))
    with pytest.raises(UserError, match=f"^{path} .*`strategy` .*'tpu'") as caught:
        load_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_devices_are_told_in_words(monkeypatch):
    monkeypatch.setattr(devices, "GPU_FILES", [])
    assert describe_devices() == "CPU only, no GPU found"


@pytest.fixture
def broken_gpu(tmp_path, monkeypatch):
    """A machine with the driver of a GPU that TensorFlow can't use."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(devices, "GPU_FILES", [f"{tmp_path}/nvidia[0-9]*"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


NATIVE = """2026-01-01 00:00:00.000000: I port.cc:153] oneDNN is on.
WARNING: All log messages before absl::InitializeLog() go to STDERR
E0000 00:00:1 1 cuda_fft.cc:467] Unable to register cuFFT factory
W0000 00:00:1 1 gpu_device.cc:2341] Cannot dlopen some GPU libraries.
W0000 00:00:2 1 gpu_device.cc:2341] Cannot dlopen some GPU libraries.
"""


@pytest.mark.usefixtures("broken_gpu")
def test_gpu_that_tensorflow_cannot_use_is_told_with_its_reason(monkeypatch):
    asked = []

    def run(command, env, **options):
        asked.append(env["TF_CPP_MIN_LOG_LEVEL"])
        return subprocess.CompletedProcess(command, 0, "", NATIVE)

    monkeypatch.setattr(devices.subprocess, "run", run)
    told = describe_devices()
    assert "TensorFlow: Cannot dlopen some GPU libraries. To" in told
    assert f"pip install 'tensorflow[and-cuda]=={tf.__version__}'" in told
    assert asked == ["0"] and "\n" not in told


@pytest.mark.usefixtures("broken_gpu")
def test_hidden_gpu_is_told(monkeypatch):
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert "CUDA_VISIBLE_DEVICES hides" in describe_devices()


# --- Several workers

TINY = "--preset tiny --batch_size 2 --log_every_steps 1 --num_epochs 999".split()


def started(run_dir, *flags) -> list[subprocess.Popen]:
    return two_workers([*TINY, "--run_dir", str(run_dir), *flags])


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Exit status and output of each."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [(p.returncode, out) for p, out in zip(processes, outputs, strict=True)]


@pytest.mark.slow
def test_two_workers_train_as_one_process_with_two_replicas(tmp_path):
    """Five steps of the same pictures, with image pools; only one writes."""
    whole = [*TINY, "--strategy", "cpu:2", "--max_steps", "5"]
    subprocess.run(
        [sys.executable, "train.py", *whole, "--run_dir", str(tmp_path / "one")],
        cwd=ROOT,
        check=True,
    )
    results = ended(started(tmp_path / "two", "--max_steps", "5"))
    assert [code for code, _ in results] == [0, 0], results
    assert "Trained 5 of 5 steps" in results[0][1]
    assert "Trained" not in results[1][1]
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, value in one.items():
        if "optimizer" not in name:
            np.testing.assert_allclose(value, two[name], atol=1e-5, err_msg=name)
    losses = [
        [
            r["gen_g_loss"]
            for r in read_log(tmp_path / run / "log.jsonl")
            if "epoch" in r
        ]
        for run in ("one", "two")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert len(losses[0]) == 5


def after_a_checkpoint(processes, run_dir, number: signal.Signals) -> None:
    """Sends the second worker a signal once the training has saved something new."""
    before = newest_checkpoint(run_dir)
    while newest_checkpoint(run_dir) == before:
        assert not ends_within(processes[0], 0.1), processes[0].communicate()[0]
    processes[1].send_signal(number)


@pytest.mark.slow
def test_workers_stop_together_and_go_on_after_one_was_killed(tmp_path):
    flags = ("--save_every_steps", "20", "--max_steps", "3000")
    both = started(tmp_path, *flags)
    after_a_checkpoint(both, tmp_path, signal.SIGKILL)
    (code, told), _ = ended(both)
    assert (code, told.splitlines()[-1][:31]) == (1, "error: Another worker is gone (")
    step = int(newest_checkpoint(tmp_path).rpartition("-")[2])
    both = started(tmp_path, *flags)
    after_a_checkpoint(both, tmp_path, signal.SIGTERM)
    results = ended(both)
    assert [code for code, _ in results] == [128 + signal.SIGTERM] * 2, results
    assert f"from step {step}." in results[0][1]
    (stopped,) = re.findall(r"Stopped and saved at step (\d+)\.", results[0][1])
    assert f"saved at step {stopped}." in results[1][1]
    assert newest_checkpoint(tmp_path).endswith(f"step-{stopped}")
    steps = [r["step"] for r in read_log(tmp_path / "log.jsonl") if "epoch" in r]
    assert steps == list(range(1, int(stopped) + 1))


def test_missing_worker_is_named(monkeypatch, caplog):
    """The other port is nobody's. Seconds are shortened."""
    ports = free_ports(2)
    config = {
        "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
        "task": {"type": "worker", "index": 0},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    monkeypatch.setattr(devices, "NAMED_AFTER", 0.1)
    monkeypatch.setattr(devices, "GIVEN_UP_AFTER", 0.3)
    missing = rf"worker 1 \(127.0.0.1:{ports[1]}\) did not answer within \d s"
    with caplog.at_level("INFO"), pytest.raises(UserError, match=missing):
        devices.wait_for_workers()
    assert re.match(f"Waiting: {missing}", caplog.messages[0])
    with socket.create_server(("", ports[0])):
        with pytest.raises(UserError, match=f"Port {ports[0]} of TF_CONFIG can't"):
            devices.wait_for_workers()


WHOLE = {"cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"]}}


def test_others_are_all_but_this_one():
    config = {**WHOLE, "task": {"type": "worker", "index": 1}}
    others, port = devices.other_workers(json.dumps(config))
    assert (others, port) == ({"chief 0": "a:1", "worker 0": "b:2"}, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        json.dumps(WHOLE),
        json.dumps({**WHOLE, "task": {"type": "worker", "index": 2}}),
        json.dumps({**WHOLE, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": {"worker": ["b"]}, "task": {"type": "worker"}}),
        json.dumps(
            {
                "cluster": {"ps": ["a:1"], "worker": ["b:2"]},
                "task": {"type": "worker", "index": 0},
            }
        ),
    ],
)
def test_cluster_that_makes_no_sense_is_refused(text):
    with pytest.raises(
        UserError, match="TF_CONFIG on each machine, such as .*Received"
    ):
        devices.other_workers(text)


def test_one_process_leads_and_needs_nobody():
    strategy = tf.distribute.get_strategy()
    assert devices.is_chief(strategy) and devices.num_workers(strategy) == 1
    assert devices.common_signal(strategy)(0) == 0
    assert devices.common_signal(strategy)(signal.SIGINT) == signal.SIGINT
    devices.check_same_step(5, strategy)
