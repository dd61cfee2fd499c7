"""Runs scripts on virtual CPU devices of JAX, in processes of their own.

The number of devices must be set before JAX is imported.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start_script(script, *args, devices=8):
    """Starts a file, or Python code, with a number of virtual devices.

    Args:
        script: Path or string.
        *args: Arguments of the command line.
        devices: Integer.

    Returns:
        `subprocess.Popen`.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={devices}"
    path = [str(ROOT), str(ROOT / "tests")]
    command = [script] if isinstance(script, pathlib.Path) else ["-c", script]
    return subprocess.Popen(
        [sys.executable, *map(str, [*command, *args])],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join(path),
            "XLA_FLAGS": flags,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_script(script, *args, devices=8):
    """Runs a script, and returns what it prints."""
    return finish(start_script(script, *args, devices=devices))


def finish(process, timeout=300):
    """Waits for a process to succeed, and returns what it prints."""
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0, errors[-4000:]
    return output


def free_address():
    """`"host:port"` of a free port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{server.getsockname()[1]}"
