import contextlib

import keras


class SeedGenerator(keras.random.SeedGenerator):
    """A seed generator whose state PyTorch keeps on the host.

    Keras' random functions read the state there at each draw, and would wait
    for an accelerator.

    Args:
        seed: Integer, or `None` for one by chance.
    """

    def __init__(self, seed=None, **kwargs):
        with _device_of_states():
            super().__init__(seed, **kwargs)

    def next(self, ordered=True):
        """The state, a tensor of two integers; moves it on."""
        with _device_of_states():
            return super().next(ordered)


def _device_of_states():
    if keras.backend.backend() == "torch":
        return keras.device("cpu")
    return contextlib.nullcontext()
