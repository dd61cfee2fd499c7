"""Checks of video and ids that users pass to models and metrics."""

from typing import Any

import numpy as np


def check_video(video: Any, shape: tuple[int, ...]) -> None:
    """Checks the shape and dtype of a batch of clips.

    Args:
        video: Tensor that must be float `(B, T, H, W, C)`.
        shape: Tuple of integers, the expected `(T, H, W, C)`.

    Raises:
        ValueError: If the shape or the dtype differs.
    """
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


def check_ids(
    ids: Any, name: str, size: int, shape: tuple[int | None, ...]
) -> np.ndarray:
    """Checks the shape, dtype and range of integer ids.

    Args:
        ids: Array or tensor of integers in [0, size).
        name: String, what the ids are called in error messages.
        size: Integer, the number of valid ids.
        shape: Tuple, the expected shape; `None` matches any dimension.

    Returns:
        int32 NumPy array.

    Raises:
        ValueError: If the shape, the dtype or an id is invalid.
    """
    if hasattr(ids, "detach"):
        ids = ids.detach().cpu()
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"Expected integer {name}. Received: dtype={ids.dtype}"
        )
    fits = len(ids.shape) == len(shape) and all(
        dimension in (None, received)
        for dimension, received in zip(shape, ids.shape, strict=True)
    )
    if not fits:
        expected = tuple("batch" if s is None else s for s in shape)
        raise ValueError(
            f"Expected {name} of shape {expected}. Received: shape={ids.shape}"
        )
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise ValueError(
            f"Expected {name} from 0 to {size - 1}. "
            f"Received: ids from {ids.min()} to {ids.max()}"
        )
    return ids.astype("int32")


def check_pair(
    videos: Any,
    reconstructions: Any,
    min_size: int,
    channels: int | str = "channels",
) -> None:
    """Checks that both tensors are clips, or both frames, of equal shape.

    Args:
        videos: Tensor. Unknown dimensions (`None`) are accepted.
        reconstructions: Tensor.
        min_size: Integer, the smallest valid height and width.
        channels: Integer; the default accepts any number of channels.

    Raises:
        ValueError: If a shape is invalid or the shapes differ.
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
            "Expected videos and reconstructions of equal shape. "
            f"Received: shapes {shape} and {other}"
        )
