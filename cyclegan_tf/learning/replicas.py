"""Which of a strategy's replicas are this process's: all, but for several workers."""

import tensorflow as tf


def num_local_replicas(strategy: tf.distribute.Strategy) -> int:
    """How many replicas this process has."""
    if strategy.num_replicas_in_sync == 1:
        return 1
    return len(strategy.extended.worker_devices)


def first_replica(strategy: tf.distribute.Strategy) -> int:
    """The number of this process's first replica, among those of all workers."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0
    resolver = strategy.cluster_resolver
    chiefs = len(resolver.cluster_spec().as_dict().get("chief", ()))
    worker = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return worker * num_local_replicas(strategy)
