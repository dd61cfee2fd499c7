"""Linear layers on a handful of rows, as in each step of sampling.

A step of sampling multiplies a handful of rows by every kernel: reading the
kernels is what takes the time. So kernels are laid out once, before all
steps, as the backend's library of products reads them fastest.
"""

import keras
from keras import ops


def few_rows_kernel(layer):
    """The kernel of a `Dense` without bias, laid out for `few_rows_product`.

    Args:
        layer: A built `keras.layers.Dense` without bias and activation.

    Returns:
        A tensor; `None` for a layer that is quantized, whose own call is to be
        used.
    """
    if layer.quantization_mode is not None:
        return None
    inputs, units = layer.kernel.shape
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    kernel = ops.transpose(kernel)  # (units, inputs)
    if keras.backend.backend() == "torch":
        return _torch_kernel(kernel)
    # As two halves: XLA swaps the factors of a plain product whose result is
    # transposed, and would read the kernel in its slow order again.
    halves = 1 if units % 2 else 2
    return ops.reshape(kernel, (halves, units // halves, inputs))


def few_rows_product(x, kernel):
    """`x` `(B, 1, inputs)` times a kernel that `few_rows_kernel` laid out:
    `(B, 1, units)`."""
    if keras.backend.backend() == "torch":
        return _torch_product(x, kernel)
    halves, part, _ = kernel.shape
    columns = ops.transpose(x, (1, 2, 0))  # (1, inputs, B)
    y = ops.matmul(kernel, ops.repeat(columns, halves, axis=0))
    return ops.transpose(ops.reshape(y, (1, halves * part, -1)), (2, 0, 1))


def _torch_kernel(kernel):
    import torch

    kernel = kernel.detach().contiguous()
    on_cpu = kernel.device.type == "cpu" and kernel.dtype == torch.float32
    if on_cpu and torch.backends.mkldnn.is_available():
        # The layout that its library for CPUs prefers for some 8 rows.
        kernel = torch.ops.mkldnn._reorder_linear_weight(kernel, 8)
    return kernel


def _torch_product(x, kernel):
    import torch

    if kernel.is_mkldnn:
        product = torch.ops.mkldnn._linear_pointwise
        return product(x, kernel, None, "none", [], "")
    return torch.nn.functional.linear(x, kernel)
