import keras
from keras import ops

from keras_larp.metrics.motion_metric import MotionMetric
from keras_larp.metrics.moving_pixels import (
    THRESHOLD,
    check_motion_inputs,
    mean_of_pixels,
    moving_pixels,
)
from keras_larp.utils.typing import Tensor


def still_flicker(
    videos: Tensor, reconstructions: Tensor, threshold: float = THRESHOLD
) -> Tensor:
    """Flicker of reconstructions where the original clips are still.

    It is the mean absolute difference of consecutive frames of the
    reconstruction, over the pixels that move in neither of both frames of the
    original; see `moving_pixels`. Compare it with the flicker of the original
    itself, which is the noise of its still pixels.

    Args:
        videos: Float tensor `(B, T, H, W, C)` in [0, 1], with at least two
            frames.
        reconstructions: Float tensor of the same shape, in [0, 1].
        threshold: Float in (0, 1). Defaults to 0.1.

    Returns:
        float32 tensor `(B,)`, in [0, 1]. NaN for clips without still pixels.

    Raises:
        ValueError: As `moving_psnr`, or if clips have a single frame.

    Example:

    ```python
    video = keras.ops.ones((2, 4, 32, 32, 3))
    noise = keras.random.uniform((2, 4, 32, 32, 3))
    flicker = keras_larp.metrics.still_flicker(video, noise)  # (2,)
    ```
    """
    check_motion_inputs("still_flicker", videos, reconstructions)
    return masked_flicker(reconstructions, still_pairs(videos, threshold))


def masked_flicker(videos: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of consecutive frames over a mask.

    Args:
        videos: Float tensor `(B, T, H, W, C)`.
        mask: Boolean tensor `(B, T - 1, H, W, 1)`.

    Returns:
        float32 tensor `(B,)`; NaN for clips without such pixels.
    """
    videos = ops.cast(videos, "float32")
    return mean_of_pixels(ops.abs(videos[:, 1:] - videos[:, :-1]), mask)


def still_pairs(videos: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Which pixels move in neither of two consecutive frames.

    Args:
        videos: Float tensor `(B, T, H, W, C)`.
        threshold: Float in (0, 1). Defaults to 0.1.

    Returns:
        Boolean tensor `(B, T - 1, H, W, 1)`.

    Raises:
        ValueError: If clips have a single frame.
    """
    if videos.shape[1] < 2:
        raise ValueError(
            "Flicker needs clips of at least 2 frames. Received: "
            f"shape={tuple(videos.shape)}"
        )
    moving = moving_pixels(videos, threshold)
    return ops.logical_not(ops.logical_or(moving[:, 1:], moving[:, :-1]))


@keras.saving.register_keras_serializable(package="keras_larp")
class StillFlicker(MotionMetric):
    """Mean flicker of still pixels over clips; see `still_flicker`.

    Clips without still pixels do not count. The result is NaN without any
    clip that counts.

    Args:
        threshold: Float in (0, 1). See `still_flicker`. Defaults to 0.1.
        name: String. Defaults to `"still_flicker"`.
        dtype: Data type of the mean. Defaults to `"float32"`.

    Call arguments (of `update_state`):
        y_true: Float tensor `(B, T, H, W, C)` in [0, 1].
        y_pred: Float tensor of the same shape, in [0, 1].
        sample_weight: Float tensor `(B,)`, or `None`.

    Example:

    ```python
    metric = keras_larp.metrics.StillFlicker()
    video = keras.ops.ones((2, 4, 32, 32, 3))
    metric.update_state(video, keras.random.uniform((2, 4, 32, 32, 3)))
    metric.result()
    ```
    """

    def __init__(self, threshold=THRESHOLD, name="still_flicker", dtype=None):
        super().__init__(threshold, name, dtype)

    def measure(self, videos, reconstructions):
        still = still_pairs(videos, self.threshold)
        return masked_flicker(reconstructions, still), still
