import math

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_min


def psnr(videos, reconstructions):
    """Peak signal-to-noise ratio of clips in [0, 1].

    Args:
        videos: float `(B, ...)`.
        reconstructions: float `(B, ...)`.

    Returns:
        float32 `(B,)`, in decibels: -10 log10 of a clip's mean squared error.
    """
    error = ops.cast(videos, "float32") - ops.cast(reconstructions, "float32")
    axes = tuple(range(1, len(error.shape)))
    squares = clamp_min(ops.mean(error * error, axis=axes), 1e-12)
    return -10.0 / math.log(10.0) * ops.log(squares)


@keras.saving.register_keras_serializable(package="keras_larp")
class PSNR(keras.metrics.Mean):
    """Mean over clips of their peak signal-to-noise ratio, in decibels.

    Call arguments (of `update_state`):
        y_true: float `(B, ...)` in [0, 1].
        y_pred: float `(B, ...)`.

    Example:

    ```python
    metric = keras_larp.metrics.PSNR()
    metric.update_state(video, reconstruction)
    metric.result()
    ```
    """

    def __init__(self, name="psnr", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(psnr(y_true, y_pred), sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}
