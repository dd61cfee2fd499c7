"""Small and read-only file systems."""

import contextlib
import os
import pathlib
import subprocess

_SIZE = 64 * 2**20


class Disk:
    """A file system in memory.

    As a context manager, it is mounted, which needs root.

    Args:
        path: Path of the mount point.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def __enter__(self):
        self.path.mkdir(parents=True, exist_ok=True)
        options = ["-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs"]
        _run("mount", *options, self.path)
        return self

    def __exit__(self, *error):
        # `-l`: a command that hangs must not keep the harness from ending.
        _run("umount", "-l", self.path)

    @contextlib.contextmanager
    def free_space(self, size):
        """Context in which only `size` bytes are free."""
        ballast = self.path / "ballast"
        status = os.statvfs(self.path)
        with ballast.open("wb") as file:
            length = status.f_bavail * status.f_frsize - size
            os.posix_fallocate(file.fileno(), 0, max(length, 1))
        try:
            yield
        finally:
            ballast.unlink()

    @contextlib.contextmanager
    def read_only(self):
        """Context in which nothing can be written."""
        _run("mount", "-o", "remount,ro", self.path)
        try:
            yield
        finally:
            _run("mount", "-o", "remount,rw", self.path)


def can_mount(path):
    """Whether this process may mount file systems."""
    try:
        with Disk(path):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


def _run(*command):
    subprocess.run(command, check=True, capture_output=True)
