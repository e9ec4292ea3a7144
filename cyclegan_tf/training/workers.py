"""Several machines that train together: who they are, who leads, who is missing.

TensorFlow's standard environment variable `TF_CONFIG` names them.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf

from cyclegan_tf.learning.replicas import first_replica, num_local_replicas
from cyclegan_tf.validation import UserError

# Until who is missing is named, and until they are given up.
NAMED_AFTER, GIVEN_UP_AFTER = 30, 600

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)

# What TensorFlow raises when another worker is gone.
GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def multi_worker_strategy() -> tf.distribute.Strategy:
    """A MultiWorkerMirroredStrategy over `TF_CONFIG`'s workers, once all are there.

    Workers that do not answer are named on stderr after `NAMED_AFTER` seconds.

    Raises:
      UserError: there is no such variable, or it makes no sense; a worker does not
        answer for `GIVEN_UP_AFTER` seconds; or TensorFlow has begun to compute.
    """
    others, port = other_workers(os.environ.get("TF_CONFIG", ""))
    _wait_for(others, port)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            f"`strategy` multi_worker must be asked for at the start: {error}"
        ) from error


def other_workers(text: str) -> tuple[dict[str, str], int]:
    """The addresses of all workers but this one, by name, and the port of this one.

    Args:
      text: The value of `TF_CONFIG`.

    Raises:
      UserError: it names no cluster of chief and workers, or not this task.
    """
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
        known = {name.partition(" ")[0] for name in addresses} <= {"chief", "worker"}
        if not known or own not in addresses:
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            "`strategy` multi_worker needs the environment variable TF_CONFIG on each "
            f"machine, such as {_EXAMPLE}, with chief and worker alone. Received: "
            f"{text!r}."
        ) from error
    others = {name: address for name, address in addresses.items() if name != own}
    return others, ports[own]


def leads(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run directory: the chief, or the only one."""
    return first_replica(strategy) == 0


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """The processes that train together."""
    return strategy.num_replicas_in_sync // num_local_replicas(strategy)


def summed(strategy: tf.distribute.Strategy) -> Callable[[int], int]:
    """Adds a number of each process; all have to ask, and wait for one another.

    Args:
      strategy: The processes'.

    Returns:
      From this process's number to the sum.
    """
    if num_workers(strategy) == 1:
        return lambda number: number

    @tf.function(autograph=False)
    def total(number: tf.Tensor) -> tf.Tensor:
        values = strategy.run(lambda: tf.identity(number))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    def ask(number: int) -> int:
        added = float(total(tf.constant(number, tf.float64)))
        return round(added) // num_local_replicas(strategy)

    return ask


def agreement(strategy: tf.distribute.Strategy) -> Callable[[int], int]:
    """Has all processes stop after the same step.

    Args:
      strategy: The processes'.

    Returns:
      From the signal that this process got, or 0, to the one that all stop for: SIGTERM
      if it is another's. All have to ask after each step.
    """
    add = summed(strategy)

    def agree(number: int) -> int:
        others = add(number)
        return number or (signal.SIGTERM if others else 0)

    return agree


def check_same_step(step: int, strategy: tf.distribute.Strategy) -> None:
    """Refuses workers that do not go on from the same checkpoint.

    Raises:
      UserError: another worker found another step in its run directory.
    """
    workers = num_workers(strategy)
    if workers > 1 and summed(strategy)(step) != workers * step:
        raise UserError(
            f"This worker goes on from step {step:,}, others do not. All need the same "
            "`run_dir`, on a file system that they share."
        )


@contextlib.contextmanager
def told_if_gone(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Tells in a line if another worker goes away.

    Raises:
      UserError: one did.
    """
    try:
        yield
    except GONE as error:
        if num_workers(strategy) == 1:
            raise
        raise UserError(
            f"Another worker is gone ({type(error).__name__}). Start all of them again "
            "by the same command: they go on from the newest checkpoint."
        ) from error


def _wait_for(others: Mapping[str, str], port: int) -> None:
    """Waits until all answer, and answers them meanwhile.

    TensorFlow itself would wait an hour without a word, and can't be interrupted.

    Raises:
      UserError: some did not within `GIVEN_UP_AFTER` seconds, or the port is taken.
    """
    try:
        answering = socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"Port {port} of TF_CONFIG can't be used: {error.strerror}."
        ) from error
    start, named = time.monotonic(), NAMED_AFTER
    with answering:
        while missing := [f"{k} ({a})" for k, a in others.items() if not _answers(a)]:
            waited = time.monotonic() - start
            told = f"{', '.join(missing)} did not answer within {waited:.0f} s."
            if waited >= named:
                print(f"Waiting: {told}", file=sys.stderr, flush=True)
                named += NAMED_AFTER
            if waited >= GIVEN_UP_AFTER:
                raise UserError(f"{told} Start all workers.")
            time.sleep(0.5)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return True
    except OSError:
        return False
