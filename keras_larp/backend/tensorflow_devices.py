"""Data-parallel training on TensorFlow: `tf.distribute`."""

import tensorflow as tf

READS_OWN_PART = False


def data_parallel(devices):
    strategy = tf.distribute.MirroredStrategy(devices)
    tf.distribute.experimental_set_strategy(strategy)
    return strategy.num_replicas_in_sync


def num_devices():
    return max(len(tf.config.list_logical_devices("GPU")), 1)


def is_data_parallel():
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def check_is_enabled():
    """Nothing to check: a job has one process."""
