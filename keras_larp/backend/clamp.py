"""Bounds of tensors that are numbers of the host.

On PyTorch `ops.maximum` and `ops.clip` copy such numbers to the device, and
wait there for all that was begun; arithmetic with them does not.
"""

from keras import ops


def clamp_min(x, low):
    """`ops.maximum(x, low)` of a float tensor and a number."""
    return ops.maximum(x, ops.zeros((), x.dtype) + low)


def clamp_max(x, high):
    """`ops.minimum(x, high)` of a float tensor and a number."""
    return ops.minimum(x, ops.zeros((), x.dtype) + high)
