"""Clamping to Python numbers without synchronizing the device.

On PyTorch, `ops.maximum` and `ops.clip` copy a Python number to the device and
wait for all queued work. Adding it to a tensor does neither.
"""

from keras import ops


def clamp_min(x, low):
    """`ops.maximum(x, low)` of a float tensor and a Python number."""
    return ops.maximum(x, ops.zeros((), x.dtype) + low)


def clamp_max(x, high):
    """`ops.minimum(x, high)` of a float tensor and a Python number."""
    return ops.minimum(x, ops.zeros((), x.dtype) + high)


def clamp(x, low, high):
    """`ops.clip(x, low, high)` of a float tensor and Python numbers."""
    return clamp_max(clamp_min(x, low), high)
