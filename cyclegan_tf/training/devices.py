"""The devices of a training: one, all GPUs, logical CPUs, or several machines.

TensorFlow's standard environment variable `TF_CONFIG` names the machines (workers).
"""

import contextlib
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from cyclegan_tf.compat import num_cores
from cyclegan_tf.core.replicas import first_replica, num_local_replicas
from cyclegan_tf.messages import LOG, UserError, reason

# Seconds until missing workers are named, and until the training gives up.
NAMED_AFTER, GIVEN_UP_AFTER = 30, 600

# Device files of NVIDIA's driver, on Linux and in WSL.
GPU_FILES = ["/dev/nvidia[0-9]*", "/dev/dxg"]

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)

# TensorFlow's errors after the loss of another worker.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def describe_devices() -> str:
    """Lists the devices for training, or tells why TensorFlow can't use the GPU."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g)["device_name"] for g in gpus]
    return ", ".join(names) or f"CPU only, {_missing_gpu()}"


def _missing_gpu() -> str:
    if not any(map(glob.glob, GPU_FILES)):
        return "no GPU found"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides the GPU"
    causes = "; ".join(_native_messages()[:3]) or "no reason given"
    return (
        f"although this machine has a GPU. TensorFlow: {causes}. To install the CUDA "
        f"libraries: pip install 'tensorflow[and-cuda]=={tf.__version__}'"
    )


def _native_messages() -> list[str]:
    """TensorFlow's messages about GPUs, in a fresh process: this one hides them."""
    code = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
    )
    lines = [line.rpartition("] ")[2].rstrip(".") for line in done.stderr.splitlines()]
    about = re.compile("cuda|gpu|dlopen|dynamic library", re.IGNORECASE)
    # TensorFlow's factories are registered twice on every machine.
    found = [line for line in lines if about.search(line) and "factory" not in line]
    return list(dict.fromkeys(found))


def share_cores() -> None:
    """Gives each operation half of the cores, so that two run side by side.

    On two cores, steps of a CycleGAN are up to 1.4 times as fast: its two directions
    need little from each other. It changes the whole process, so it is for programs,
    before TensorFlow computes. It does nothing with a GPU, or if the environment sets
    the threads of an operation.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ:
        return
    if not tf.config.list_physical_devices("GPU"):
        # In a notebook TensorFlow may compute already; then nothing changes.
        with contextlib.suppress(RuntimeError):
            half = max(1, num_cores() // 2)
            tf.config.threading.set_intra_op_parallelism_threads(half)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns a strategy by name.

    `single`, `mirrored` (all GPUs), `multi_worker`, `cpu:N` (N logical CPU devices), or
    `auto` (`mirrored` with several GPUs, else `single`).

    Raises:
      UserError: there is no GPU for `mirrored` or no valid `TF_CONFIG`, a worker does
        not answer, or TensorFlow computes already.
    """
    try:
        strategy = _strategy(name)
    except RuntimeError as error:
        raise UserError(
            f"`strategy` {name} must be set before TensorFlow computes: {reason(error)}"
        ) from error
    # With several devices TensorFlow's dependency optimizer (2.21) loses the order of
    # reading and updating a weight: one device could update a discriminator before
    # another device judges a fake with it.
    ordered = strategy.num_replicas_in_sync == 1
    tf.config.optimizer.set_experimental_options({"dependency_optimization": ordered})
    return strategy


def _strategy(name: str) -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # In a notebook the GPU may be in use already; then nothing changes.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    if name == "multi_worker":
        wait_for_workers()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name.startswith("cpu:"):
        return _logical_cpus(int(name.removeprefix("cpu:")))
    if name == "mirrored" and not gpus:
        raise UserError("`strategy` mirrored needs a GPU; cpu:N works without one.")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _logical_cpus(number: int) -> tf.distribute.Strategy:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or []) < number:
        logical = [tf.config.LogicalDeviceConfiguration()] * number
        tf.config.set_logical_device_configuration(cpu, logical)
    # Collectives over CPUs mix up the keys of two strategies in one process.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(number)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


