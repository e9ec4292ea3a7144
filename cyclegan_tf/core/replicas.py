"""The replicas of a strategy; several workers share them."""

import tensorflow as tf


def num_local_replicas(strategy: tf.distribute.Strategy) -> int:
    """The number of replicas of this process."""
    if strategy.num_replicas_in_sync == 1:
        return 1
    return len(strategy.extended.worker_devices)


def first_replica(strategy: tf.distribute.Strategy) -> int:
    """The index of this process's first replica among those of all workers."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 0
    resolver = strategy.cluster_resolver
    chiefs = len(resolver.cluster_spec().as_dict().get("chief", ()))
    worker = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return worker * num_local_replicas(strategy)


def of_one_replica(values, strategy: tf.distribute.Strategy):
    """Takes one replica's copy of values that are equal on all replicas.

    Args:
      values: Results of the strategy's `run`, perhaps in lists or dictionaries.
      strategy: The strategy of the replicas.
    """
    local = strategy.experimental_local_results
    return tf.nest.map_structure(lambda value: local(value)[0], values)
