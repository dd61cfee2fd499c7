"""How parts of a model are run: as they are, compiled, or computed twice."""

import contextlib
import contextvars

import keras
from keras import ops

_COMPILER = contextvars.ContextVar("compiler", default=None)


@contextlib.contextmanager
def compiling_with(compiler):
    """Inside of it, blocks and functions are run through a compiler.

    Args:
        compiler: Function of a key and a function of tensors, which returns
            a function of the same tensors, for one key always the same; or
            `None`.
    """
    token = _COMPILER.set(compiler)
    try:
        yield
    finally:
        _COMPILER.reset(token)


def apply_function(function, *tensors):
    """`function(*tensors)`, of a module's function that keeps no state."""
    compiler = _COMPILER.get()
    if compiler is None:
        return function(*tensors)
    return compiler(function, function)(*map(ops.convert_to_tensor, tensors))


def apply_block(block, x, checkpoint=False, compilable=True, **options):
    """A block's output, with or without keeping what is inside it.

    Args:
        block: A built layer that maps one tensor to one.
        x: Its input.
        checkpoint: Boolean, whether the gradient computes the inside of the
            block again from `x`, which saves memory for a third more time.
        compilable: Boolean, whether a compiler may record the block, which
            then must not look at the numbers of a tensor.
        **options: Further arguments of the block, none of them a tensor.

    Returns:
        The block's output.
    """
    compiler = _COMPILER.get() if compilable else None
    if not checkpoint and compiler is None:
        return block(x, **options)
    trainable = block.trainable_variables
    others = block.non_trainable_variables  # The seeds of dropout.

    # A function of explicit state, so that both times draw the same numbers,
    # and the states of random generators move on once.
    def pure(x, *values):
        own, rest = values[: len(trainable)], values[len(trainable) :]
        return block.stateless_call(own, rest, x, **options)

    function = pure
    if compiler is not None:
        # Blocks that are alike share the code.
        config = {**block.get_config(), "name": None}
        key = (type(block), repr(config), repr(options))
        function = compiler(key, pure)
    if checkpoint:
        function = keras.remat(function)
    # Copies of states, which change before the gradient needs them.
    values = [v.value for v in trainable] + [ops.copy(v.value) for v in others]
    y, changed = function(ops.convert_to_tensor(x), *values)
    for variable, value in zip(others, changed, strict=True):
        variable.assign(value)
    return y
