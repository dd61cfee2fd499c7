"""The flag --distribution of the commands that train."""

import os
import sys

import keras
from absl import flags

from keras_larp import distribution
from keras_larp.backend.devices import num_devices

CHOICES = ("auto", "none", "data_parallel", "model_parallel")


def define(values):
    """Defines the flags.

    Args:
        values: A `flags.FlagValues`.
    """
    options = {"flag_values": values, "module_name": "Devices"}
    flags.DEFINE_enum(
        "distribution",
        "auto",
        CHOICES,
        "How to use several devices. auto: data_parallel with all devices of "
        "this machine, or of all processes under a launcher such as torchrun. "
        "data_parallel: each device trains on a part of each batch. "
        "model_parallel (JAX): devices also share the weights of the model.",
        **options,
    )
    flags.DEFINE_boolean(
        "shard_optimizer",
        False,
        "Whether each process keeps only its part of the optimizer's state, "
        "to save memory. PyTorch, with data_parallel.",
        **options,
    )
    flags.DEFINE_float(
        "distribution_timeout",
        600.0,
        "Seconds after which a process that does not respond ends the job.",
        1.0,
        **options,
    )


def start(values):
    """Starts the distribution, before any model is created.

    On PyTorch, which has one device per process, a command without a launcher
    on a machine with several GPUs replaces itself by `torchrun`.

    Args:
        values: The parsed flags.
    """
    kind = values.distribution
    if values.shard_optimizer and kind in ("none", "model_parallel"):
        raise ValueError(
            "--shard_optimizer needs --distribution=data_parallel. Received: "
            f"--distribution={kind}"
        )
    if kind == "none":
        return
    distribution.initialize(timeout=values.distribution_timeout)
    count = num_devices()
    if kind == "auto" and count == 1:
        return
    is_alone = distribution.process_count() == 1
    if keras.backend.backend() == "torch" and is_alone and count > 1:
        _run_in_processes(count)
    if kind == "model_parallel":
        count = distribution.model_parallel()
    else:
        count = distribution.data_parallel(
            shard_optimizer=values.shard_optimizer
        )
    if not distribution.is_chief():
        # One progress bar and one summary are enough.
        sys.stdout = open(os.devnull, "w")
    name = kind.replace("auto", "data_parallel").replace("_", "-")
    print(
        f"{name.capitalize()} training on {count} devices in "
        f"{distribution.process_count()} processes. Pass --distribution=none "
        "to use one device."
    )


def _run_in_processes(count):
    """Replaces this process by one per device, started by `torchrun`."""
    sys.stdout.flush()
    launcher = "-m", "torch.distributed.run", "--standalone"
    command = f"--nproc-per-node={count}", "-m", "keras_larp.cli.main"
    arguments = [sys.executable, *launcher, *command, *sys.argv[1:]]
    os.execv(sys.executable, arguments)
