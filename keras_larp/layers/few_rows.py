"""Linear layers on a handful of rows, as in each step of sampling."""

import keras
from keras import ops


def few_rows_dense(layer):
    """A `Dense` without bias as a function that is fast on a few rows.

    A step of sampling multiplies a handful of rows by every kernel: reading
    the kernels is what takes the time. Matrix libraries read a kernel fastest
    that lies transposed and is the left factor. It is transposed here, once,
    and not at each call of the function.

    Args:
        layer: A built `keras.layers.Dense` without bias and activation. One
            that is quantized is returned as it is.

    Returns:
        A function of `(B, 1, inputs)` that returns `(B, 1, units)`.
    """
    if layer.quantization_mode is not None:
        return layer
    inputs, units = layer.kernel.shape
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    kernel = ops.transpose(kernel)  # (units, inputs)
    if keras.backend.backend() == "torch":
        kernel = kernel.contiguous()  # The transpose was but a view.
        return lambda x: ops.transpose(ops.matmul(kernel, x[:, 0].T))[:, None]

    # As two halves: XLA swaps the factors of a plain product whose result is
    # transposed, and undoes what this function is for.
    halves = 1 if units % 2 else 2
    kernel = ops.reshape(kernel, (halves, units // halves, inputs))

    def product(x):
        columns = ops.transpose(x, (1, 2, 0))  # (1, inputs, B)
        y = ops.matmul(kernel, ops.repeat(columns, halves, axis=0))
        return ops.transpose(ops.reshape(y, (1, units, -1)), (2, 0, 1))

    return product
