"""Runs scripts on virtual CPU devices of JAX, in processes of their own.

The number of devices must be set before JAX is imported.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_script(path, *args, devices=8):
    """Runs a file with a number of virtual devices.

    Args:
        path: Path of the file.
        *args: Arguments of the command line.
        devices: Integer.

    Returns:
        String, what it printed.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    flags += f" --xla_force_host_platform_device_count={devices}"
    python_path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    result = subprocess.run(
        [sys.executable, *map(str, [path, *args])],
        env={**os.environ, "PYTHONPATH": python_path, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout
