"""Checks of video and ids that users pass to models and metrics."""

import contextlib
import contextvars
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_larp.utils.arrays import to_numpy
from keras_larp.utils.checks import check_integers, check_number, shorten

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


def check_tensor(name: str, x: Any, shape: tuple, dtype: str = "float") -> None:
    """Checks that an argument is a tensor of a shape and a kind of dtype.

    Args:
        name: String, the name of the argument.
        x: The argument.
        shape: Tuple. `None`, and unknown dimensions of `x`, match any. A
            leading `...` matches any number of dimensions.
        dtype: String. `"float"`, `"int"`, or `"number"` for both. Defaults to
            `"float"`.

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    kinds = ("float", "int") if dtype == "number" else (dtype,)
    is_tensor = hasattr(x, "shape") and hasattr(x, "dtype")
    if (
        is_tensor
        and any(kind in str(x.dtype) for kind in kinds)
        and _matches(tuple(x.shape), shape)
    ):
        return
    if is_tensor:
        received = f"shape={tuple(x.shape)}, dtype={_dtype_name(x)}"
    else:
        received = f"{name}={shorten(x)}"
    kind = {"float": "a floating-point", "int": "an integer"}.get(dtype, "a")
    raise ValueError(
        f"`{name}` must be {kind} tensor of shape {_describe(shape)}. "
        f"Received: {received}"
    )


def _matches(received: tuple, shape: tuple) -> bool:
    """Whether a shape has the dimensions of `shape`; see `check_tensor`."""
    if shape and shape[0] is ...:
        shape = shape[1:]
        received = received[max(len(received) - len(shape), 0) :]
    return len(received) == len(shape) and all(
        size is None or other is None or size == other
        for size, other in zip(shape, received, strict=True)
    )


def _dtype_name(x: Any) -> str:
    return getattr(x.dtype, "name", str(x.dtype).removeprefix("torch."))


def check_scalar(name: str, value: Any, interval: str) -> None:
    """Checks a number or a scalar tensor.

    Args:
        name: String, the name of the argument.
        value: Number or tensor; see `checks_values`.
        interval: String; see `check_number`.

    Raises:
        ValueError: If it is neither, or is not in the interval.
    """
    if hasattr(value, "shape") and not isinstance(value, numbers.Real):
        check_tensor(name, value, (), "number")
        if checks_values(value, name):
            check_number(name, to_numpy(value).item(), interval)
    else:
        check_number(name, value, interval)


def check_sample_weight(sample_weight: Any, batch_size: int | None) -> None:
    """Checks that the weights of a batch are numbers, one per clip."""
    if sample_weight is not None:
        check_tensor("sample_weight", sample_weight, (batch_size,), "number")


def check_floating_point(video: Any, name: str = "clips") -> None:
    """Raises `ValueError` if clips are not a floating-point tensor."""
    if not (hasattr(video, "shape") and hasattr(video, "dtype")):
        raise ValueError(
            f"Expected {name} as a floating-point tensor or array with values "
            f"in [0, 1]. Received: {shorten(video)}"
        )
    if "float" not in str(video.dtype):
        raise ValueError(
            f"Expected floating-point {name} with values in [0, 1]. Received: "
            f"dtype={_dtype_name(video)}. Divide 8-bit video by 255."
        )


def check_unit_range(
    video: Any,
    entry: str,
    name: str = "clips",
    unclipped: bool = False,
    tolerance: float = TOLERANCE,
) -> None:
    """Checks that the values of clips are in [0, 1].

    Args:
        video: Float tensor or array; see `checks_values`.
        entry: String. The function or method that the clips are passed to.
        name: String, what the clips are called in error messages. Defaults to
            `"clips"`.
        unclipped: Boolean. Whether the values may exceed [0, 1] as far as a
            model's reconstructions do. Defaults to `False`.
        tolerance: Float, how far the values may exceed [0, 1]. Defaults to
            the overshoot of bicubic interpolation.

    Raises:
        ValueError: If a value is NaN or infinite, or if the values are those
            of 8-bit video or in [-1, 1].
    """
    if not checks_values(video, entry):
        return
    values = to_numpy(video)
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        check_finite(name, values)
    if high > (10.0 if unclipped else 1.0 + tolerance):
        hint = " Divide video in 0..255 by 255." if high > 2.0 else ""
    elif low < -tolerance and not unclipped:
        hint = ""
        if low >= -1.0 - TOLERANCE:
            hint = " Map video in [-1, 1] to [0, 1]: `(video + 1) / 2`."
    else:
        return
    raise ValueError(
        f"Expected {name} with values in [0, 1]. Received: values from "
        f"{low:.4g} to {high:.4g}.{hint}"
    )


def check_finite(name: str, x: Any) -> None:
    """Raises `ValueError` if an array or tensor has NaN or infinity.

    Args:
        name: String, what the values are called in the error message.
        x: Array or tensor.
    """
    values = to_numpy(x)
    num_bad = values.size - np.count_nonzero(np.isfinite(values))
    if num_bad:
        raise ValueError(
            f"Expected finite values in {name}. Received: NaN or infinity in "
            f"{num_bad} of {values.size} values"
        )


def _in_host_memory(x: Any) -> bool:
    """Whether reading a tensor does not wait for an accelerator."""
    device = getattr(x, "device", None)
    if callable(device):  # Older versions of JAX.
        device = device()
    # "cpu", "TFRT_CPU_0", "/job:localhost/.../device:CPU:0", or a sharding.
    return device is None or "cpu" in str(device).lower()


def check_video(
    video: Any,
    shape: tuple[int, ...],
    multiple: tuple[int, int, int] | None = None,
) -> None:
    """Checks the shape and dtype of a batch of clips.

    Args:
        video: Tensor that must be float `(B, T, H, W, C)`.
        shape: Tuple of integers, the expected `(T, H, W, C)`.
        multiple: Tuple of integers, if clips of other sizes are accepted: a
            number of frames, a height and a width. Sizes must be multiples of
            these, except that one frame is an image. Defaults to `None`.

    Raises:
        ValueError: If the shape or the dtype differs.
    """
    check_floating_point(video)
    received = tuple(video.shape)
    if len(received) == 5 and received[1:] == tuple(shape):
        return
    other_sizes = ""
    if multiple is not None:
        if (
            len(received) == 5
            and received[-1] == shape[-1]
            and is_multiple(received[1:4], multiple)
        ):
            return
        other_sizes = (
            f", or with other multiples of {', '.join(map(str, multiple))} "
            "frames, rows and columns"
        )
    hint = (
        " Add a batch axis: `video[None]`."
        if received == tuple(shape)
        else " Are the channels last?"
        if len(received) == 5 and received[1] == shape[-1]
        else ""
    )
    raise ValueError(
        f"Expected clips of shape (batch, {', '.join(map(str, shape))}), "
        f"(batch, frames, height, width, channels){other_sizes}. Received: "
        f"shape={received}.{hint}"
    )


def check_video_size(
    video_size: Any, multiple: tuple[int, int, int]
) -> tuple[int, ...]:
    """Checks the size of clips to decode.

    Args:
        video_size: `(frames, height, width)`.
        multiple: See `check_video`.

    Returns:
        Tuple of integers.

    Raises:
        ValueError: If it is no valid size.
    """
    size = check_integers("video_size", video_size, 3)
    if not is_multiple(size, multiple):
        raise ValueError(
            "`video_size`, (frames, height, width), must be a multiple of "
            f"{multiple}, or have one frame. Received: video_size={size}"
        )
    return size


def is_multiple(size: tuple, multiple: tuple[int, int, int]) -> bool:
    """Whether clips can have a size `(frames, height, width)`: multiples of
    `multiple`, or one frame."""
    if not all(size):  # Unknown, or empty.
        return False
    rests = [n % m for n, m in zip(size, multiple, strict=True)]
    return not any(rests[1:]) and (not rests[0] or size[0] == 1)


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
        ids = to_array(ids, name)
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


def to_array(x: Any, name: str) -> np.ndarray:
    """Converts nested lists or a tensor to a NumPy array.

    Args:
        x: Tensor, array or nested lists of numbers.
        name: String, what the values are called in the error message.

    Raises:
        ValueError: If it is something else.
    """
    try:
        array = to_numpy(x)
    except ValueError:  # Ragged lists.
        array = None
    if array is None or array.dtype == object:
        raise ValueError(
            f"Expected {name} as an array or nested lists of integers. "
            f"Received: {shorten(x)}"
        )
    return array


def check_id_range(ids: Any, name: str, size: int, entry: str) -> None:
    """Checks that integer ids are in [0, size), unless in a trace.

    Args:
        ids: Integer tensor or array; see `checks_values`.
        name: String, what the ids are called in error messages.
        size: Integer, the number of valid ids.
        entry: String. The function or method that the ids are passed to.

    Raises:
        ValueError: If an id is out of range.
    """
    if checks_values(ids, entry):
        check_ids(ids, name, size, tuple(ids.shape))


def _describe(shape: tuple) -> str:
    special = {None: "batch", ...: "..."}
    names = [special.get(size, str(size)) for size in shape]
    return f"({', '.join(names)}{',' * (len(names) == 1)})"


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
    check_equal_shapes(videos, reconstructions)
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


def check_equal_shapes(videos: Any, reconstructions: Any) -> None:
    """Raises `ValueError` if the shapes of two tensors differ.

    Unknown dimensions (`None`) equal any other.
    """
    check_floating_point(videos, "videos")
    check_floating_point(reconstructions, "reconstructions")
    shape, other = tuple(videos.shape), tuple(reconstructions.shape)
    if len(shape) != len(other) or any(
        a != b and None not in (a, b) for a, b in zip(shape, other, strict=True)
    ):
        raise ValueError(
            "Expected videos and reconstructions of equal shape. "
            f"Received: shapes {shape} and {other}"
        )
