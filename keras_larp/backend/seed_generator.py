import contextlib

import keras


class SeedGenerator(keras.random.SeedGenerator):
    """A seed generator whose state stays in host memory on PyTorch.

    Keras' random functions read the state on the host at every draw. If it
    were on an accelerator, each draw would synchronize.

    Args:
        seed: Integer, or `None` for a random seed.
    """

    def __init__(self, seed=None, **kwargs):
        with _state_device():
            super().__init__(seed, **kwargs)

    def next(self, ordered=True):
        """Returns the state, a tensor of two integers, and advances it."""
        with _state_device():
            return super().next(ordered)


def _state_device():
    if keras.backend.backend() == "torch":
        return keras.device("cpu")
    return contextlib.nullcontext()
