"""Data-parallel training on PyTorch: one process for each device."""

import torch
import torch.distributed as dist

from keras_larp.backend import torch_processes, torch_replicas

READS_OWN_PART = True


def data_parallel(devices):
    if devices is not None:
        raise ValueError(
            "On PyTorch, each process has one device. Start one process per "
            "device, for example by `torchrun --nproc-per-node=4`, and call "
            "`keras_larp.distribution.initialize`. Received: "
            f"devices={list(devices)}"
        )
    if torch_processes.process_count() > 1:
        torch_replicas.enable()
    return torch_processes.process_count()


def num_devices():
    """Devices of all processes, or those of this one if it is alone."""
    count = torch_processes.process_count()
    return count if count > 1 else max(torch.cuda.device_count(), 1)


def is_data_parallel():
    return torch_replicas.is_enabled()


def check_is_enabled():
    is_job = dist.is_available() and dist.is_initialized()
    if is_job and dist.get_world_size() > 1 and not is_data_parallel():
        raise RuntimeError(
            "`torch.distributed` is initialized with "
            f"{dist.get_world_size()} processes, but their gradients would "
            "not be averaged. Call `keras_larp.distribution.initialize()` "
            "instead of `torch.distributed.init_process_group`, and then "
            "`keras_larp.distribution.data_parallel()`, before the model is "
            "created."
        )
