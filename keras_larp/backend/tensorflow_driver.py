"""Differentiating and applying on TensorFlow: gradient tapes."""

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
]


class StepDriver:
    """One train step inside Keras' `tf.function`; see
    `keras_larp.training.step`."""

    def train_step(self, data):
        return self.train_on(data)

    def test_step(self, data):
        return self.test_on(data)

    def differentiate(self, function, variables):
        """`function()`, a loss and a dictionary, and its pull-back to
        gradients of `variables`."""
        with tf.GradientTape() as tape:
            loss, outputs = function()

        def gradients(scale, through_reconstruction=None):
            targets, weights = [loss], [scale]
            if through_reconstruction is not None:
                targets.append(outputs["reconstruction"])
                weights.append(through_reconstruction)
            values = [v.value for v in variables]
            found = tape.gradient(targets, values, output_gradients=weights)
            # Of embeddings they come as a list of rows, whose squares Keras'
            # optimizers add up where they should square the sum.
            return [g if g is None else tf.convert_to_tensor(g) for g in found]

        return loss, outputs, gradients

    def input_gradient(self, function, x, differentiable=False):
        """Gradient of the first of `function(x)`, a scalar and anything else,
        and that else; all of it is `differentiable`."""
        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            result, rest = function(x)
        return tape.gradient(result, x), rest

    def conditionally(self, condition, function, variables):
        """`function()`, a dictionary of scalars, if the condition holds, with
        what it does to `variables`; zeros otherwise."""
        names = []

        def run():
            outputs = function()
            names.extend(sorted(outputs))
            return [outputs[name] for name in names]

        def rest():
            return [tf.zeros(()) for _ in names]

        return dict(zip(names, tf.cond(condition, run, rest), strict=True))

    def apply_if(self, condition, optimizer, gradients, variables):
        """Lets the optimizer update the variables if the condition holds."""

        def run():
            optimizer.apply(gradients, variables)
            return tf.constant(0)

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            run()  # It looks itself, and changes its scale.
        else:
            tf.cond(condition, run, lambda: tf.constant(0))

    def all_finite(self, tensors):
        return all_finite(tensors)

    def current_step(self):
        return self.training_state.step.value


def fused_attention(query, key, value, mask, causal, dropout_rate):
    """`None`: TensorFlow has no kernel for all of it."""


def compile_function(model, function):
    """`function` compiled by XLA; TensorFlow itself finds the variables."""
    return tf.function(function, reduce_retracing=False, jit_compile=True)
