"""Which pixels of a clip move: those that differ from its median frame."""

from keras import ops

from keras_larp.metrics.psnr import check_unit_interval
from keras_larp.utils.checks import check_number
from keras_larp.utils.input_checks import (
    check_finite,
    check_floating_point,
    check_pair,
    check_tensor,
    checks_values,
)
from keras_larp.utils.typing import Tensor

THRESHOLD = 0.1


def median_frame(videos: Tensor) -> Tensor:
    """Median over the frames of each clip: its background, without motion.

    As in NumPy, the median of an even number of values is the mean of the two
    middle ones.

    Args:
        videos: Float tensor `(B, T, ...)`.

    Returns:
        float32 tensor `(B, ...)`.

    Example:

    ```python
    video = keras.random.uniform((2, 4, 32, 32, 3))
    background = keras_larp.metrics.median_frame(video)  # (2, 32, 32, 3)
    ```
    """
    check_tensor("videos", videos, (..., None, None))
    if checks_values(videos, "median_frame"):
        check_finite("videos", videos)
    videos = ops.cast(videos, "float32")
    num_frames = videos.shape[1]
    frames = [videos[:, t] for t in range(num_frames)]
    # A sorting network takes a tenth of the time of `ops.sort`, which is slow
    # for many short rows.
    for i, j in _comparators(num_frames):
        low, high = frames[i], frames[j]
        frames[i], frames[j] = ops.minimum(low, high), ops.maximum(low, high)
    return (frames[(num_frames - 1) // 2] + frames[num_frames // 2]) / 2.0


def moving_pixels(videos: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Which pixels move.

    A pixel moves in a frame if one of its channels differs by more than
    `threshold` from the median frame of the clip. That is where an object
    covers the background, or where the background is uncovered for less than
    half of the clip. Motion of the camera makes all textured pixels move.

    Args:
        videos: Float tensor `(B, T, H, W, C)` in [0, 1].
        threshold: Float in (0, 1). Defaults to 0.1, which is above the noise
            of cameras and video codecs.

    Returns:
        Boolean tensor `(B, T, H, W, 1)`.

    Raises:
        ValueError: If the rank of `videos` is not 5, or `threshold` is out of
            range.

    Example:

    ```python
    video = keras.random.uniform((2, 4, 32, 32, 3))
    moving = keras_larp.metrics.moving_pixels(video)  # (2, 4, 32, 32, 1)
    ```
    """
    check_threshold(threshold)
    _check_rank(videos)
    background = ops.expand_dims(median_frame(videos), 1)  # (B, 1, H, W, C)
    difference = ops.abs(ops.cast(videos, "float32") - background)
    return ops.max(difference, axis=-1, keepdims=True) > threshold


def check_threshold(threshold: float) -> None:
    """Raises `ValueError` unless a threshold is a number in (0, 1)."""
    check_number("threshold", threshold, "(0, 1)")


def check_motion_inputs(
    entry: str, videos: Tensor, reconstructions: Tensor
) -> None:
    """Checks that clips and reconstructions are floats in [0, 1] of the same
    shape `(B, T, H, W, C)`."""
    _check_rank(videos)
    check_pair(videos, reconstructions, min_size=1)
    check_unit_interval(entry, videos, reconstructions)


def mean_of_pixels(values: Tensor, mask: Tensor):
    """Mean of the pixels of a mask over channels, positions and frames.

    Args:
        values: float32 tensor `(B, T, H, W, C)`.
        mask: Boolean tensor `(B, T, H, W, 1)`.

    Returns:
        float32 tensor `(B,)`; NaN for clips without such pixels.
    """
    mask = ops.cast(mask, "float32")
    values = ops.mean(values, axis=-1, keepdims=True)
    axes = (1, 2, 3, 4)
    # 0 / 0, without any such pixel, is NaN on every backend.
    return ops.sum(values * mask, axis=axes) / ops.sum(mask, axis=axes)


def _check_rank(videos):
    check_floating_point(videos)
    if len(videos.shape) != 5:
        raise ValueError(
            "Expected clips of shape (batch, frames, height, width, channels). "
            f"Received: shape={tuple(videos.shape)}"
        )


def _comparators(count):
    """Pairs of indices of Batcher's odd-even merge sort, in order.

    Exchanging each pair whose values are in the wrong order sorts `count`
    values; see https://en.wikipedia.org/wiki/Batcher_odd-even_mergesort.
    """
    pairs = []
    size = 1
    while size < count:
        step = size
        while step:
            for start in range(step % size, count - step, 2 * step):
                for i in range(start, min(start + step, count - step)):
                    # Both are in the same pair of sorted runs.
                    if i // (2 * size) == (i + step) // (2 * size):
                        pairs.append((i, i + step))
            step //= 2
        size *= 2
    return pairs
