"""Checks of video and ids that users pass to models and metrics."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_larp.utils.arrays import to_numpy

# Classes of tensors without values: those of a trace, or symbolic ones.
_SYMBOLIC = {"Tracer", "SymbolicTensor", "KerasTensor", "FakeTensor"}
# Overshoot of [0, 1] that resizing with bicubic interpolation may cause.
TOLERANCE = 0.1

_checks_values = contextvars.ContextVar("checks_values", default=True)
# Entries that have already checked a batch on an accelerator.
_checked_on_accelerator: set[str] = set()


@contextlib.contextmanager
def without_value_checks() -> Iterator[None]:
    """Context in which only shapes and dtypes are checked, as in a train
    step, whose data were checked before."""
    token = _checks_values.set(False)
    try:
        yield
    finally:
        _checks_values.reset(token)


def has_values(x: Any) -> bool:
    """Whether a tensor has values, unlike the tensors of a trace."""
    return not any(c.__name__ in _SYMBOLIC for c in type(x).__mro__)


def checks_values(x: Any, entry: str) -> bool:
    """Whether an entry should check the values of a tensor.

    It should not in a train step, in a trace, and for tensors on an
    accelerator, where reading values synchronizes, after the first call.

    Args:
        x: Tensor or array.
        entry: String. The function or method that the tensor is passed to.
    """
    if not _checks_values.get() or not has_values(x):
        return False
    if _in_host_memory(x):
        return True
    is_first = entry not in _checked_on_accelerator
    _checked_on_accelerator.add(entry)
    return is_first


def check_floating_point(video: Any, name: str = "clips") -> None:
    """Raises `ValueError` if the dtype of clips is not floating-point."""
    dtype = keras.backend.standardize_dtype(video.dtype)
    if "float" not in dtype:
        raise ValueError(
            f"Expected floating-point {name} with values in [0, 1]. Received: "
            f"dtype={dtype}. Divide 8-bit video by 255."
        )


def check_unit_range(
    video: Any, entry: str, name: str = "clips", unclipped: bool = False
) -> None:
    """Checks that the values of clips are in [0, 1].

    Args:
        video: Float tensor or array; see `checks_values`.
        entry: String. The function or method that the clips are passed to.
        name: String, what the clips are called in error messages. Defaults to
            `"clips"`.
        unclipped: Boolean. Whether the values may exceed [0, 1] as far as a
            model's reconstructions do. Defaults to `False`.

    Raises:
        ValueError: If the values are those of 8-bit video or in [-1, 1].
    """
    if not checks_values(video, entry):
        return
    values = to_numpy(video)
    if not values.size:
        return
    # The train step reports non-finite values.
    low, high = np.nan_to_num(
        [values.min(), values.max()], posinf=0.0, neginf=0.0
    ).tolist()
    if high > (10.0 if unclipped else 1.0 + TOLERANCE):
        hint = " Divide video in 0..255 by 255." if high > 2.0 else ""
    elif low < -TOLERANCE and not unclipped:
        hint = ""
        if low >= -1.0 - TOLERANCE:
            hint = " Map video in [-1, 1] to [0, 1]: `(video + 1) / 2`."
    else:
        return
    raise ValueError(
        f"Expected {name} with values in [0, 1]. Received: values from "
        f"{low:.4g} to {high:.4g}.{hint}"
    )


def _in_host_memory(x: Any) -> bool:
    """Whether reading a tensor does not wait for an accelerator."""
    device = getattr(x, "device", None)
    if callable(device):  # Older versions of JAX.
        device = device()
    # "cpu", "TFRT_CPU_0", "/job:localhost/.../device:CPU:0", or a sharding.
    return device is None or "cpu" in str(device).lower()


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
    check_floating_point(video)


def check_ids(
    ids: Any, name: str, size: int, shape: tuple[int | None, ...]
) -> Any:
    """Checks the shape, dtype and range of integer ids.

    Args:
        ids: Array or tensor of integers in [0, size). The range is not
            checked in a trace.
        name: String, what the ids are called in error messages.
        size: Integer, the number of valid ids.
        shape: Tuple, the expected shape; `None` matches any dimension.

    Returns:
        int32 NumPy array; in a trace, `ids`.

    Raises:
        ValueError: If the shape, the dtype or an id is invalid.
    """
    is_traced = not has_values(ids)
    if not is_traced:
        ids = to_numpy(ids)
    if len(ids.shape) == len(shape) + 1 and ids.shape[-1] == size:
        raise ValueError(
            f"Expected {name} of shape {_describe(shape)}. Received: "
            f"shape={ids.shape}. Convert one-hot vectors to ids: "
            "`ids.argmax(axis=-1)`."
        )
    if "int" not in str(ids.dtype):
        raise ValueError(
            f"Expected integer {name}. Received: dtype={ids.dtype}"
        )
    fits = len(ids.shape) == len(shape) and all(
        dimension in (None, received)
        for dimension, received in zip(shape, ids.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"Expected {name} of shape {_describe(shape)}. "
            f"Received: shape={ids.shape}"
        )
    if is_traced:
        return ids
    if ids.size and (ids.min() < 0 or ids.max() >= size):
        raise ValueError(
            f"Expected {name} from 0 to {size - 1}. "
            f"Received: ids from {ids.min()} to {ids.max()}"
        )
    return ids.astype("int32")


def _describe(shape: tuple) -> tuple:
    return tuple("batch" if size is None else size for size in shape)


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
    check_equal_shapes(videos, reconstructions)


def check_equal_shapes(videos: Any, reconstructions: Any) -> None:
    """Raises `ValueError` if the shapes of two tensors differ.

    Unknown dimensions (`None`) equal any other.
    """
    shape, other = tuple(videos.shape), tuple(reconstructions.shape)
    if len(shape) != len(other) or any(
        a != b and None not in (a, b) for a, b in zip(shape, other, strict=True)
    ):
        raise ValueError(
            "Expected videos and reconstructions of equal shape. "
            f"Received: shapes {shape} and {other}"
        )
