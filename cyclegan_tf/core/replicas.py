"""A strategy's replicas: all are this process's, unless there are several workers."""

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


def of_one_replica(values, strategy: tf.distribute.Strategy):
    """What a replica of this process has of values that are the same on all.

    Args:
      values: As the strategy's `run` gives them, perhaps in lists or dictionaries.
      strategy: The replicas'.
    """
    local = strategy.experimental_local_results
    return tf.nest.map_structure(lambda value: local(value)[0], values)
