from keras import ops


def all_finite(tensors):
    """Whether all values of all tensors are finite.

    Args:
        tensors: List of tensors; `None` entries are skipped.

    Returns:
        Boolean scalar.
    """
    # A sum is finite only if all its terms are: reducing each tensor to a
    # scalar avoids a mask of its size. The sum itself overflows at 1e38.
    sums = [ops.sum(ops.cast(t, "float32")) for t in tensors if t is not None]
    return ops.all(ops.isfinite(ops.stack(sums)))
