"""Data-parallel training on TensorFlow: `tf.distribute`."""

import tensorflow as tf


def data_parallel(devices):
    strategy = tf.distribute.MirroredStrategy(devices)
    tf.distribute.experimental_set_strategy(strategy)
    return strategy.num_replicas_in_sync


def num_devices():
    return max(len(tf.config.list_logical_devices("GPU")), 1)


def is_data_parallel():
    return tf.distribute.get_strategy().num_replicas_in_sync > 1
