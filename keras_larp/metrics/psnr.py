import math

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.metrics.mean import Mean
from keras_larp.utils.input_checks import (
    check_equal_shapes,
    check_sample_weight,
    check_unit_range,
)
from keras_larp.utils.typing import Tensor


def psnr(videos: Tensor, reconstructions: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of clips in [0, 1].

    Args:
        videos: Float tensor `(B, ...)` in [0, 1].
        reconstructions: Float tensor of the same shape, in [0, 1].

    Returns:
        float32 tensor `(B,)` in decibels, `-10 * log10(mse)` per clip, at
        most 120.

    Raises:
        ValueError: If the shapes differ, the dtype is not floating-point, or
            values are those of 8-bit video or in [-1, 1].

    Example:

    ```python
    video = keras.random.uniform((2, 4, 32, 32, 3))
    decibels = keras_larp.metrics.psnr(video, 0.9 * video)  # (2,)
    ```
    """
    check_equal_shapes(videos, reconstructions)
    check_unit_interval("psnr", videos, reconstructions)
    error = ops.cast(videos, "float32") - ops.cast(reconstructions, "float32")
    axes = tuple(range(1, len(error.shape)))
    mse = clamp_min(ops.mean(error * error, axis=axes), 1e-12)
    return -10.0 / math.log(10.0) * ops.log(mse)


def check_unit_interval(entry, videos, reconstructions):
    """Checks that the values of clips and reconstructions are in [0, 1]."""
    for name, x in (("videos", videos), ("reconstructions", reconstructions)):
        check_unit_range(x, f"{entry} of {name}", name, name != "videos")


@keras.saving.register_keras_serializable(package="keras_larp")
class PSNR(Mean):
    """Mean peak signal-to-noise ratio over clips, in decibels; see `psnr`.

    Args:
        name: String. Defaults to `"psnr"`.
        dtype: Data type of the mean. Defaults to `"float32"`.

    Call arguments (of `update_state`):
        y_true: Float tensor `(B, ...)` in [0, 1].
        y_pred: Float tensor of the same shape, in [0, 1].
        sample_weight: Float tensor `(B,)`, or `None`.

    Example:

    ```python
    metric = keras_larp.metrics.PSNR()
    video = keras.random.uniform((2, 4, 32, 32, 3))
    metric.update_state(video, 0.9 * video)
    metric.result()
    ```
    """

    def __init__(self, name="psnr", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = psnr(y_true, y_pred)
        check_sample_weight(sample_weight, values.shape[0])
        return super().update_state(values, sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}
