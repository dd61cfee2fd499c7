"""Loops on backends whose compiler supports them; see also `torch_driver`."""

from keras import ops


def compile_loop(body):
    """Makes a loop for use inside a compiled function.

    Args:
        body: Function of the step (an int32 scalar), the state and the
            inputs that returns the next state.

    Returns:
        `loop(start, stop, state, inputs)`, which returns the state after the
        steps from `start` to `stop - 1`, int32 scalars.
    """

    def loop(start, stop, state, inputs):
        return ops.fori_loop(
            start, stop, lambda step, state: body(step, state, inputs), state
        )

    return loop
