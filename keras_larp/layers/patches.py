"""Cutting a video into patches and back."""

import numbers

from keras import ops


def three_sizes(patch_size):
    """A patch's `(frames, height, width)`, as a tuple.

    Raises:
        ValueError: where it is anything but three integers.
    """
    sizes = tuple(patch_size) if isinstance(patch_size, list | tuple) else ()
    if len(sizes) != 3 or not all(
        isinstance(size, numbers.Integral) for size in sizes
    ):
        raise ValueError(
            "A patch has three sizes, (frames, height, width), such as "
            f"(4, 8, 8). Received: {patch_size!r}"
        )
    return sizes


def patch_grid(video_size, patch_size):
    """How many patches `(frames, rows, columns)` a video of that size has.

    Args:
        video_size: `(frames, height, width)` of the video.
        patch_size: `(frames, height, width)` of a patch.

    Raises:
        ValueError: where the video is not divisible by the patches.
    """
    for axis, size, patch in zip(
        ("frames", "height", "width"), video_size, patch_size, strict=True
    ):
        if patch < 1 or size < 1 or size % patch:
            raise ValueError(
                f"The video's {axis} must be divisible by the patch's. "
                f"Received: {axis}={size} with a patch of {patch} "
                f"(video_size={tuple(video_size)}, "
                f"patch_size={tuple(patch_size)})"
            )
    return tuple(s // p for s, p in zip(video_size, patch_size, strict=True))


def patchify(video, patch_size):
    """`(B, T, H, W, C)` to `(B, P, pt * p * p * C)`, patches and the values
    within one both in the order time, row, column (channel)."""
    pt, ph, pw = patch_size
    _, frames, height, width, channels = video.shape
    t, h, w = patch_grid((frames, height, width), patch_size)
    x = ops.reshape(video, (-1, t, pt, h, ph, w, pw, channels))
    x = ops.transpose(x, (0, 1, 3, 5, 2, 4, 6, 7))
    return ops.reshape(x, (-1, t * h * w, pt * ph * pw * channels))


def unpatchify(patches, grid, patch_size):
    """The inverse of `patchify`: `(B, P, pt * p * p * C)` to a video."""
    t, h, w = grid
    pt, ph, pw = patch_size
    channels = patches.shape[-1] // (pt * ph * pw)
    x = ops.reshape(patches, (-1, t, h, w, pt, ph, pw, channels))
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7))
    return ops.reshape(x, (-1, t * pt, h * ph, w * pw, channels))
