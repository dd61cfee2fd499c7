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
