"""Conversion of tensors to NumPy arrays."""

import typing

import numpy as np


def to_numpy(x: typing.Any) -> np.ndarray:
    """Converts a tensor of any framework to a NumPy array.

    The tensor may be on an accelerator and may require gradients. bfloat16,
    which NumPy does not have, is converted to float32. The result may share
    memory with `x`.

    Args:
        x: Tensor, array or Keras variable, or a (nested) list of them.

    Returns:
        NumPy array of the same shape.
    """
    if isinstance(x, (list, tuple)):
        return np.array([to_numpy(item) for item in x])
    if hasattr(x, "detach"):  # PyTorch
        x = x.detach().cpu()
        if "bfloat16" in str(x.dtype):
            x = x.float()
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.name == "bfloat16" else x
