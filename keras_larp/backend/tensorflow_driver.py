"""Train step operations on TensorFlow: gradient tapes."""

import contextlib
import dataclasses

import keras
import tensorflow as tf

from keras_larp.backend.finite import all_finite
from keras_larp.backend.loop import compile_loop
from keras_larp.backend.packed_matmul import pack_kernel, packed_matmul

__all__ = [
    "StepDriver",
    "compile_function",
    "compile_loop",
    "packed_matmul",
    "fused_attention",
    "pack_kernel",
    "register_dataclass",
]


def register_dataclass(cls):
    """Class decorator; TensorFlow needs no registration."""
    return cls


class StepDriver:
    """Keras' train and test step, inside its `tf.function`.

    The order of a train step is in `keras_larp.training.step`; the methods
    are documented in `keras_larp.backend.jax_driver`.
    """

    @property
    def num_replicas(self):
        return tf.distribute.get_strategy().num_replicas_in_sync

    def train_step(self, data):
        return self.train_on(data)

    def test_step(self, data):
        return self.test_on(data)

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
            # The optimizer sums the gradients of all replicas.
            return [
                g if g is None else g / self.num_replicas for g in gradients
            ]

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
            old_values = _copy(variables)
            pairs = zip(
                tensors_of(function()), tensors_of(otherwise), strict=True
            )
            tensors = [tf.where(condition, new, old) for new, old in pairs]
            _restore(variables, old_values, unless=condition)
        return type(otherwise)(*tensors)

    def apply_if(self, condition, optimizer, gradients, variables):
        """Applies the optimizer's update if a condition holds."""

        def run():
            optimizer.apply(gradients, variables)
            return tf.constant(0)

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It skips non-finite updates itself, and lowers its scale.
            run()
        elif self.num_replicas == 1:
            tf.cond(condition, run, lambda: tf.constant(0))
        else:
            # A strategy cannot reduce gradients in a branch. So the update is
            # always applied, and undone if the condition does not hold.
            state = [*variables, *optimizer.variables]
            old_values = _copy(state)
            gradients = [
                g if g is None else tf.where(condition, g, tf.zeros_like(g))
                for g in gradients
            ]
            run()
            _restore(state, old_values, unless=condition)

    def all_finite(self, tensors):
        finite = all_finite(tensors)
        if self.num_replicas == 1:
            return finite
        # All replicas skip a step, or none of them.
        replicas = tf.distribute.get_replica_context()
        num_non_finite = replicas.all_reduce(
            tf.distribute.ReduceOp.SUM, 1.0 - tf.cast(finite, tf.float32)
        )
        return tf.equal(num_non_finite, 0.0)

    def current_step(self):
        """The index of the current training step, an int32 scalar."""
        return self.training_state.step.value

    def metrics_over_replicas(self):
        """Context in which metrics are those of all replicas; TensorFlow sums
        their variables when they are read."""
        return contextlib.nullcontext()


def _copy(variables):
    return [tf.identity(v.value) for v in variables]


def _restore(variables, old_values, unless):
    """Restores the values of variables unless a condition holds."""
    for variable, old in zip(variables, old_values, strict=True):
        variable.assign(tf.where(unless, variable.value, old))


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """Returns `None`: TensorFlow has no fused attention kernel."""


def compile_function(model, function):
    """Compiles a function of tensors with XLA; TensorFlow tracks the
    variables that it reads."""
    return tf.function(
        function, autograph=False, reduce_retracing=False, jit_compile=True
    )
