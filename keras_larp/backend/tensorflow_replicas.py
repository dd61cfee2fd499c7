"""Collective operations of a train step on TensorFlow; see `replicas`.

`tf.distribute` splits a batch into equal parts, except for the last one of a
data set: of 3 clips, two devices get 2 and 1, and of one clip, the second
device gets none. So the replicas of a batch have weights, their fractions of
the clips. A replica without clips computes with one of zeros, of weight 0.
"""

import contextlib
import contextvars
import dataclasses
from typing import Any

import keras
import tensorflow as tf

_ROWS = contextvars.ContextVar("rows", default=None)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of a global batch that a replica processes.

    Attributes:
        own: Number of rows that belong to this replica, may be 0.
        local: Number of rows of this replica's tensors: `own`, at least 1.
        total: Number of rows of all replicas.
        start: Index of the replica's first row among those of all replicas,
            in [0, total - local].
    """

    own: Any
    local: Any
    total: Any
    start: Any

    @property
    def weight(self):
        """The replica's fraction of the global batch, a float32 scalar."""
        return tf.cast(self.own / self.total, tf.float32)


def num_replicas():
    if not tf.distribute.in_cross_replica_context():
        return tf.distribute.get_strategy().num_replicas_in_sync
    return 1


@contextlib.contextmanager
def batch_of_replica(data):
    """Context of a step on a replica's part of a batch.

    Args:
        data: Nested structure of tensors `(B, ...)` and `None`.

    Yields:
        The data; if there are no rows, one row of zeros.
    """
    rows, data = _find_rows(data)
    token = _ROWS.set(rows)
    try:
        yield data
    finally:
        _ROWS.reset(token)


def _find_rows(data):
    first = next(x for x in keras.tree.flatten(data) if x is not None)
    own = tf.shape(first)[0]
    index, count = _replica_index(), num_replicas()
    counts = _all_reduce(tf.one_hot(index, count, own, 0))  # Of all replicas.
    total = tf.reduce_sum(counts)
    local = tf.maximum(own, 1)
    start = tf.minimum(tf.reduce_sum(counts[:index]), total - local)
    data = keras.tree.map_structure(
        lambda x: None if x is None else _pad_rows(x, local - own), data
    )
    return _Rows(own, local, total, start), data


def _pad_rows(x, count):
    padded = tf.pad(x, [[0, count], *[[0, 0]] * (len(x.shape) - 1)])
    return tf.ensure_shape(padded, (None, *x.shape[1:]))


def _replica_index():
    """The index of this replica, an integer."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))


def _all_reduce(x):
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, x)


def _weight(dtype):
    rows = _ROWS.get()
    weight = 1.0 / num_replicas() if rows is None else rows.weight
    return tf.cast(weight, dtype)


def mean(x):
    @tf.custom_gradient
    def weighted_sum(x):
        # Not NaN on a replica without rows, whatever its values are.
        x = tf.math.multiply_no_nan(x, _weight(x.dtype))
        return _all_reduce(x), weighted_sum

    return weighted_sum(tf.convert_to_tensor(x))


def sum(x):
    x = tf.stop_gradient(tf.convert_to_tensor(x))
    rows = _ROWS.get()
    if rows is not None:
        x = tf.where(tf.greater(rows.own, 0), x, tf.zeros_like(x))
    return _all_reduce(x)


def global_size(count):
    rows = _ROWS.get()
    if rows is None:
        return count * num_replicas()
    return count // rows.local * rows.total


def own_range(count):
    """Index and number of this replica's rows among `count` of all."""
    rows = _ROWS.get()
    if rows is None:
        own = count // num_replicas()
        return _replica_index() * own, own
    factor = count // rows.total
    return factor * rows.start, factor * rows.local


def drop_padding(x):
    rows = _ROWS.get()
    return x if rows is None else x[: rows.own]


def average_gradients(gradients):
    """Replaces gradients by their mean over replicas, in one message.

    Args:
        gradients: List of tensors, or `None` for unused variables.

    Returns:
        List of tensors and `None`.
    """
    weighted = [
        tf.math.multiply_no_nan(g, _weight(g.dtype))
        for g in gradients
        if g is not None
    ]
    averaged = iter(_all_reduce(weighted) if weighted else [])
    return [None if g is None else next(averaged) for g in gradients]
