"""Position embeddings of sequences and grids, learned or fixed."""

import keras
import numpy as np
from keras import layers, ops

from keras_larp.layers.positions import (
    scaled_positions,
    sincos_1d,
    sincos_3d,
)
from keras_larp.utils.arguments import check_arguments
from keras_larp.utils.input_checks import has_values


def _constant(table):
    """Adds a batch axis to a fixed table `(n, D)`: `(1, n, D)`.

    On PyTorch the result is a tensor. A NumPy array would be copied to the
    device, which synchronizes, each time that it is used.
    """
    table = table[None]
    is_torch = keras.backend.backend() == "torch"
    return ops.convert_to_tensor(table) if is_torch else table


def _resize(table, size):
    """Interpolates a table `(n, D)` linearly to `(size, D)`."""
    base_size = table.shape[0]
    if size == base_size:
        return table
    positions = np.clip(scaled_positions(size, base_size), 0, base_size - 1)
    distances = np.abs(positions[:, None] - np.arange(base_size))
    weights = np.maximum(1 - distances, 0)  # (size, n)
    return ops.matmul(ops.convert_to_tensor(weights, table.dtype), table)


@keras.saving.register_keras_serializable(package="keras_larp")
class GridPositions(layers.Layer):
    """Position embeddings of a grid of patches, fixed or learned.

    `values()` returns the table, `values(grid)` that of a grid of another size:
    rows and columns are interpolated to it, whereas time indices continue, so
    that fewer frames have the positions of the first frames. (Learned time
    positions of more frames are interpolated.)

    Args:
        grid: `(frames, rows, columns)`, the number of patches per axis.
        hidden_dim: Integer. Embedding dimension, divisible by 4.
        learned: Boolean. `False` for the fixed 3D sine-cosine table, `True`
            for the sum of three learned tables (time, row, column) that are
            initialized with 1D sine-cosine tables. Defaults to `False`.
        use_type_embedding: Boolean. Whether to add one learned vector to all
            positions. Defaults to `False`.
    """

    def __init__(
        self,
        grid,
        hidden_dim,
        learned=False,
        use_type_embedding=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_arguments(
            hidden_dim=hidden_dim,
            learned=learned,
            use_type_embedding=use_type_embedding,
        )
        self.grid = tuple(grid)
        self.hidden_dim = hidden_dim
        self.learned = learned
        self.use_type_embedding = use_type_embedding
        # Fixed tables by grid: clips of several sizes need several.
        self._fixed = {}
        if not learned:
            self._fixed_table(self.grid)
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        if self.learned:
            self.tables = [
                self.add_weight(
                    shape=(size, self.hidden_dim),
                    initializer=_TableInitializer(
                        sincos_1d(size, self.hidden_dim)
                    ),
                    name=f"{axis}_positions",
                )
                for axis, size in zip(
                    ("time", "row", "column"), self.grid, strict=True
                )
            ]
        if self.use_type_embedding:
            self.type_vector = self.add_weight(
                shape=(self.hidden_dim,),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                name="type_vector",
            )
        self.built = True

    def values(self, grid=None):
        """Returns the table `(1, frames * rows * columns, hidden_dim)`.

        Positions are ordered by time, row, column.

        Args:
            grid: `(frames, rows, columns)`. Defaults to the layer's grid.
        """
        grid = self.grid if grid is None else tuple(grid)
        if self.learned:
            tables = [ops.cast(x, self.compute_dtype) for x in self.tables]
            if grid[0] <= self.grid[0]:
                tables[0] = tables[0][: grid[0]]
            time, row, column = map(_resize, tables, grid)
            table = (
                ops.expand_dims(time, (1, 2))
                + ops.expand_dims(row, (0, 2))
                + ops.expand_dims(column, (0, 1))
            )  # (frames, rows, columns, D)
            table = ops.reshape(table, (1, -1, self.hidden_dim))
        else:
            table = self._fixed_table(grid)
            table = ops.convert_to_tensor(table, self.compute_dtype)
        return table + self.type_vector if self.use_type_embedding else table

    def _fixed_table(self, grid):
        """The sine-cosine table of a grid, created when first needed."""
        if grid in self._fixed:
            return self._fixed[grid]
        table = _constant(sincos_3d(grid, self.hidden_dim, self.grid))
        if has_values(table):  # A tensor of a trace has none.
            self._fixed[grid] = table
        return table

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "hidden_dim": self.hidden_dim,
            "learned": self.learned,
            "use_type_embedding": self.use_type_embedding,
        }


@keras.saving.register_keras_serializable(package="keras_larp")
class SequencePositions(layers.Layer):
    """Position embeddings of a sequence, fixed or learned.

    `values()` returns the table.

    Args:
        length: Integer. Number of positions.
        hidden_dim: Integer. Embedding dimension, even.
        learned: Boolean. `False` for the fixed 1D sine-cosine table, `True`
            for a learned table. Defaults to `False`.
        use_type_embedding: Boolean. Whether to add one learned vector to all
            positions. Defaults to `False`.
        max_wavelength: Float. See `sincos_1d`; applies to the fixed table.
            Defaults to 10000.
        initializer: String. Initial value of a learned table: `"normal"`
            (standard deviation `init_std`) or `"sincos"` (with a
            `max_wavelength` of 10000). Defaults to `"normal"`.
        init_std: Float. Standard deviation of `initializer="normal"`.
            Defaults to 0.02.
    """

    def __init__(
        self,
        length,
        hidden_dim,
        learned=False,
        use_type_embedding=False,
        max_wavelength=10000.0,
        initializer="normal",
        init_std=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_arguments(
            length=length,
            hidden_dim=hidden_dim,
            learned=learned,
            use_type_embedding=use_type_embedding,
            max_wavelength=max_wavelength,
            initializer=initializer,
            init_std=init_std,
        )
        self.length = length
        self.hidden_dim = hidden_dim
        self.learned = learned
        self.use_type_embedding = use_type_embedding
        self.max_wavelength = max_wavelength
        self.initializer = initializer
        self.init_std = init_std
        self._fixed = (
            None
            if learned
            else _constant(sincos_1d(length, hidden_dim, max_wavelength))
        )
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        if self.learned:
            if self.initializer == "sincos":
                initializer = _TableInitializer(
                    sincos_1d(self.length, self.hidden_dim)
                )
            else:
                initializer = keras.initializers.RandomNormal(
                    stddev=self.init_std
                )
            self.table = self.add_weight(
                shape=(self.length, self.hidden_dim),
                initializer=initializer,
                name="positions",
            )
        if self.use_type_embedding:
            self.type_vector = self.add_weight(
                shape=(self.hidden_dim,),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                name="type_vector",
            )
        self.built = True

    def values(self):
        """Returns the table `(1, length, hidden_dim)`."""
        if self.learned:
            table = ops.expand_dims(ops.cast(self.table, self.compute_dtype), 0)
        else:
            table = ops.convert_to_tensor(self._fixed, self.compute_dtype)
        return table + self.type_vector if self.use_type_embedding else table

    def get_config(self):
        return {
            **super().get_config(),
            "length": self.length,
            "hidden_dim": self.hidden_dim,
            "learned": self.learned,
            "use_type_embedding": self.use_type_embedding,
            "max_wavelength": self.max_wavelength,
            "initializer": self.initializer,
            "init_std": self.init_std,
        }


class _TableInitializer(keras.initializers.Initializer):
    """Initializes a weight with a precomputed table."""

    def __init__(self, table):
        self.table = np.asarray(table)

    def __call__(self, shape, dtype=None):
        return ops.cast(self.table.reshape(shape), dtype or "float32")
