"""Linear layers on a handful of rows, as in each step of sampling.

A step of sampling multiplies a handful of rows by every kernel: reading the
kernels is what takes the time. So kernels are laid out once, before all
steps, as the backend's library of products reads them fastest. This is how
XLA does; the driver of PyTorch has functions of its own.
"""

from keras import ops


def pack_kernel(kernel):
    """A kernel `(inputs, units)` as `packed_matmul` takes it."""
    inputs, units = kernel.shape
    # As two halves: XLA swaps the factors of a plain product whose result is
    # transposed, and would read the kernel in its slow order again.
    halves = 1 if units % 2 else 2
    shape = (halves, units // halves, inputs)
    return ops.reshape(ops.transpose(kernel), shape)


def packed_matmul(x, kernel):
    """`x` `(B, 1, inputs)` times a kernel that was laid out:
    `(B, 1, units)`."""
    halves, part, _ = kernel.shape
    columns = ops.transpose(x, (1, 2, 0))  # (1, inputs, B)
    y = ops.matmul(kernel, ops.repeat(columns, halves, axis=0))
    return ops.transpose(ops.reshape(y, (1, halves * part, -1)), (2, 0, 1))
