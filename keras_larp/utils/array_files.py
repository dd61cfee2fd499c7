"""Files of arrays: `.npz`, HDF5 and safetensors.

Headers are read first. Arrays are read only if the file holds as many bytes as
their shapes declare, so that a small file cannot fill the memory.
"""

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import safetensors.numpy

from keras_larp.utils.files import check_regular_file

Path = str | os.PathLike[str]

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextlib.contextmanager
def explain_damage(
    path: Path,
    remedy: str,
    errors: tuple[type[Exception], ...] = (Exception,),
) -> Iterator[None]:
    """Context in which exceptions become a `ValueError` about a file.

    Damaged files raise many types of errors, which do not name the file.

    Args:
        path: String or path of the file, which must be a regular file.
        remedy: String. A sentence, what to do about a damaged file.
        errors: Tuple of exception types. Defaults to all.

    Raises:
        OSError: If there is no such file.
    """
    check_regular_file(path)
    try:
        yield
    except PermissionError:
        raise
    except errors as error:
        reason = str(error).strip() or type(error).__name__
        raise ValueError(
            f"{path} cannot be read ({reason}). {remedy}"
        ) from error


def npz_shapes(path: Path, remedy: str) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the arrays of an `.npz` file, by name.

    Args:
        path: String or path.
        remedy: String. A sentence, what to do about a damaged file.

    Raises:
        OSError: If there is no such file.
        ValueError: If the file is damaged, compressed, or holds other data
            than numbers and strings. The message names it.
    """
    with explain_damage(path, remedy), zipfile.ZipFile(path) as archive:
        shapes, num_bytes = {}, 0
        for info in archive.infolist():
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                shape, _, dtype = _HEADER_READERS[version](file)
            if dtype.kind not in "biufU":
                raise ValueError(f"{info.filename} has the dtype {dtype}")
            shapes[info.filename.removesuffix(".npy")] = shape
            num_bytes += math.prod(shape) * dtype.itemsize
        _check_size(path, num_bytes)
    return shapes


def read_npz(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """Returns the arrays of an `.npz` file; see `npz_shapes`."""
    npz_shapes(path, remedy)
    with (
        explain_damage(path, remedy),
        np.load(path, allow_pickle=False) as arrays,
    ):
        return dict(arrays)


def hdf5_shapes(path: Path, remedy: str) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the arrays of an HDF5 file of weights, by name.

    Args:
        path: String or path.
        remedy: String. A sentence, what to do about a damaged file.

    Raises:
        OSError: If there is no such file.
        ValueError: If the file is damaged or compressed, or refers to other
            files. The message names it.
    """
    shapes, num_bytes = {}, 0

    def visit(name: str, entry: Any) -> None:
        nonlocal num_bytes
        if not isinstance(entry, h5py.Dataset):
            return
        if entry.external or entry.is_virtual:
            raise ValueError(f"{name} refers to another file")
        shapes[name.replace("/vars/", "/")] = entry.shape
        num_bytes += entry.nbytes

    with explain_damage(path, remedy), h5py.File(path) as content:
        content.visititems(visit)
        _check_size(path, num_bytes)
    return shapes


def read_safetensors(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a safetensors file, by name.

    Args:
        path: String or path.
        remedy: String. A sentence, what to do about a damaged file.

    Raises:
        OSError: If there is no such file.
        ValueError: If the file is damaged. The message names it.
    """
    # The library compares the header with the size of the file.
    with explain_damage(path, remedy):
        return safetensors.numpy.load_file(path)


def _check_size(path: Path, num_bytes: int) -> None:
    size = os.path.getsize(path)
    if num_bytes > size:
        raise ValueError(
            f"its arrays take {num_bytes:,} bytes, and the file has {size:,}: "
            "it is compressed or incomplete, and arrays are stored "
            "uncompressed"
        )
