import keras

from keras_larp.backend import processes
from keras_larp.distribution.launchers import Job, find_job
from keras_larp.utils.checks import check_integer, check_number

_is_initialized = False


def initialize(
    coordinator_address: str | None = None,
    process_count: int | None = None,
    process_index: int | None = None,
    timeout: float = 600.0,
) -> None:
    """Connects the processes of a distributed job.

    Call it in each process, before any model or layer is created. Without
    arguments, it reads the environment of `torchrun`, of SLURM, or (on JAX)
    of a Cloud TPU, and does nothing if there is only one process. It seeds
    all processes equally; call `keras.utils.set_random_seed` afterwards for a
    seed of your own. A second call does nothing.

    Args:
        coordinator_address: String, `"host:port"` of the process of index 0,
            at a free port. Defaults to `None`, the environment.
        process_count: Integer. Number of processes. Defaults to `None`, the
            environment.
        process_index: Integer. Index of this process. Defaults to `None`, the
            environment.
        timeout: Float. Seconds after which a process that does not respond,
            at the start or during training, ends the job. Defaults to 600.

    Raises:
        NotImplementedError: If there are several processes on TensorFlow.
        ValueError: If an argument or a variable of the environment is
            invalid, or only some of the arguments are given.

    Example:

    ```python
    keras_larp.distribution.initialize()  # Under torchrun, for example.
    keras_larp.distribution.data_parallel()
    ```
    """
    global _is_initialized
    check_number("timeout", timeout, "(0, inf)")
    job = _given_job(coordinator_address, process_count, process_index)
    if job is None:
        job = find_job(keras.backend.backend())
    if _is_initialized or job is None or job.process_count == 1:
        return
    processes.start_processes(
        job.address,
        job.process_count,
        job.process_index,
        job.local_index,
        timeout,
    )
    _is_initialized = True


def process_count() -> int:
    """The number of processes of the job; 1 without `initialize`."""
    return processes.process_count()


def process_index() -> int:
    """The index of this process in the job, from 0."""
    return processes.process_index()


def is_chief() -> bool:
    """Whether this is the process that writes logs, checkpoints and presets:
    the one of index 0."""
    return process_index() == 0


def _given_job(address, count, index):
    given = {
        "coordinator_address": address,
        "process_count": count,
        "process_index": index,
    }
    count_given = sum(value is not None for value in given.values())
    if not count_given:
        return None
    if count_given < len(given):
        received = ", ".join(f"{name}={given[name]!r}" for name in given)
        raise ValueError(
            "Pass all of `coordinator_address`, `process_count` and "
            f"`process_index`, or none of them. Received: {received}"
        )
    check_integer("process_count", count, 1)
    check_integer("process_index", index, 0, count - 1)
    if not isinstance(address, str) or not address.rpartition(":")[2].isdigit():
        raise ValueError(
            "`coordinator_address` must be 'host:port', such as "
            f"'10.0.0.1:29500'. Received: coordinator_address={address!r}"
        )
    return Job(address, count, index)
