"""Values that the replicas of a train step share.

In data-parallel training on PyTorch and TensorFlow, each replica (a process
or a device) runs the train step on its own rows of the global batch. What is
not a mean over clips, such as the statistics of a batch normalization or of
the codebook, must be computed from the global batch. The functions here do so
if a train step of several replicas is running, and are trivial otherwise. On
JAX they always are: tensors of a step are those of the global batch.
"""

import importlib

import keras
from keras import ops

__all__ = [
    "draw_uniforms",
    "drop_padding",
    "global_size",
    "mean_over_replicas",
    "num_replicas",
    "own_rows",
    "sum_over_replicas",
    "take_over_replicas",
]

_backend = (
    None
    if keras.backend.backend() == "jax"
    else importlib.import_module(
        f"keras_larp.backend.{keras.backend.backend()}_replicas"
    )
)


def num_replicas():
    """The number of replicas that run the current train step, an integer."""
    return 1 if _backend is None else _backend.num_replicas()


def mean_over_replicas(x):
    """The mean of a float tensor over replicas; differentiable.

    Each replica's loss is a term of the mean of their losses, whose gradient
    is the mean of their gradients.
    """
    return x if num_replicas() == 1 else _backend.mean(x)


def sum_over_replicas(x):
    """The sum of a tensor over replicas; has no gradient."""
    return x if num_replicas() == 1 else _backend.sum(x)


def take_over_replicas(x, indices):
    """Rows of the concatenation of a tensor `(M, ...)` of all replicas.

    Args:
        x: Tensor `(M, ...)`.
        indices: int32 tensor `(K,)`, equal on all replicas, in
            [0, global_size(M)).

    Returns:
        Tensor `(K, ...)`; has no gradient.
    """
    if num_replicas() == 1:
        return ops.take(x, indices, axis=0)
    count = ops.shape(x)[0]
    first, _ = _backend.own_range(global_size(count))
    local = indices - first
    is_own = (local >= 0) & (local < count)
    rows = ops.take(x, ops.where(is_own, local, 0), axis=0)
    mask = ops.reshape(is_own, (-1,) + (1,) * (len(x.shape) - 1))
    return sum_over_replicas(ops.where(mask, rows, ops.zeros_like(rows)))


def global_size(count):
    """Number of rows of the global batch, given those of one replica."""
    return count if num_replicas() == 1 else _backend.global_size(count)


def draw_uniforms(shape, seed_generator):
    """Uniform random numbers for the rows of this replica.

    They are drawn for the global batch, so that they do not depend on the
    number of replicas.

    Args:
        shape: Tuple `(B, ...)` of the rows of this replica.
        seed_generator: `SeedGenerator`, in the same state on all replicas.

    Returns:
        float32 tensor in [0, 1).
    """
    return own_rows(
        keras.random.uniform(_global_shape(shape), seed=seed_generator)
    )


def own_rows(x):
    """The rows of a tensor of the global batch that belong to this replica."""
    if num_replicas() == 1:
        return x
    first, count = _backend.own_range(ops.shape(x)[0])
    start = (first, *[0] * (len(x.shape) - 1))
    return ops.slice(x, start, (count, *ops.shape(x)[1:]))


def drop_padding(x):
    """The rows of a tensor that belong to the batch.

    On TensorFlow, a replica that gets no rows of a batch computes with a row of
    zeros, which metrics of single clips must not see.
    """
    if keras.backend.backend() != "tensorflow":
        return x
    return _backend.drop_padding(x)


def _global_shape(shape):
    return (global_size(shape[0]), *shape[1:])
