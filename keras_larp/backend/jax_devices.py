"""Data- and model-parallel training on JAX: `keras.distribution`."""

import jax
import keras


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