# --- Several workers


def other_workers(text: str) -> tuple[dict[str, str], int]:
    """Reads `TF_CONFIG`: addresses of the other workers by name, and our own port."""
    try:
        values = json.loads(text)
        cluster, task = values["cluster"], values["task"]
        addresses = {
            f"{kind} {number}": address
            for kind, of_kind in cluster.items()
            for number, address in enumerate(of_kind)
        }
        ports = {k: int(a.rpartition(":")[2]) for k, a in addresses.items()}
        own = f"{task['type']} {int(task['index'])}"
        if not cluster.keys() <= {"chief", "worker"} or own not in addresses:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            "`strategy` multi_worker needs the environment variable TF_CONFIG on each "
            f"machine, such as {_EXAMPLE}, with chief and worker alone. Received: "
            f"{text!r}."
        ) from error
    return {k: address for k, address in addresses.items() if k != own}, ports[own]


def wait_for_workers() -> None:
    """Waits until all workers answer at their ports, and answers at its own meanwhile.

    After `NAMED_AFTER` seconds it names the missing ones. TensorFlow itself waits an
    hour without a message, and can't be interrupted.
    """
    others, port = other_workers(os.environ.get("TF_CONFIG", ""))
    try:
        answering = socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"Port {port} of TF_CONFIG can't be used: {reason(error)}."
        ) from error
    start, named = time.monotonic(), NAMED_AFTER
    with answering:
        while missing := [f"{k} ({a})" for k, a in others.items() if not _answers(a)]:
            waited = time.monotonic() - start
            line = f"{', '.join(missing)} did not answer within {waited:.0f} s."
            if waited >= named:
                LOG.info(f"Waiting: {line}")
                named += NAMED_AFTER
            if waited >= GIVEN_UP_AFTER:
                raise UserError(f"{line} Start all workers.")
            time.sleep(0.5)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        return True
    return False


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run: the chief worker, or the only one."""
    return first_replica(strategy) == 0


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of processes of the training."""
    return strategy.num_replicas_in_sync // num_local_replicas(strategy)


def sum_of_workers(strategy: tf.distribute.Strategy) -> Callable[[int], int]:
    """Returns a function from each worker's number to their sum; all must call it."""
    if num_workers(strategy) == 1:
        return lambda number: number

    @tf.function(autograph=False)
    def total(number: tf.Tensor) -> tf.Tensor:
        values = strategy.run(lambda: tf.identity(number))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def add(number: int) -> int:
        added = float(total(tf.constant(number, tf.float64)))
        return round(added) // num_local_replicas(strategy)

    return add


def common_signal(strategy: tf.distribute.Strategy) -> Callable[[int], int]:
    """Returns a function from this worker's signal, or 0, to the one that stops all.

    That is SIGTERM if another worker received one. All must call it after each step.
    """
    add = sum_of_workers(strategy)

    def common(number: int) -> int:
        received = add(number)
        return number or (signal.SIGTERM if received else 0)

    return common


def check_same_step(step: int, strategy: tf.distribute.Strategy) -> None:
    """Raises a `UserError` if another worker goes on from another step."""
    workers = num_workers(strategy)
    if workers > 1 and sum_of_workers(strategy)(step) != workers * step:
        raise UserError(
            f"This worker goes on from step {step:,}, others do not. All need the same "
            "`run_dir`, on a file system that they share."
        )


@contextlib.contextmanager
def reports_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Raises a `UserError` if another worker is lost."""
    try:
        yield
    except _LOST as error:
        if num_workers(strategy) == 1:
            raise
        raise UserError(
            f"Another worker is gone ({type(error).__name__}). Start all of them again "
            "by the same command: they go on from the newest checkpoint."
        ) from error
