"""Train step operations on TensorFlow: gradient tapes."""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from keras_larp.backend import (
    compat,
    tensorflow_replicas,
    tensorflow_sizes,
    tensorflow_updates,
)
from keras_larp.backend.finite import all_finite
from keras_larp.backend.loop import compile_loop
from keras_larp.backend.packed_matmul import pack_kernel, packed_matmul
from keras_larp.backend.replicas import sum_over_replicas

__all__ = [
    "StepDriver",
    "compile_function",
    "compile_loop",
    "packed_matmul",
    "fused_attention",
    "pack_kernel",
    "register_dataclass",
    "with_unknown_sizes",
]


def register_dataclass(cls):
    """Class decorator; TensorFlow needs no registration."""
    return cls


class StepDriver(compat.BuiltModel):
    """Keras' train and test step, inside its `tf.function`.

    The order of a train step is in `keras_larp.training.step`; the methods
    are documented in `keras_larp.backend.jax_driver`.
    """

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = tensorflow_sizes.trace_per_size(
                self.train_function, self, self.train_step
            )

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = tensorflow_sizes.trace_per_size(
                self.test_function, self, self.test_step
            )

    @property
    def num_replicas(self):
        return tensorflow_replicas.num_replicas()

    def train_step(self, data):
        return self._run(self.train_on, data)

    def test_step(self, data):
        return self._run(self.test_on, data)

    def _run(self, step, data):
        """Runs a step on a batch, or on the part of it of this replica."""
        if self.num_replicas == 1:
            return step(data)
        tensorflow_updates.check_distributed(self.variables)
        with tensorflow_replicas.batch_of_replica(data) as data:
            step(data)
        # Keras averages the results of the replicas, which would be wrong
        # for other metrics than means. So each returns those of all.
        context = tf.distribute.get_replica_context()
        return context.merge_call(lambda _: self.get_metrics_result())

    def differentiate(self, function, variables):
        """Calls a function and prepares its gradient."""
        with tf.GradientTape() as tape:
            tensors, outputs = function()

        def vjp(cotangents):
            values = [v.value for v in variables]
            gradients = tape.gradient(
                tensors, values, output_gradients=cotangents
            )
            # Embeddings have sparse gradients, `tf.IndexedSlices`. For rows
            # that occur more than once, Keras' optimizers would sum the
            # squares instead of squaring the sum.
            gradients = [
                g if g is None else tf.convert_to_tensor(g) for g in gradients
            ]
            if self.num_replicas == 1:
                return gradients
            return tensorflow_replicas.average_gradients(gradients)

        return tensors, outputs, vjp

    def input_gradient(self, function, x, differentiable=False):
        """Gradient of a function with respect to its input; on TensorFlow it
        is always `differentiable`."""
        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            scalar, outputs = function(x)
        return tape.gradient(scalar, x), outputs

    def conditionally(self, condition, function, variables, otherwise):
        """Calls a function if a condition holds."""

        def tensors_of(outputs):
            fields = dataclasses.fields(outputs)
            return [getattr(outputs, field.name) for field in fields]

        if self.num_replicas == 1:
            tensors = tf.cond(
                condition,
                lambda: tensors_of(function()),
                lambda: tensors_of(otherwise),
            )
        else:
            # Replicas cannot communicate in a branch. So the function is
            # always called, and its effects undone.
            old_values = [tf.identity(v.value) for v in variables]
            pairs = zip(
                tensors_of(function()), tensors_of(otherwise), strict=True
            )
            tensors = [tf.where(condition, new, old) for new, old in pairs]
            tensorflow_updates.restore(variables, old_values, unless=condition)
        return type(otherwise)(*tensors)

    def apply_if(self, condition, optimizer, gradients, variables):
        """Applies the optimizer's update if a condition holds."""
        if self.num_replicas > 1:
            tensorflow_updates.apply_if(
                condition, optimizer, gradients, variables
            )
            return

        def run():
            optimizer.apply(gradients, variables)
            return tf.constant(0)

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It skips non-finite updates itself, and lowers its scale.
            run()
        else:
            tf.cond(condition, run, lambda: tf.constant(0))

    def all_finite(self, tensors):
        finite = all_finite(tensors)
        # All replicas skip a step, or none of them.
        num_non_finite = sum_over_replicas(1.0 - tf.cast(finite, tf.float32))
        return tf.equal(num_non_finite, 0.0)

    def current_step(self):
        """The index of the current training step, an int32 scalar."""
        return self.training_state.step.value

    def metrics_over_replicas(self):
        """Context in which metrics are those of all replicas; TensorFlow sums
        their variables when they are read."""
        return contextlib.nullcontext()


def with_unknown_sizes(dataset):
    """Prepares a data set of clips of several sizes for Keras."""
    return tensorflow_sizes.with_unknown_sizes(dataset)


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """Returns `None`: TensorFlow has no fused attention kernel."""


def compile_function(model, function):
    """Compiles a function of tensors with XLA; TensorFlow tracks the
    variables that it reads."""
    return tf.function(
        function, autograph=False, reduce_retracing=False, jit_compile=True
    )
