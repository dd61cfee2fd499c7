"""Fixed sine-cosine position tables, computed with NumPy in float64."""

import numpy as np


def sincos_1d(positions, dim, base=10000.0):
    """Sine-cosine embedding of one-dimensional positions.

    Args:
        positions: int, for the positions `0 .. positions - 1`, or an array
            of positions.
        dim: Even integer, width of the embedding: `dim / 2` sines, then
            `dim / 2` cosines.
        base: Float, the frequencies are `base ** (-i / (dim / 2))`.

    Returns:
        float32 array `(len(positions), dim)`.

    Example:

    ```python
    table = sincos_1d(1024, 768)  # (1024, 768)
    ```
    """
    if dim < 2 or dim % 2:
        raise ValueError(
            "A sine-cosine embedding needs an even, positive width. "
            f"Received: dim={dim}"
        )
    if np.ndim(positions) == 0:
        positions = np.arange(positions)
    frequencies = base ** (-np.arange(dim // 2) / (dim / 2))
    angles = np.outer(np.asarray(positions, "float64"), frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype("float32")


def sincos_3d(grid, dim):
    """Sine-cosine embedding of the cells of a video's patch grid.

    The first half of the channels embeds the column, the second half the
    row; an embedding of the time index, over all channels, is added.

    Args:
        grid: `(frames, rows, columns)`, the size of the grid of patches.
        dim: Width of the embedding, divisible by 4.

    Returns:
        float32 array `(frames * rows * columns, dim)`, in the order time,
        row, column.
    """
    if dim < 4 or dim % 4:
        raise ValueError(
            "A three-dimensional sine-cosine embedding needs a positive "
            f"width that is divisible by 4. Received: dim={dim}"
        )
    frames, rows, columns = grid
    column = sincos_1d(columns, dim // 2)[None, None, :, :]
    row = sincos_1d(rows, dim // 2)[None, :, None, :]
    time = sincos_1d(frames, dim)[:, None, None, :]
    space = np.concatenate(
        [
            np.broadcast_to(column, (1, rows, columns, dim // 2)),
            np.broadcast_to(row, (1, rows, columns, dim // 2)),
        ],
        axis=-1,
    )
    return (space + time).reshape(frames * rows * columns, dim)
