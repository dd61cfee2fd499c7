"""The loop of compilers that have one; PyTorch's driver has its own."""

from keras import ops


def compile_loop(body):
    """`loop(start, stop, state, inputs)`, which runs the state through
    `body(step, state, inputs)`; for use inside a compiled function."""

    def loop(start, stop, state, inputs):
        return ops.fori_loop(
            start, stop, lambda step, state: body(step, state, inputs), state
        )

    return loop
