"""Changes of variables by a train step of several replicas on TensorFlow.

The optimizers of Keras sum gradients over replicas when they use them. They
cannot do so in a branch, such as that of gradient accumulation, and clip the
gradient of each replica by itself. Here, gradients are averaged before. Then,
outside of the replicas, each device updates its copies of all variables as if
it were the only one.
"""

import keras
import tensorflow as tf

from keras_larp.backend import compat


def apply_if(condition, optimizer, gradients, variables):
    """Applies an optimizer's update if a condition holds.

    Args:
        condition: Boolean scalar, equal on all replicas.
        optimizer: A `keras.optimizers.Optimizer`. A `LossScaleOptimizer`
            ignores the condition, since it skips non-finite updates itself.
        gradients: List of tensors, equal on all replicas, and `None`.
        variables: List of their variables.
    """

    def apply(gradients):
        optimizer.apply(gradients, variables)
        return tf.constant(0)

    def update_device(_, condition, gradients):
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return apply(gradients)
        return tf.cond(
            condition, lambda: apply(gradients), lambda: tf.constant(0)
        )

    def update(strategy, condition, gradients):
        # The variable only tells the devices.
        any_variable = optimizer.variables[0].value
        with compat.updating_one_device(optimizer):
            strategy.extended.update(
                any_variable,
                update_device,
                args=(condition, gradients),
                group=False,
            )

    context = tf.distribute.get_replica_context()
    context.merge_call(update, args=(condition, gradients))


def restore(variables, old_values, unless):
    """Restores the values of variables unless a condition holds.

    Args:
        variables: List of variables.
        old_values: List of tensors.
        unless: Boolean scalar, equal on all replicas.
    """

    def restore_device(variable, old, unless):
        return variable.assign(tf.where(unless, variable, old))

    def update(strategy, old_values, unless):
        for variable, old in zip(variables, old_values, strict=True):
            strategy.extended.update(
                variable.value, restore_device, args=(old, unless), group=False
            )

    context = tf.distribute.get_replica_context()
    context.merge_call(update, args=(old_values, unless))


def check_distributed(variables):
    """Raises `ValueError` for variables that devices have no copies of."""
    for variable in variables:
        if not isinstance(variable.value, tf.distribute.DistributedValues):
            raise ValueError(
                "The model or its optimizer was created before "
                "`keras_larp.distribution.data_parallel` was called. Call it "
                f"first. Received: variable {variable.path!r} of one device"
            )
