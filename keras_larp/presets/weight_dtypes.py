import os

import h5py
import numpy as np

from keras_larp.presets.int8_matrices import (
    SCALE_SUFFIX,
    VALUES_SUFFIX,
    quantize,
    tolerates_int8,
)
from keras_larp.utils.files import atomic_write

WEIGHT_DTYPES = ("float32", "float16", "int8")


def convert_matrices(file: str | os.PathLike, dtype: str) -> None:
    """Converts the matrices of an HDF5 weight file to a dtype, in place.

    Vectors (biases, norms, batch statistics) keep their dtype: they are a
    small part of the file, and variances can exceed the range of float16. So
    do integers, such as those of layers that Keras has quantized.

    Args:
        file: Path of the file.
        dtype: String. `"float16"`, or `"int8"`, with which some matrices are
            stored as float16; see `tolerates_int8`.

    Raises:
        ValueError: If a weight is out of the range of float16.
    """
    # Write a new file: HDF5 does not reclaim the space of deleted data sets.
    with (
        atomic_write(file) as temporary,
        h5py.File(file) as source,
        h5py.File(temporary, "w") as target,
    ):

        def copy(name, entry):
            if isinstance(entry, h5py.Group):
                target.require_group(name).attrs.update(entry.attrs)
            elif entry.dtype.kind != "f" or entry.ndim < 2:
                source.copy(entry, target, name)
            elif dtype == "int8" and tolerates_int8(name, entry.shape):
                values, scale = quantize(entry[()].astype("float32"))
                target[name + VALUES_SUFFIX] = values
                target[name + SCALE_SUFFIX] = scale
            else:
                target[name] = _to_float16(entry)

        target.attrs.update(source.attrs)
        source.visititems(copy)


def _to_float16(entry):
    values = entry[()]
    largest = np.abs(values).max(initial=0.0)
    limit = np.finfo("float16").max
    if largest > limit:
        raise ValueError(
            f"Weights must be at most {limit} to be saved as float16. "
            f"Received: {largest} in {entry.name}. Save the model with "
            "`weights_dtype='float32'`."
        )
    return values.astype("float16")
