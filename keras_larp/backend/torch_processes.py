"""Processes of a distributed job on PyTorch: `torch.distributed`."""

import atexit
import contextlib
import datetime
import os

import numpy as np
import torch
import torch.distributed as dist

# How long the processes that are still alive wait for each other's answer
# after a failure, in seconds.
ANSWER_TIMEOUT = 10

_store = None
_host_group = None
_timeout = None


def start(address, count, index, local_index, timeout):
    global _store, _host_group, _timeout
    _timeout = timeout
    if torch.cuda.is_available():
        # A launcher may show each process its own GPU only.
        torch.cuda.set_device((local_index or 0) % torch.cuda.device_count())
        backend = "nccl"
    else:
        backend = "gloo"
    timeout = datetime.timedelta(seconds=timeout)
    host, port = address.rsplit(":", 1)
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=port)
    _store, _, _ = next(
        dist.rendezvous("env://", index, count, timeout=timeout)
    )
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("tensors", _store),
        world_size=count,
        rank=index,
        timeout=timeout,
    )
    atexit.register(dist.destroy_process_group)
    # For values in host memory, so that no accelerator is waited for.
    _host_group = (
        dist.group.WORLD
        if backend == "gloo"
        else dist.new_group(backend="gloo", timeout=timeout)
    )


def process_count():
    return dist.get_world_size() if _store is not None else 1


def process_index():
    return dist.get_rank() if _store is not None else 0


def gather(x):
    """The arrays of all processes, stacked along a new first axis."""
    x = torch.from_numpy(np.array(x))
    parts = [torch.empty_like(x) for _ in range(process_count())]
    dist.all_gather(parts, x, group=_host_group)
    return torch.stack(parts).numpy()


def broadcast(x):
    """The array of the first process."""
    x = torch.from_numpy(np.array(x))
    dist.broadcast(x, 0, group=_host_group)
    return x.numpy()


@contextlib.contextmanager
def name_lost_processes():
    """Context in which the failure of another process is an error that names
    it."""
    try:
        yield
    except RuntimeError as error:
        if _store is None or not _is_failure_of_others(error):
            raise
        lost = ", ".join(map(str, _missing_processes()))
        raise RuntimeError(
            f"Process {lost} of {process_count()} (from 0) ended or did not "
            f"respond for {_timeout:g} seconds. Its own output tells why. "
            "Restart the job to resume from the last checkpoint."
        ) from error


def _is_failure_of_others(error):
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _missing_processes():
    """The indices of the processes that do not answer after a failure."""
    count, index = process_count(), process_index()
    timeout = datetime.timedelta(seconds=ANSWER_TIMEOUT)
    missing = []
    try:
        _store.set(f"alive/{index}", "1")
        for other in range(count):
            try:
                _store.wait([f"alive/{other}"], timeout)
            except dist.DistStoreError:
                missing.append(other)
    except dist.DistNetworkError:  # The first process keeps the store.
        return [0]
    return missing
