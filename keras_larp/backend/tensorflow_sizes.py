"""Training on clips of several sizes with TensorFlow.

Keras reads batches inside the traced step, where sizes that differ between
batches are unknown. The models need to know them, so such batches are read
outside, and each size has its own trace. JAX and PyTorch work like this in any
case.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf


def trace_per_size(function: Callable, model: keras.Model, step: Callable):
    """Wraps Keras' train or test function.

    Args:
        function: Keras' function of an iterator of batches.
        model: The `keras.Model`.
        step: The model's function of a batch that `function` calls.

    Returns:
        Function of an iterator of batches. It calls `function` if all batches
        have the same size.
    """
    if model.run_eagerly or model.steps_per_execution > 1:
        return function
    step_on_data = tf.function(
        step,
        autograph=False,
        reduce_retracing=False,
        jit_compile=model.jit_compile,
    )

    def step_on_iterator(iterator: Iterator) -> Any:
        if isinstance(iterator, tf.data.Iterator):
            if not _has_unknown_sizes(iterator.element_spec):
                return function(iterator)
        elif isinstance(iterator, tf.distribute.DistributedIterator):
            return function(iterator)
        elif tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return function(iterator)
        data = tf.nest.map_structure(_to_tensor, next(iterator))
        return step_on_data(data)

    return step_on_iterator


def _to_tensor(x):
    """A tensor; `None` for an optional element, of which there is none."""
    if x is None or isinstance(x, tf.experimental.Optional):
        return None
    return tf.convert_to_tensor(x)


def _has_unknown_sizes(spec):
    """Whether dimensions other than that of the batch are unknown."""
    return any(
        None in s.shape[1:].as_list()
        for s in tf.nest.flatten(spec)
        if isinstance(s, tf.TensorSpec) and s.shape.rank
    )


def with_unknown_sizes(dataset: Any) -> tf.data.Dataset:
    """Converts an iterable of batches of clips of several sizes.

    Keras would infer the sizes from the first two batches.

    Args:
        dataset: Iterable of clips `(B, T, H, W, C)`, or tuples of them and
            labels `(B,)`.
    """

    def spec(x):
        shape = [None, *x.shape[1:]]
        if len(shape) == 5:
            shape[1:4] = [None] * 3
        return tf.TensorSpec(shape, x.dtype)

    signature = tf.nest.map_structure(spec, next(iter(dataset)))
    batches = tf.data.Dataset.from_generator(
        lambda: iter(dataset), output_signature=signature
    )
    return batches.prefetch(1)
