"""How blocks run: directly, compiled, or rematerialized.

Rematerialization (gradient checkpointing) discards the activations inside a
block after the forward pass and recomputes them in the backward pass.
"""

import contextlib
import contextvars

import keras
from keras import ops

_COMPILER = contextvars.ContextVar("compiler", default=None)


@contextlib.contextmanager
def compiling_with(compiler):
    """Context in which blocks and functions run through a compiler.

    Args:
        compiler: Function of a hashable key and a function of tensors that
            returns a compiled version of the function, cached by the key; or
            `None` to disable compilation.
    """
    token = _COMPILER.set(compiler)
    try:
        yield
    finally:
        _COMPILER.reset(token)


def apply_function(function, *tensors):
    """Applies a stateless module-level function, compiled if enabled."""
    compiler = _COMPILER.get()
    if compiler is None:
        return function(*tensors)
    return compiler(function, function)(*map(ops.convert_to_tensor, tensors))


def apply_block(block, x, checkpoint=False, compilable=True, **options):
    """Applies a block, optionally rematerialized and compiled.

    Args:
        block: A built layer that maps one tensor to one tensor.
        x: Input tensor.
        checkpoint: Boolean. Whether to rematerialize the block in the
            backward pass, which saves memory and costs about a third more
            time. Defaults to `False`.
        compilable: Boolean. Whether the block may be traced by a compiler:
            its Python code must not depend on the values of tensors.
            Defaults to `True`.
        **options: Further arguments of the block, none of them a tensor.

    Returns:
        The block's output.
    """
    compiler = _COMPILER.get() if compilable else None
    if not checkpoint and compiler is None:
        return block(x, **options)
    trainable = block.trainable_variables
    non_trainable = block.non_trainable_variables  # Seeds of dropout.

    # A pure function of all state: both forward passes draw the same random
    # numbers, and the random states advance once.
    def pure(x, *values):
        split = len(trainable)
        return block.stateless_call(
            values[:split], values[split:], x, **options
        )

    function = pure
    if compiler is not None:
        # Blocks of equal configuration share the compiled code.
        config = {**block.get_config(), "name": None}
        key = (type(block), repr(config), repr(options))
        function = compiler(key, pure)
    if checkpoint:
        function = keras.remat(function)
    # State is copied: it changes in place before the backward pass reads it.
    values = [v.value for v in trainable]
    values += [ops.copy(v.value) for v in non_trainable]
    y, new_state = function(ops.convert_to_tensor(x), *values)
    for variable, value in zip(non_trainable, new_state, strict=True):
        variable.assign(value)
    return y
