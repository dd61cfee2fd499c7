"""Trains the full recipe on several numbers of virtual devices.

Run by a test with few steps, and by hand with more:

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax \
        PYTHONPATH=.:tests python tests/distribution/jax_recipe.py 20 2,4,8

It prints the largest relative difference of losses and of weights from those
of one device.
"""

import json
import sys

import keras
import numpy as np
from tiny_models import clips, tiny_discriminator, tiny_tokenizer

from keras_larp import distribution

BATCH_SIZE = 8


def make_optimizer():
    # Not Adam: it divides gradients by their size, which makes an update of
    # what is only rounding, such as the gradient of a bias before a
    # normalization.
    return keras.optimizers.SGD(
        0.05, momentum=0.9, gradient_accumulation_steps=2, global_clipnorm=0.5
    )


def train(num_devices, steps):
    """Losses of each step, and weights, after training on some devices."""
    keras.utils.clear_session()  # Names of variables, and the distribution.
    if num_devices > 1:
        names = keras.distribution.list_devices()
        distribution.data_parallel(names[:num_devices])
    keras.utils.set_random_seed(0)
    model = tiny_tokenizer(
        latent_norm="batch_joint",
        quantizer={"ema_decay": 0.9, "reset_unused_after": 2},
        seed=0,
    )
    model.compile(
        make_optimizer(),
        prior_learning_rate_multiplier=2.0,
        discriminator=tiny_discriminator(),
        discriminator_optimizer=make_optimizer(),
        discriminator_every=1,
        lecam_weight=0.1,
    )
    # Each epoch is one step, so that the history has the losses of steps.
    logs = model.fit(
        clips(BATCH_SIZE), batch_size=BATCH_SIZE, epochs=steps, verbose=0
    ).history
    codes = model.quantizer.embeddings
    if num_devices > 1:
        assert len(codes.value.sharding.device_set) == num_devices
    weights = {v.path: np.array(v.value) for v in model.model_weights}
    for variable in model.discriminator.variables:
        weights[variable.path] = np.array(variable.value)
    return logs, weights


def largest_difference(received, expected):
    """The largest difference of values, relative to the largest value of the
    same array, and the array's name."""
    errors = {}
    for name, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        errors[name] = np.abs(np.subtract(received[name], value)).max() / scale
    name = max(errors, key=errors.get)
    return float(errors[name]), name


def main(steps, counts):
    logs, weights = train(1, steps)
    result = {}
    for count in counts:
        other_logs, other_weights = train(count, steps)
        result[count] = {
            "losses": largest_difference(other_logs, logs),
            "weights": largest_difference(other_weights, weights),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(count) for count in sys.argv[2].split(",")])
