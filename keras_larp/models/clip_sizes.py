"""Clips of other sizes than a tokenizer was trained with."""

import math
from typing import Any

from keras import ops


def common_multiple(*patch_sizes: tuple[int, int, int]) -> tuple:
    """The smallest size that is a multiple of all patch sizes."""
    return tuple(math.lcm(*sizes) for sizes in zip(*patch_sizes, strict=True))


def fill_patch(video: Any, patch_size: tuple[int, int, int]) -> Any:
    """Repeats an image to the number of frames of a patch.

    Args:
        video: Float tensor `(B, T, H, W, C)`.
        patch_size: `(frames, height, width)`.

    Returns:
        Float tensor `(B, frames, H, W, C)` if `T` is 1, otherwise `video`.
    """
    if video.shape[1] != 1 or patch_size[0] == 1:
        return video
    return ops.repeat(video, patch_size[0], axis=1)


def filled_size(
    video_size: tuple[int, int, int], patch_size: tuple[int, int, int]
) -> tuple[int, int, int]:
    """The size of the result of `fill_patch`."""
    frames, height, width = video_size
    return (patch_size[0] if frames == 1 else frames, height, width)
