"""The devices a run trains on: one, all GPUs, or logical CPU devices."""

import contextlib
import os

import tensorflow as tf

from cyclegan_tf.process import num_cores
from cyclegan_tf.training.workers import multi_worker_strategy
from cyclegan_tf.validation import UserError


def devices() -> str:
    """The devices that can train, in words; asks the driver, so call it once early."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g)["device_name"] for g in gpus]
    return ", ".join(names) or "CPU only, no GPU found"


def share_cores() -> None:
    """Has each half of a CycleGAN's step compute with half of the cores.

    Its two directions need little of one another. On two cores steps are up to 1.4
    times as fast with a core each as with both cores for one operation after another.
    For the whole process, so this is for programs, before TensorFlow computes anything.
    Does nothing with a GPU, or if the environment says how many threads an operation
    has.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ:
        return
    if not tf.config.list_physical_devices("GPU"):
        # TensorFlow may have begun already, in a notebook; then it stays as it is.
        with contextlib.suppress(RuntimeError):
            half = max(1, num_cores() // 2)
            tf.config.threading.set_intra_op_parallelism_threads(half)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy that `Config.strategy` names.

    Args:
      name: `single`, `mirrored`, `multi_worker`, `tpu`, `cpu:N` or `auto`.

    Returns:
      A MirroredStrategy over all GPUs or over N logical CPU devices, one over the GPUs
      of several machines, a TPUStrategy, or the default strategy of one device.

    Raises:
      UserError: there is no GPU to mirror over, no TPU, no `TF_CONFIG`, or CPU devices
        can't be made any more.
    """
    strategy = _strategy_of(name)
    # With several devices TensorFlow's dependency optimizer (2.21) loses the order of a
    # weight's readings and its update: a discriminator could be updated before another
    # device had it judge a fake.
    ordered = strategy.num_replicas_in_sync == 1
    tf.config.optimizer.set_experimental_options({"dependency_optimization": ordered})
    return strategy


def _strategy_of(name: str) -> tf.distribute.Strategy:
    if name == "tpu":
        return _tpu_strategy()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # In a notebook the GPU may be in use already; then it stays as it was set.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    if name == "multi_worker":
        return multi_worker_strategy()
    if name.startswith("cpu:"):
        number = int(name.removeprefix("cpu:"))
        _make_logical_cpus(number)
        # Collectives over CPUs mix up the keys of two strategies in one process.
        return tf.distribute.MirroredStrategy(
            [f"CPU:{i}" for i in range(number)],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    if name == "mirrored" and not gpus:
        raise UserError("`strategy` mirrored needs a GPU; cpu:N works without one.")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _tpu_strategy() -> tf.distribute.Strategy:
    """All cores of the TPU that the environment's `TPU_NAME` names, or of this host."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=os.environ.get("TPU_NAME", "local")
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"`strategy` tpu needs a TPU: {reason}") from error


def _make_logical_cpus(number: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    present = tf.config.get_logical_device_configuration(cpu) or []
    if len(present) >= number:
        return
    device = tf.config.LogicalDeviceConfiguration()
    try:
        tf.config.set_logical_device_configuration(cpu, [device] * number)
    except RuntimeError as error:
        raise UserError(f"cpu:{number} must be asked for at the start.") from error
