"""Splitting video into patches and back."""

from keras import ops


def patch_grid(video_size, patch_size):
    """Returns the number of patches along each axis of a video.

    Args:
        video_size: `(frames, height, width)` of the video.
        patch_size: `(frames, height, width)` of a patch.

    Returns:
        Tuple `(frames, rows, columns)` of integers.

    Raises:
        ValueError: If the video size is not divisible by the patch size.
    """
    for axis, size, patch in zip(
        ("frames", "height", "width"), video_size, patch_size, strict=True
    ):
        if patch < 1 or size < 1 or size % patch:
            raise ValueError(
                "`video_size` must be divisible by `patch_size`. "
                f"Received: {axis}={size} with a patch of {patch} "
                f"(video_size={tuple(video_size)}, "
                f"patch_size={tuple(patch_size)})"
            )
    return tuple(s // p for s, p in zip(video_size, patch_size, strict=True))


def patchify(video, patch_size):
    """Splits video into flattened patches.

    Args:
        video: Float tensor `(B, T, H, W, C)`.
        patch_size: `(pt, ph, pw)`, the size of a patch.

    Returns:
        Float tensor `(B, P, pt * ph * pw * C)`. Patches are ordered by time,
        row, column; values in a patch by time, row, column, channel.
    """
    pt, ph, pw = patch_size
    _, frames, height, width, channels = video.shape
    t, h, w = patch_grid((frames, height, width), patch_size)
    x = ops.reshape(video, (-1, t, pt, h, ph, w, pw, channels))
    x = ops.transpose(
        x, (0, 1, 3, 5, 2, 4, 6, 7)
    )  # (B, t, h, w, pt, ph, pw, C)
    return ops.reshape(x, (-1, t * h * w, pt * ph * pw * channels))


def unpatchify(patches, grid, patch_size):
    """Inverts `patchify`.

    Args:
        patches: Float tensor `(B, P, pt * ph * pw * C)`.
        grid: `(t, h, w)`, the number of patches along each axis.
        patch_size: `(pt, ph, pw)`, the size of a patch.

    Returns:
        Float tensor `(B, t * pt, h * ph, w * pw, C)`.
    """
    t, h, w = grid
    pt, ph, pw = patch_size
    channels = patches.shape[-1] // (pt * ph * pw)
    x = ops.reshape(patches, (-1, t, h, w, pt, ph, pw, channels))
    x = ops.transpose(
        x, (0, 1, 4, 2, 5, 3, 6, 7)
    )  # (B, t, pt, h, ph, w, pw, C)
    return ops.reshape(x, (-1, t * pt, h * ph, w * pw, channels))
