"""Processes of a distributed job on JAX: `jax.distributed`."""

import jax
import numpy as np
from jax.experimental import multihost_utils


def start(address, count, index, local_index, timeout):
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
    """The arrays of all processes, stacked along a new first axis."""
    return np.asarray(multihost_utils.process_allgather(x))


def broadcast(x):
    """The array of the first process."""
    return np.asarray(multihost_utils.broadcast_one_to_all(x))
