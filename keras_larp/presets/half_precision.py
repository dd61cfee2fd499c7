import os

import h5py
import numpy as np

from keras_larp.utils.files import atomic_write

WEIGHT_DTYPES = ("float32", "float16")


def cast_matrices(file: str | os.PathLike, dtype: str) -> None:
    """Casts the matrices of an HDF5 weight file, in place.

    Vectors (biases, norms, batch statistics) keep their dtype: they are a
    small part of the file, and variances can exceed the range of float16.

    Args:
        file: Path of the file.
        dtype: String, a floating-point dtype.

    Raises:
        ValueError: If a weight is out of the range of `dtype`.
    """
    # Write a new file: HDF5 does not reclaim the space of deleted data sets.
    with (
        atomic_write(file) as temporary,
        h5py.File(file) as source,
        h5py.File(temporary, "w") as target,
    ):

        def copy(name, entry):
            if isinstance(entry, h5py.Group):
                copied = target.require_group(name)
            else:
                copied = target.create_dataset(name, data=_cast(entry, dtype))
            copied.attrs.update(entry.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)


def _cast(entry, dtype):
    values = entry[()]
    if values.dtype.kind != "f" or values.ndim < 2:
        return values
    largest = np.abs(values).max(initial=0.0)
    if largest > np.finfo(dtype).max:
        raise ValueError(
            f"Weights must be at most {np.finfo(dtype).max} to be saved as "
            f"{dtype}. Received: {largest} in {entry.name}. Save the model "
            "with `weights_dtype='float32'`."
        )
    return values.astype(dtype)
