"""Matrices that are stored as int8, with one scale per output channel.

A matrix `name` of a weight file is stored as `name_int8`, of the same shape,
and `name_scale`, float32 with one positive value per index of the last axis,
which is that of the outputs for kernels. The layers of a model that Keras has
quantized store int8 matrices as `name` instead, and compute with them.
"""

import contextlib
import math
import os
import pathlib
import tempfile
from collections.abc import Iterator

import h5py
import numpy as np

from keras_larp.utils.array_files import explain_damage
from keras_larp.utils.files import check_free_space

VALUES_SUFFIX, SCALE_SUFFIX = "_int8", "_scale"
_MAX_VALUE = 127
_MIN_SIDE = 64
# The first and the last layer of the tokenizer: the queries of the encoder, on
# which all tokens depend, and the layer whose errors are errors of pixels. Of
# all layers, they change tokens and PSNR the most.
_SENSITIVE_LAYERS = ("queries", "pixels")


def tolerates_int8(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a matrix can be stored as int8 at little cost.

    Narrow matrices cannot: all information passes through the few channels of
    codes, and a small error of the codebook or of the projections to and from
    codes changes the nearest code. They are a small part of a file.

    Args:
        name: String, the name of the matrix in the file.
        shape: Tuple of integers.
    """
    is_narrow = min(math.prod(shape[:-1]), shape[-1]) < _MIN_SIDE
    return not is_narrow and not set(_SENSITIVE_LAYERS) & set(name.split("/"))


def quantize(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds a matrix to int8; the error is at most half of the scale.

    Args:
        matrix: float32 array `(..., channels)` of finite values.

    Returns:
        The int8 values, and their scales: float32 `(channels,)`.
    """
    axes = tuple(range(matrix.ndim - 1))
    scale = np.abs(matrix).max(axis=axes) / np.float32(_MAX_VALUE)
    scale[scale == 0] = 1.0
    values = np.clip(np.rint(matrix / scale), -_MAX_VALUE, _MAX_VALUE)
    return values.astype("int8"), scale


@contextlib.contextmanager
def dequantized(file: str | os.PathLike, remedy: str) -> Iterator[pathlib.Path]:
    """Context with a file of the same weights without int8 matrices.

    It is the file itself if there are none, or else a temporary file.

    Args:
        file: String or path of an HDF5 file, whose shapes `hdf5_shapes` has
            compared with its size.
        remedy: String. A sentence, what to do about a damaged file.

    Raises:
        ValueError: If a matrix does not match its scales, or scales are not
            positive and finite. The message names it.
    """
    file = pathlib.Path(file)
    with contextlib.ExitStack() as stack:
        with explain_damage(file, remedy):
            source = stack.enter_context(h5py.File(file))
            names = _int8_names(source)
        if names:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            check_free_space(folder, _datasets(source).values())
            copy = pathlib.Path(folder) / file.name
            with explain_damage(file, remedy), h5py.File(copy, "w") as target:
                _copy_dequantized(source, target, names)
            file = copy
        yield file


def _int8_names(source):
    """Names of the matrices that are stored as int8, without suffixes."""
    datasets = _datasets(source)
    values, scales = (
        {n.removesuffix(suffix) for n in datasets if n.endswith(suffix)}
        for suffix in (VALUES_SUFFIX, SCALE_SUFFIX)
    )
    for name in sorted(values ^ scales):
        missing = SCALE_SUFFIX if name in values else VALUES_SUFFIX
        raise ValueError(f"{name}{missing} is missing")
    return values


def _copy_dequantized(source, target, names):
    suffixes = (VALUES_SUFFIX, SCALE_SUFFIX)
    parts = {name + suffix for name in names for suffix in suffixes}

    def copy(name, entry):
        if isinstance(entry, h5py.Group):
            target.require_group(name).attrs.update(entry.attrs)
        elif name not in parts:
            source.copy(entry, target, name)

    source.visititems(copy)
    for name in names:
        values, scale = (source[name + suffix] for suffix in suffixes)
        target[name] = _dequantize(name, values, scale)


def _dequantize(name, values, scale):
    if values.dtype != "int8" or values.ndim < 2:
        raise ValueError(
            f"{name}{VALUES_SUFFIX} is no int8 matrix: it has the dtype "
            f"{values.dtype} and the shape {values.shape}"
        )
    if scale.dtype != "float32" or scale.shape != values.shape[-1:]:
        raise ValueError(
            f"{name}{SCALE_SUFFIX} must be float32 of the shape "
            f"{values.shape[-1:]}; it has the dtype {scale.dtype} and the "
            f"shape {scale.shape}"
        )
    scale = scale[()]
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(
            f"{name}{SCALE_SUFFIX} has values that are not positive and finite"
        )
    return values[()].astype("float32") * scale


def _datasets(source):
    datasets = {}

    def visit(name, entry):
        if isinstance(entry, h5py.Dataset):
            datasets[name] = entry

    source.visititems(visit)
    return datasets
