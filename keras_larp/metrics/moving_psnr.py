import math

import keras
from keras import ops

from keras_larp.backend.clamp import clamp_min
from keras_larp.metrics.motion_metric import MotionMetric
from keras_larp.metrics.moving_pixels import (
    THRESHOLD,
    check_motion_inputs,
    mean_of_pixels,
    moving_pixels,
)
from keras_larp.utils.typing import Tensor


def moving_psnr(
    videos: Tensor, reconstructions: Tensor, threshold: float = THRESHOLD
) -> Tensor:
    """Peak signal-to-noise ratio over the moving pixels of clips in [0, 1].

    A pixel moves in a frame if one of its channels differs by more than
    `threshold` from the median frame of the original clip; see
    `moving_pixels`. Compare it with the value of the median frame itself,
    which is what a reconstruction without any motion reaches.

    Args:
        videos: Float tensor `(B, T, H, W, C)` in [0, 1].
        reconstructions: Float tensor of the same shape, in [0, 1].
        threshold: Float in (0, 1). Defaults to 0.1.

    Returns:
        float32 tensor `(B,)` in decibels, `-10 * log10(mse)` of the moving
        pixels of each clip, at most 120. NaN for clips without moving pixels.

    Raises:
        ValueError: If shapes differ, the rank is not 5, `threshold` is out of
            range, the dtype is not floating-point, or values are those of
            8-bit video or in [-1, 1].

    Example:

    ```python
    video = keras.random.uniform((2, 4, 32, 32, 3))
    decibels = keras_larp.metrics.moving_psnr(video, 0.9 * video)  # (2,)
    median = keras_larp.metrics.median_frame(video)[:, None]
    baseline = keras_larp.metrics.moving_psnr(
        video, keras.ops.repeat(median, 4, axis=1)
    )
    ```
    """
    check_motion_inputs("moving_psnr", videos, reconstructions)
    moving = moving_pixels(videos, threshold)
    return masked_psnr(videos, reconstructions, moving)


def masked_psnr(videos: Tensor, reconstructions: Tensor, mask: Tensor):
    """`psnr` over the pixels of a mask.

    Args:
        videos: Float tensor `(B, T, H, W, C)`.
        reconstructions: Float tensor of the same shape.
        mask: Boolean tensor `(B, T, H, W, 1)`.

    Returns:
        float32 tensor `(B,)` in decibels; NaN for clips without such pixels.
    """
    error = ops.cast(videos, "float32") - ops.cast(reconstructions, "float32")
    mse = clamp_min(mean_of_pixels(error * error, mask), 1e-12)
    return -10.0 / math.log(10.0) * ops.log(mse)


@keras.saving.register_keras_serializable(package="keras_larp")
class MovingPSNR(MotionMetric):
    """Mean over clips of the PSNR of moving pixels; see `moving_psnr`.

    Clips without moving pixels do not count. The result is NaN without any
    clip that counts.

    Args:
        threshold: Float in (0, 1). See `moving_psnr`. Defaults to 0.1.
        name: String. Defaults to `"moving_psnr"`.
        dtype: Data type of the mean. Defaults to `"float32"`.

    Call arguments (of `update_state`):
        y_true: Float tensor `(B, T, H, W, C)` in [0, 1].
        y_pred: Float tensor of the same shape, in [0, 1].
        sample_weight: Float tensor `(B,)`, or `None`.

    Example:

    ```python
    metric = keras_larp.metrics.MovingPSNR()
    video = keras.random.uniform((2, 4, 32, 32, 3))
    metric.update_state(video, 0.9 * video)
    metric.result()
    ```
    """

    def __init__(self, threshold=THRESHOLD, name="moving_psnr", dtype=None):
        super().__init__(threshold, name, dtype)

    def measure(self, videos, reconstructions):
        moving = moving_pixels(videos, self.threshold)
        return masked_psnr(videos, reconstructions, moving), moving
