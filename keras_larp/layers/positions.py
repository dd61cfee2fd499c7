"""Fixed sine-cosine position embeddings, computed with NumPy in float64."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_larp.utils.checks import (
    check_integer,
    check_integers,
    check_number,
)
from keras_larp.utils.input_checks import check_finite


def sincos_1d(
    positions: int | ArrayLike, dim: int, max_wavelength: float = 10000.0
) -> NDArray[np.float32]:
    """Sine-cosine embedding of one-dimensional positions.

    Args:
        positions: Integer `n` for the positions `0, ..., n - 1`, or a
            one-dimensional array of positions.
        dim: Integer. Embedding dimension, even. The first `dim / 2` channels
            are sines, the others cosines.
        max_wavelength: Float. Channel `i` of each half has the frequency
            `max_wavelength ** (-i / (dim / 2))`. Defaults to 10000.

    Returns:
        float32 array `(n, dim)`.

    Raises:
        ValueError: If `dim` is not even and positive, or another argument is
            invalid.

    Example:

    ```python
    table = keras_larp.layers.sincos_1d(1024, 768)  # (1024, 768)
    ```
    """
    dim = check_integer("dim", dim, 2)
    max_wavelength = check_number("max_wavelength", max_wavelength, "(0, inf)")
    if dim % 2:
        raise ValueError(
            "`dim` must be positive and even for a 1D sine-cosine embedding. "
            f"Received: dim={dim}"
        )
    if np.ndim(positions) == 0:
        positions = np.arange(check_integer("positions", positions, 1))
    indices = np.asarray(positions)
    if indices.ndim != 1 or indices.dtype.kind not in "iuf":
        raise ValueError(
            "`positions` must be an integer or a one-dimensional array of "
            f"numbers. Received: shape={indices.shape}, dtype={indices.dtype}"
        )
    check_finite("positions", indices)
    frequencies = max_wavelength ** (-np.arange(dim // 2) / (dim / 2))
    angles = np.outer(indices, frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype("float32")


def sincos_3d(grid: tuple[int, int, int], dim: int) -> NDArray[np.float32]:
    """Sine-cosine embedding of a grid of video patches.

    The first half of the channels embeds the column index and the second half
    the row index. An embedding of the time index over all channels is added.

    Args:
        grid: `(frames, rows, columns)`, the number of patches per axis.
        dim: Integer. Embedding dimension, divisible by 4.

    Returns:
        float32 array `(frames * rows * columns, dim)`, ordered by time, row,
        column.

    Raises:
        ValueError: If `dim` is not positive and divisible by 4, or `grid` is
            not three positive integers.

    Example:

    ```python
    table = keras_larp.layers.sincos_3d((4, 16, 16), 768)  # (1024, 768)
    ```
    """
    frames, rows, columns = check_integers("grid", grid, 3)
    dim = check_integer("dim", dim, 4)
    if dim % 4:
        raise ValueError(
            "`dim` must be positive and divisible by 4 for a 3D sine-cosine "
            f"embedding. Received: dim={dim}"
        )
    column = sincos_1d(columns, dim // 2)[None, None, :, :]
    row = sincos_1d(rows, dim // 2)[None, :, None, :]
    time = sincos_1d(frames, dim)[:, None, None, :]
    space = np.concatenate(
        [
            np.broadcast_to(column, (1, rows, columns, dim // 2)),
            np.broadcast_to(row, (1, rows, columns, dim // 2)),
        ],
        axis=-1,
    )  # (1, rows, columns, dim)
    return (space + time).reshape(frames * rows * columns, dim)
