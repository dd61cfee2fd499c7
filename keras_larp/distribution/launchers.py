"""The processes of a job, as launchers describe them in the environment."""

import dataclasses
import os
import re
from collections.abc import Mapping

# The ports of jobs on SLURM are chosen by the job's number.
_FIRST_PORT, _NUM_PORTS = 20000, 20000


@dataclasses.dataclass(frozen=True)
class Job:
    """A process of a job.

    Attributes:
        address: String, `"host:port"` of the first process, or `None` if the
            backend finds it.
        process_count: Integer, or `None` if the backend knows it.
        process_index: Integer, or `None` if the backend knows it.
        local_index: Integer, the index among the processes of this machine,
            or `None` if it is the only one.
    """

    address: str | None
    process_count: int | None
    process_index: int | None
    local_index: int | None = None


def find_job(
    backend: str, environment: Mapping[str, str] = os.environ
) -> Job | None:
    """Returns the job that a launcher started this process for, or `None`.

    Launchers are `torchrun` (or any that sets its variables), SLURM's `srun`
    with several tasks, and, on JAX, any that sets JAX's own variables, or the
    hosts of a Cloud TPU.

    Args:
        backend: String, `"jax"`, `"tensorflow"` or `"torch"`.
        environment: Mapping of environment variables.

    Raises:
        ValueError: If a variable is missing or no number.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        host = _get(environment, "MASTER_ADDR", str)
        port = _get(environment, "MASTER_PORT", int)
        # `torchrun` itself listens on this port.
        port += backend == "jax"
        return Job(
            f"{host}:{port}",
            _get(environment, "WORLD_SIZE", int),
            _get(environment, "RANK", int),
            _local_index(environment, "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
        )
    if int(environment.get("SLURM_NTASKS", 1)) > 1 and (
        "SLURM_PROCID" in environment and "SLURM_STEP_NODELIST" in environment
    ):
        port = _FIRST_PORT + _get(environment, "SLURM_JOB_ID", int) % _NUM_PORTS
        return Job(
            f"{first_host(environment['SLURM_STEP_NODELIST'])}:{port}",
            _get(environment, "SLURM_NTASKS", int),
            _get(environment, "SLURM_PROCID", int),
            _local_index(
                environment, "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"
            ),
        )
    if backend == "jax":
        if "JAX_COORDINATOR_ADDRESS" in environment:
            return Job(
                environment["JAX_COORDINATOR_ADDRESS"],
                _get(environment, "JAX_NUM_PROCESSES", int),
                _get(environment, "JAX_PROCESS_ID", int),
            )
        if "," in environment.get("TPU_WORKER_HOSTNAMES", ""):
            return Job(None, None, None)
    return None


def first_host(nodes: str) -> str:
    """The first host of a list of SLURM, such as `"gpu[03-07,9],login1"`."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", nodes)
    if match is None:
        raise ValueError(
            "SLURM_STEP_NODELIST must be a list of hosts, such as "
            f"'gpu[01-04]'. Received: {nodes!r}"
        )
    return match[1] + (match[2] or "")


def _local_index(environment, index, count):
    # SLURM writes "2(x3)" for two tasks on each of three machines.
    is_alone = environment.get(count, "").startswith("1")
    if is_alone and environment[count][1:2] in ("", "("):
        return None
    return _get(environment, index, int, 0)


def _get(environment, name, kind, default=None):
    value = environment.get(name, default)
    if value is None:
        raise ValueError(
            f"The launcher did not set the environment variable {name}. Set "
            "it, or pass the arguments of "
            "`keras_larp.distribution.initialize`."
        )
    try:
        return kind(value)
    except ValueError as error:
        raise ValueError(
            f"The environment variable {name} must be an integer. Received: "
            f"{name}={value!r}"
        ) from error
