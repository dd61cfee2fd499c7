"""Data-parallel training on TensorFlow: `tf.distribute`."""

import functools

import tensorflow as tf

READS_OWN_PART = False


def data_parallel(devices):
    available = _device_names()
    names = available if devices is None else [_full_name(d) for d in devices]
    if devices is not None:
        _check_devices(devices, names)
    elif len(names) == 1:
        return 1  # Without a strategy, which would only cost time.
    strategy = _strategy(tuple(names))
    # As if everything that follows were in `strategy.scope()`.
    tf.distribute.experimental_set_strategy(strategy)
    return strategy.num_replicas_in_sync


def num_devices():
    return len(_device_names())


def is_data_parallel():
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def check_is_enabled():
    """Nothing to check: a job has one process."""


@functools.cache  # Messages of two strategies for the same devices would clash.
def _strategy(names):
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names)


def _device_names():
    """Names of all GPUs, or, without any, of the logical CPUs."""
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return [_full_name(device.name) for device in devices]


def _full_name(device):
    """Makes `"/device:GPU:0"`, `"/gpu:0"` and `"gpu:0"` the same name."""
    return device.upper().removeprefix("/").removeprefix("DEVICE:")


def _check_devices(devices, names):
    known = [_full_name(d.name) for d in tf.config.list_logical_devices()]
    unknown = [
        d for d, name in zip(devices, names, strict=True) if name not in known
    ]
    if unknown:
        raise ValueError(
            "`devices` has names that TensorFlow does not know: "
            f"{', '.join(map(repr, unknown))}. Known devices: "
            f"{', '.join(name.lower() for name in known)}. "
            f"Received: devices={list(devices)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(
            "`devices` must name each device once. Received: "
            f"devices={list(devices)}"
        )
