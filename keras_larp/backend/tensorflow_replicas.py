"""Collective operations of a train step on TensorFlow; see `replicas`."""

import tensorflow as tf


def num_replicas():
    if not tf.distribute.in_cross_replica_context():
        return tf.distribute.get_strategy().num_replicas_in_sync
    return 1


def replica_index():
    context = tf.distribute.get_replica_context()
    return tf.cast(context.replica_id_in_sync_group, tf.int32)


def mean(x):
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def sum(x):
    context = tf.distribute.get_replica_context()
    x = tf.stop_gradient(tf.convert_to_tensor(x))
    return context.all_reduce(tf.distribute.ReduceOp.SUM, x)
