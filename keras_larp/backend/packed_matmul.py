"""Linear layers applied to a few rows, as in each step of sampling.

A sampling step multiplies a few rows by every kernel, so that its time is
dominated by reading the kernels. They are therefore packed once, before the
first step, in the layout that the backend's matrix multiplication reads
fastest. This is the implementation for XLA; `torch_driver` has another one.
"""

from keras import ops


def pack_kernel(kernel):
    """Packs a kernel `(inputs, units)` for `packed_matmul`."""
    inputs, units = kernel.shape
    # XLA rewrites a product whose result is transposed as the product of the
    # swapped factors, which would read the kernel in the slow order again. It
    # does not for a batch of two products.
    halves = 1 if units % 2 else 2
    shape = (halves, units // halves, inputs)
    return ops.reshape(ops.transpose(kernel), shape)


def packed_matmul(x, kernel):
    """Multiplies `x` `(B, 1, inputs)` by a packed kernel: `(B, 1, units)`."""
    halves, half_units, _ = kernel.shape
    columns = ops.transpose(x, (1, 2, 0))  # (1, inputs, B)
    y = ops.matmul(kernel, ops.repeat(columns, halves, axis=0))
    return ops.transpose(
        ops.reshape(y, (1, halves * half_units, -1)), (2, 0, 1)
    )
