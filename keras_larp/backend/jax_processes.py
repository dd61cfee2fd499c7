"""Processes of a distributed job on JAX: `jax.distributed`."""

import itertools

import jax
import numpy as np
from jax.experimental import multihost_utils

from keras_larp.backend import compat

_YEAR = 365 * 24 * 3600 * 1000  # In milliseconds.
_barrier_ids = itertools.count()
_gather_ids = itertools.count()
_timeout = 600.0  # Seconds, unless `start` sets another one.


def start(address, count, index, local_index, timeout):
    global _timeout
    _timeout = timeout
    jax.distributed.initialize(
        coordinator_address=address,
        num_processes=count,
        process_id=index,
        local_device_ids=local_index,
        initialization_timeout=int(timeout),
        heartbeat_timeout_seconds=int(timeout),
    )


def process_count():
    # Before `start`, JAX must not create its devices.
    return jax.process_count() if jax.distributed.is_initialized() else 1


def process_index():
    return jax.process_index() if jax.distributed.is_initialized() else 0


def gather(x):
    """The arrays of all processes, stacked along a new first axis.

    They are exchanged through the coordination service: a computation on the
    devices would wait for the steps that they have not finished.
    """
    x = np.asarray(x)
    client, index = compat.coordination_client(), jax.process_index()
    number = next(_gather_ids)
    folder = f"keras_larp/gather/{number}"
    client.key_value_set_bytes(f"{folder}/{index:08d}", x.tobytes())
    client.wait_at_barrier(folder, timeout_in_ms=int(1000 * _timeout))
    parts = sorted(client.key_value_dir_get_bytes(f"{folder}/"))
    # All processes have read the previous ones.
    client.key_value_delete(f"keras_larp/gather/{number - 1}/{index:08d}")
    return np.stack(
        [np.frombuffer(part, x.dtype).reshape(x.shape) for _, part in parts]
    )


def broadcast(x):
    """The array of the first process."""
    return np.asarray(multihost_utils.broadcast_one_to_all(x))


def patient_barrier():
    # It involves no device, unlike `sync_global_devices`.
    client = compat.coordination_client()

    def wait():
        name = f"keras_larp_{next(_barrier_ids)}"
        client.wait_at_barrier(name, timeout_in_ms=_YEAR)

    return wait
