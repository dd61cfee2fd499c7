"""Starts the processes of a distributed job on this machine."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start_job(command, count, **environment):
    """Starts processes with the environment of a launcher such as torchrun.

    Args:
        command: List of the arguments of Python.
        count: Integer, number of processes; 1 starts one without a launcher.
        **environment: Further environment variables.

    Returns:
        List of `subprocess.Popen` objects.
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    shared = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    if count > 1:
        shared |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(count),
        }
    processes = []
    for index in range(count):
        own = {"RANK": str(index), "LOCAL_RANK": "0"} if count > 1 else {}
        processes.append(
            subprocess.Popen(
                [sys.executable, *map(str, command)],
                env={**shared, **own, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def finish_job(processes, timeout=300):
    """Waits for processes and returns their standard outputs.

    Raises:
        RuntimeError: If one of them fails, with its standard error.
    """
    results = [process.communicate(timeout=timeout) for process in processes]
    errors = [
        f"Process {i} ended with status {process.returncode}:\n{error[-3000:]}"
        for i, (process, (_, error)) in enumerate(
            zip(processes, results, strict=True)
        )
        if process.returncode
    ]
    if errors:
        raise RuntimeError("\n".join(errors))
    return [output for output, _ in results]


def run_job(command, count, **environment):
    """Runs a job to its end; see `start_job` and `finish_job`."""
    return finish_job(start_job(command, count, **environment))


def train(folder, model, count, **options):
    """Trains by `train.py`: the weights and the metrics of each process."""
    folder.mkdir()
    run_job(train_command(folder, model, options), count)
    return [
        (
            dict(np.load(folder / f"{i}.npz")),
            json.loads((folder / f"{i}.json").read_text()),
        )
        for i in range(count)
    ]


def train_command(folder, model, options):
    """The arguments of Python that start `train.py`."""
    arguments = [f"{name}={value}" for name, value in options.items()]
    return ["-m", "distribution.train", folder, model, *arguments]


def _free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
