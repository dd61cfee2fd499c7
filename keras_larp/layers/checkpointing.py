"""Gradient checkpointing: what is inside a block is computed twice."""

import keras
from keras import ops


def run_block(block, x, checkpoint=False, **options):
    """A block's output, with or without keeping what is inside it.

    Args:
        block: A built layer that maps one tensor to one.
        x: Its input.
        checkpoint: Boolean, whether the gradient computes the inside of the
            block again from `x`, which saves memory for a third more time.
        **options: Further arguments of the block, none of them a tensor.

    Returns:
        The block's output.
    """
    if not checkpoint:
        return block(x, **options)
    trainable = block.trainable_variables
    others = block.non_trainable_variables  # The seeds of dropout.

    # A function of explicit state, so that both times draw the same numbers,
    # and the states of random generators move on once.
    def pure(x, *values):
        own, rest = values[: len(trainable)], values[len(trainable) :]
        return block.stateless_call(own, rest, x, **options)

    # Copies of states, which change before the gradient needs them.
    values = [v.value for v in trainable] + [ops.copy(v.value) for v in others]
    y, changed = keras.remat(pure)(ops.convert_to_tensor(x), *values)
    for variable, value in zip(others, changed, strict=True):
        variable.assign(value)
    return y
