"""Data- and model-parallel training on JAX: `keras.distribution`."""

import jax
import keras

from keras_larp.backend import jax_processes

READS_OWN_PART = False


def data_parallel(devices):
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
    )
    return len(devices) if devices is not None else num_devices()


def num_devices():
    return jax.device_count()


def is_data_parallel():
    return keras.distribution.distribution() is not None


def check_is_enabled():
    if jax_processes.process_count() > 1 and not is_data_parallel():
        raise RuntimeError(
            f"There are {jax_processes.process_count()} processes, but each "
            "would train a model of its own. Call "
            "`keras_larp.distribution.data_parallel()` before the model is "
            "created."
        )
