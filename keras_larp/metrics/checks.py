"""Checks of what is compared, on the host."""


def check_pair(videos, reconstructions, min_size, channels="channels"):
    """Raises unless both are clips, or both frames, of one shape.

    Args:
        videos: Tensor; extents that are not known yet pass.
        reconstructions: Tensor.
        min_size: Integer, the least height and width.
        channels: Integer, or a word where any number will do.
    """
    shape = tuple(videos.shape)
    other = tuple(reconstructions.shape)
    fits = (
        len(shape) in (4, 5)
        and channels in (shape[-1], "channels")
        and all(size is None or size >= min_size for size in shape[-3:-1])
    )
    if not fits:
        raise ValueError(
            f"Expected clips (batch, frames, height, width, {channels}) or "
            f"frames (batch, height, width, {channels}), with height and "
            f"width of {min_size} or more. Received: shape={shape}"
        )
    if len(shape) != len(other) or any(
        a != b and None not in (a, b) for a, b in zip(shape, other, strict=True)
    ):
        raise ValueError(
            "Expected videos and reconstructions of one shape. "
            f"Received: shapes {shape} and {other}"
        )
