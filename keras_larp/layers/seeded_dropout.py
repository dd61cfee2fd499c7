import random

from keras import layers


def seeded_dropout(rate, **kwargs):
    """A `keras.layers.Dropout` that draws from a state of its own.

    Without a seed PyTorch draws from its global generator, which no checkpoint
    holds, and a resumed run would differ. `keras.utils.set_random_seed` sets
    the seeds too.

    Args:
        rate: Float, share of the values set to 0.
        **kwargs: Of `keras.layers.Dropout`.
    """
    return layers.Dropout(rate, seed=random.randint(1, 10**9), **kwargs)
