import keras
import numpy as np
from keras import layers, ops

from keras_larp.layers.positions import sincos_1d, sincos_3d


def _constant(table):
    """A table `(n, D)` as `(1, n, D)`. PyTorch would copy NumPy's arrays to the
    device, and wait for it, each time that they are used."""
    table = table[None]
    is_torch = keras.backend.backend() == "torch"
    return ops.convert_to_tensor(table) if is_torch else table


@keras.saving.register_keras_serializable(package="keras_larp")
class GridPositions(layers.Layer):
    """Positions of a grid of patches: a fixed table or learned sums.

    Args:
        grid: `(frames, rows, columns)` of patches.
        hidden_dim: Integer, width of the table, divisible by 4.
        learned: Boolean. `False` for the fixed three-dimensional sine-cosine
            table; `True` for the sum of three learned tables (time, row,
            column) that start as one-dimensional sine-cosine tables.
        use_type_embedding: Boolean, whether a learned vector is added to all.

    Its table is `values()`:

    Returns:
        `(1, frames * rows * columns, hidden_dim)`, order time, row, column.
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
        self.grid = tuple(grid)
        self.hidden_dim = hidden_dim
        self.learned = learned
        self.use_type_embedding = use_type_embedding
        self._fixed = (
            None if learned else _constant(sincos_3d(self.grid, hidden_dim))
        )
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        if self.learned:
            self.tables = [
                self.add_weight(
                    shape=(size, self.hidden_dim),
                    initializer=_Table(sincos_1d(size, self.hidden_dim)),
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

    def values(self):
        if self.learned:
            time, row, column = self.tables
            table = (
                ops.expand_dims(time, (1, 2))
                + ops.expand_dims(row, (0, 2))
                + ops.expand_dims(column, (0, 1))
            )
            table = ops.reshape(table, (1, -1, self.hidden_dim))
        else:
            table = ops.convert_to_tensor(self._fixed, self.compute_dtype)
        return table + self.type_vector if self.use_type_embedding else table

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
    """Positions of a sequence: fixed sine-cosine or a learned table.

    Args:
        length: Integer, number of positions.
        hidden_dim: Integer, width of the table.
        learned: Boolean, whether the table is learned.
        use_type_embedding: Boolean, whether a learned vector is added to all.
        base: Float, base of the fixed table's frequencies.
        initial: What a learned table starts as: `"normal"` (standard
            deviation `stddev`) or `"sincos"` (always of base 10000).
        stddev: Float, see `initial`.

    Its table is `values()`:

    Returns:
        `(1, length, hidden_dim)`.
    """

    def __init__(
        self,
        length,
        hidden_dim,
        learned=False,
        use_type_embedding=False,
        base=10000.0,
        initial="normal",
        stddev=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if length < 1:
            raise ValueError(
                f"A sequence needs at least one position. Received: {length}"
            )
        if initial not in ("normal", "sincos"):
            raise ValueError(
                "`initial` must be 'normal' or 'sincos'. "
                f"Received: initial={initial!r}"
            )
        self.length = length
        self.hidden_dim = hidden_dim
        self.learned = learned
        self.use_type_embedding = use_type_embedding
        self.base = base
        self.initial = initial
        self.stddev = stddev
        self._fixed = (
            None if learned else _constant(sincos_1d(length, hidden_dim, base))
        )
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        if self.learned:
            if self.initial == "sincos":
                initializer = _Table(sincos_1d(self.length, self.hidden_dim))
            else:
                initializer = keras.initializers.RandomNormal(
                    stddev=self.stddev
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
            "base": self.base,
            "initial": self.initial,
            "stddev": self.stddev,
        }


class _Table(keras.initializers.Initializer):
    """Starts a weight with a table that was computed beforehand."""

    def __init__(self, table):
        self.table = np.asarray(table)

    def __call__(self, shape, dtype=None):
        return ops.cast(self.table.reshape(shape), dtype or "float32")
