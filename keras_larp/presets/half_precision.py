"""Weight files of half the size."""

import os
import pathlib

import h5py
import numpy as np

WEIGHT_DTYPES = ("float32", "float16")


def round_weights(file, dtype):
    """Stores the floating-point matrices of an HDF5 file in another dtype.

    Vectors stay as they are: biases, norms and the statistics of batches are
    a small part of a file, and variances may be out of the range of float16.

    Args:
        file: Path of a file of weights, which is replaced.
        dtype: String.

    Raises:
        ValueError: for a weight that is out of the range of `dtype`.
    """
    rounded = pathlib.Path(f"{file}.part")
    # A new file, since HDF5 does not give back the place of what is deleted.
    with h5py.File(file) as source, h5py.File(rounded, "w") as target:

        def copy(name, entry):
            if isinstance(entry, h5py.Group):
                copied = target.require_group(name)
            else:
                copied = target.create_dataset(name, data=_cast(entry, dtype))
            copied.attrs.update(entry.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    os.replace(rounded, file)


def _cast(entry, dtype):
    values = entry[()]
    if values.dtype.kind != "f" or values.ndim < 2:
        return values
    largest = np.abs(values).max(initial=0.0)
    if largest > np.finfo(dtype).max:
        raise ValueError(
            f"A weight is too large for {dtype}, whose largest number is "
            f"{np.finfo(dtype).max}. Received: {largest} in {entry.name}. "
            "Save it as float32."
        )
    return values.astype(dtype)
