"""Atomic writes, and checks of paths.

With atomic writes a path holds complete content or does not exist.
"""

import contextlib
import errno
import math
import os
import pathlib
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any

Path = str | os.PathLike[str]

_PREFIX = ".part-"
# Older temporary files with the id of this process are of a previous process.
_START = time.time()
# Headers, names, and small files next to the weights.
_FILE_OVERHEAD = 2**20
# ".part-PROCESS@HOST-RANDOM-NAME"
_TEMPORARY_NAME = re.compile(r"\.part-(\d+)@(.+)-[0-9a-f]{8}-(.+)", re.DOTALL)

_SPECIAL_FILES = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[pathlib.Path]:
    """Writes a file atomically.

    Yields a temporary path in the same folder, with the same suffix. On a
    normal exit, the temporary file is flushed to disk and replaces `path`. On
    an exception it is removed and `path` stays as it was.

    Args:
        path: String or path. Missing parent folders are created.

    Example:

    ```python
    with atomic_write("curves.png") as temporary:
        figure.savefig(temporary)
    ```
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    temporary = _temporary_path(path)
    try:
        with name_full_disk(path):
            yield temporary
            _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Writes a text file atomically; see `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def atomic_folder(
    path: Path, overwrite: bool = False
) -> Iterator[pathlib.Path]:
    """Writes a folder atomically.

    Yields a temporary empty folder next to `path`. On a normal exit, its files
    are flushed to disk and it is renamed to `path`. On an exception it is
    removed.

    Args:
        path: String or path. Missing parent folders are created.
        overwrite: Boolean, whether to replace an existing folder.

    Raises:
        FileExistsError: If `path` exists and `overwrite` is `False`.
    """
    path = pathlib.Path(path)
    _check_free(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    temporary = _temporary_path(path)
    temporary.mkdir()
    try:
        with name_full_disk(path):
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush(file)
        _check_free(path, overwrite)
        if path.exists():
            atomic_rmtree(path)
        temporary.rename(path)
        _flush(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def atomic_rmtree(path: Path) -> None:
    """Removes a folder atomically: it loses its name before its files."""
    path = pathlib.Path(path)
    temporary = _temporary_path(path)
    path.rename(temporary)
    shutil.rmtree(temporary)


def replace_symlink(link: Path, target: Path) -> None:
    """Creates or replaces a symbolic link atomically.

    Args:
        link: Path of the link.
        target: String, the target relative to the folder of the link.
    """
    temporary = _temporary_path(pathlib.Path(link))
    temporary.symlink_to(target)
    os.replace(temporary, link)


def remove_temporary_files(folder: Path) -> None:
    """Removes what interrupted atomic writes left behind in a folder.

    Files of a process that still runs on this machine are kept.
    """
    for path in pathlib.Path(folder).glob(f"{_PREFIX}*"):
        match = _TEMPORARY_NAME.fullmatch(path.name)
        if match is None or not _has_writer(path, match):
            _remove(path)


def remove_abandoned(path: Path) -> None:
    """Removes temporary files of a path whose process on this machine ended."""
    path = pathlib.Path(path)
    for temporary in path.parent.glob(f"{_PREFIX}*"):
        match = _TEMPORARY_NAME.fullmatch(temporary.name)
        if match is None or match[3] != path.name:
            continue
        is_local = match[2] == socket.gethostname()
        if is_local and not _has_writer(temporary, match):
            _remove(temporary)


@contextlib.contextmanager
def name_full_disk(path: Path) -> Iterator[None]:
    """Raises an `OSError` with a path if the disk is full.

    Libraries name a temporary path, or none, and some raise `RuntimeError`.
    """
    full = os.strerror(errno.ENOSPC)
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = getattr(error, "errno", None)
        if code not in (errno.ENOSPC, errno.EDQUOT) and full not in str(error):
            raise
        text = getattr(error, "strerror", None) or full
        raise OSError(code or errno.ENOSPC, text, os.fspath(path)) from error


def check_free_space(folder: Path, variables: Iterable[Any]) -> None:
    """Raises `OSError` if a file of weights would not fit on a disk.

    HDF5 crashes the process if it cannot write its buffers.

    Args:
        folder: Path of an existing folder.
        variables: Iterable of variables, which count as float32.
    """
    needed = _FILE_OVERHEAD + 4 * sum(math.prod(v.shape) for v in variables)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"Saving needs {needed / 2**20:,.0f} MiB, and the file system has "
            f"{free / 2**20:,.0f} MiB left. Free some space",
            os.fspath(folder),
        )


def check_regular_file(path: Path) -> None:
    """Checks that a path is a file with content.

    Opening a named pipe would wait for a writer.

    Raises:
        FileNotFoundError: If it does not exist.
        IsADirectoryError: If it is a folder.
        ValueError: If it is a named pipe, a socket or a device.
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "The file does not exist", path
        ) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(
            errno.EISDIR, "Expected a file. Received a folder", path
        )
    if not stat.S_ISREG(mode):
        kind = _SPECIAL_FILES.get(stat.S_IFMT(mode), "device")
        raise ValueError(
            f"Expected a regular file. Received: {path}, which is a {kind}. "
            "Copy its content to a file."
        )


def _check_free(path: pathlib.Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists. Remove it or choose another folder."
        )


def _temporary_path(path: pathlib.Path) -> pathlib.Path:
    # Unique per call, so that concurrent writers do not share it. The original
    # name comes last: writers infer the format from the suffix.
    writer = f"{os.getpid()}@{socket.gethostname()}"
    return path.with_name(
        f"{_PREFIX}{writer}-{secrets.token_hex(4)}-{path.name}"
    )


def _has_writer(temporary: pathlib.Path, match: re.Match) -> bool:
    """Whether the process that writes a temporary file runs on this machine."""
    process, host = int(match[1]), match[2]
    if host != socket.gethostname():
        return False
    if process == os.getpid():
        # A restarted container often gives a command the same process id.
        return _modified_since(temporary, _START)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It belongs to another user.
        pass
    return True


def _modified_since(path: pathlib.Path, start: float) -> bool:
    try:
        return path.stat().st_mtime >= start
    except FileNotFoundError:  # Another thread has just completed it.
        return True


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: pathlib.Path) -> None:
    """Flushes a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
