"""Checks of what users pass to the models, on the host."""

import numpy as np


def check_video(video, shape):
    """Raises for a batch of clips of another rank, size or dtype."""
    received = tuple(video.shape)
    expected = f"(batch, {', '.join(map(str, shape))})"
    if len(received) != 5 or received[1:] != tuple(shape):
        hint = (
            " Add a batch axis: `video[None]`."
            if received == tuple(shape)
            else " Are the channels last?"
            if len(received) == 5 and received[1] == shape[-1]
            else ""
        )
        raise ValueError(
            f"Expected clips of shape {expected}, (batch, frames, height, "
            f"width, channels). Received: shape={received}.{hint}"
        )
    if "float" not in str(video.dtype):
        raise ValueError(
            "Expected floating-point clips with values in [0, 1]. Received: "
            f"dtype={video.dtype}. Divide 8-bit video by 255."
        )


def check_ids(ids, name, size, shape):
    """Integer ids in [0, size) of a shape, as an int32 array.

    `None` in `shape` stands for any extent.
    """
    if hasattr(ids, "detach"):
        ids = ids.detach().cpu()
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"Expected integer {name}. Received: dtype={ids.dtype}"
        )
    fits = len(ids.shape) == len(shape) and all(
        extent in (None, received)
        for extent, received in zip(shape, ids.shape, strict=True)
    )
    if not fits:
        wanted = tuple("batch" if s is None else s for s in shape)
        raise ValueError(
            f"Expected {name} of shape {wanted}. Received: shape={ids.shape}"
        )
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise ValueError(
            f"Expected {name} from 0 to {size - 1}. "
            f"Received: ids from {ids.min()} to {ids.max()}"
        )
    return ids.astype("int32")


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
