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


def scaled_positions(size: int, base_size: int) -> NDArray[np.float64]:
    """Positions of `size` points, scaled to the extent of `base_size` points.

    The edges of the first and last points coincide, as when an image is
    resized: `(i + 0.5) * base_size / size - 0.5`.

    Args:
        size: Integer. Number of points.
        base_size: Integer. Number of points with the positions `0, 1, ...`.

    Returns:
        float64 array `(size,)`.
    """
    return (np.arange(size) + 0.5) * base_size / size - 0.5


def sincos_3d(
    grid: tuple[int, int, int],
    dim: int,
    base_grid: tuple[int, int, int] | None = None,
) -> NDArray[np.float32]:
    """Sine-cosine embedding of a grid of video patches.

    The first half of the channels embeds the column index and the second half
    the row index. An embedding of the time index over all channels is added.

    Args:
        grid: `(frames, rows, columns)`, the number of patches per axis.
        dim: Integer. Embedding dimension, divisible by 4.
        base_grid: `(frames, rows, columns)`, the grid that a model was
            trained with. Rows and columns are scaled to its extent, so that
            equal parts of a frame have similar embeddings at all resolutions.
            Time indices are not scaled. Defaults to `grid`.

    Returns:
        float32 array `(frames * rows * columns, dim)`, ordered by time, row,
        column.

    Raises:
        ValueError: If `dim` is not positive and divisible by 4, or a grid is
            not three positive integers.

    Example:

    ```python
    table = keras_larp.layers.sincos_3d((4, 16, 16), 768)  # (1024, 768)
    ```
    """
    frames, rows, columns = check_integers("grid", grid, 3)
    _, base_rows, base_columns = (
        (frames, rows, columns)
        if base_grid is None
        else check_integers("base_grid", base_grid, 3)
    )
    dim = check_integer("dim", dim, 4)
    if dim % 4:
        raise ValueError(
            "`dim` must be positive and divisible by 4 for a 3D sine-cosine "
            f"embedding. Received: dim={dim}"
        )
    column = sincos_1d(scaled_positions(columns, base_columns), dim // 2)
    row = sincos_1d(scaled_positions(rows, base_rows), dim // 2)
    time = sincos_1d(frames, dim)[:, None, None, :]
    space = np.concatenate(
        [
            np.broadcast_to(column[None, None], (1, rows, columns, dim // 2)),
            np.broadcast_to(row[None, :, None], (1, rows, columns, dim // 2)),
        ],
        axis=-1,
    )  # (1, rows, columns, dim)
    return (space + time).reshape(frames * rows * columns, dim)
