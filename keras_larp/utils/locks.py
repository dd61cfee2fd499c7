"""Locks of files and folders that only one process may write at a time."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator

from absl import logging

from keras_larp.utils.files import name_full_disk

Path = str | os.PathLike[str]


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which is created if it does not exist.

    The operating system releases the lock when the process ends, so that a
    killed process leaves none behind.

    Args:
        folder: String or path.

    Raises:
        BlockingIOError: If another process, or another part of this one, holds
            the lock. The message names the process and when it started.

    Example:

    ```python
    with lock_folder("runs/tokenizer"):
        train()
    ```
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / ".lock", folder):
        yield


@contextlib.contextmanager
def lock_path(path: Path, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a file or folder that may not exist yet.

    Its parent folder is created. See `lock_folder`.

    Args:
        path: String or path.
        wait: Boolean. Whether to wait for another owner instead of raising an
            error. Defaults to `False`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.with_name(f".{path.name}.lock"), path, wait):
        yield


@contextlib.contextmanager
def _lock(
    file: pathlib.Path, path: pathlib.Path, wait: bool = False
) -> Iterator[None]:
    descriptor = _acquire(file, path, wait)
    try:
        owner = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.datetime.now().isoformat(" ", "seconds"),
        }
        with name_full_disk(path):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield
    finally:
        # The name goes first: whoever opened this file before sees in
        # `_acquire` that it is no longer the lock.
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(file: pathlib.Path, path: pathlib.Path, wait: bool) -> int:
    """Returns the descriptor of the locked file."""
    operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            owner = _describe_owner(descriptor)
            os.close(descriptor)
            raise BlockingIOError(
                f"{path} is being written by {owner}. Wait until it has "
                "finished, or choose another path."
            ) from None
        except OSError as error:
            logging.warning(
                "The file system of %s has no locks (%s). Make sure that no "
                "other process writes there.",
                path,
                error,
            )
            return descriptor
        if _is_same_file(descriptor, file):
            return descriptor
        os.close(descriptor)  # Its owner has just removed it.


def _is_same_file(descriptor: int, file: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _describe_owner(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        process, host, since = (owner[k] for k in ("process", "host", "since"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"  # It has not written its name yet.
    return f"process {process} on {host} since {since}"
