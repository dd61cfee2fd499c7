"""Resizing, cropping and flipping of clips."""

import collections.abc
import math
import operator

import numpy as np

from keras_larp.utils.checks import (
    check_boolean,
    check_instance,
    check_integer,
    check_range,
)
from keras_larp.utils.input_checks import check_finite, to_array
from keras_larp.utils.optional_imports import require


def resize_shorter_side(video: np.ndarray, image_size: int) -> np.ndarray:
    """Resizes frames so that their shorter side is `image_size`.

    Bilinear with antialiasing. The longer side becomes
    `int(image_size * longer / shorter)`.

    Args:
        video: uint8 or float array `(T, H, W, 3)`.
        image_size: Integer. Length of the shorter side in pixels.

    Returns:
        uint8 array `(T, H', W', 3)`, or float32 for float input.

    Raises:
        ValueError: If `video` has another shape or dtype, or `image_size` is
            not positive.

    Example:

    ```python
    video = np.zeros((16, 240, 320, 3), "uint8")
    keras_larp.data.resize_shorter_side(video, 128).shape  # (16, 128, 170, 3)
    ```
    """
    video = check_video(video)
    image_size = check_integer("image_size", image_size, 1)
    height, width = video.shape[1:3]
    size = resized_size(height, width, image_size)
    if size == video.shape[1:3]:
        return video if video.dtype == np.uint8 else video.astype(np.float32)
    return _resize(video, size)


def center_crop(video: np.ndarray, image_size: int) -> np.ndarray:
    """Crops frames to the center square.

    Args:
        video: Array `(T, H, W, 3)`, at least `image_size` high and wide.
        image_size: Integer. Side of the square in pixels.

    Returns:
        Array `(T, image_size, image_size, 3)`, a view.

    Raises:
        ValueError: If the frames are smaller than `image_size`.

    Example:

    ```python
    video = np.zeros((16, 128, 170, 3), "uint8")
    keras_larp.data.center_crop(video, 128).shape  # (16, 128, 128, 3)
    ```
    """
    video = check_video(video)
    image_size = check_integer("image_size", image_size, 1)
    height, width = video.shape[1:3]
    if min(height, width) < image_size:
        raise ValueError(
            f"Frames must be at least {image_size} pixels high and wide to be "
            f"cropped; resize them first. Received: shape={video.shape}"
        )
    top, left = _center_corner(height, width, image_size)
    return video[:, top : top + image_size, left : left + image_size]


def horizontal_flip(video: np.ndarray) -> np.ndarray:
    """Mirrors all frames of a clip `(T, H, W, 3)` and returns a view."""
    return check_video(video)[:, :, ::-1]


def random_crop_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Draws a random crop box like torchvision's `RandomResizedCrop`.

    Args:
        height: Integer. Height of the frame.
        width: Integer. Width of the frame.
        scale: Pair of floats. Range of the crop's area as a fraction of the
            frame's area.
        ratio: Pair of floats. Range of the crop's aspect ratio, width / height.
        generator: `np.random.Generator`.

    Returns:
        Four integers: top, left, height and width of the crop. If ten draws
        exceed the frame, the largest center crop with an allowed aspect ratio.

    Raises:
        TypeError: If `generator` is not a generator.
        ValueError: If another argument is out of range.

    Example:

    ```python
    generator = np.random.default_rng(0)
    keras_larp.data.random_crop_box(240, 320, (0.5, 1.0), (1, 1), generator)
    ```
    """
    check_integer("height", height, 1)
    check_integer("width", width, 1)
    scale = check_range("scale", scale, 1.0)
    ratio = check_range("ratio", ratio)
    check_instance("generator", generator, np.random.Generator)
    for _ in range(10):
        area = height * width * generator.uniform(*scale)
        shape = math.exp(generator.uniform(*np.log(ratio)))
        rows = round(math.sqrt(area / shape))
        columns = round(math.sqrt(area * shape))
        if 0 < rows <= height and 0 < columns <= width:
            top = int(generator.integers(height - rows + 1))
            left = int(generator.integers(width - columns + 1))
            return top, left, rows, columns
    rows = min(height, max(1, round(width / ratio[0])))
    columns = min(width, max(1, round(height * ratio[1])))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def resized_crop(
    video: np.ndarray, box: tuple[int, int, int, int], image_size: int
) -> np.ndarray:
    """Crops all frames to a box and resizes it to a square.

    Bilinear with antialiasing.

    Args:
        video: uint8 or float array `(T, H, W, 3)`.
        box: Four integers: top, left, height and width of the crop.
        image_size: Integer. Side of the square in pixels.

    Returns:
        uint8 array `(T, image_size, image_size, 3)`, or float32 for float
        input.

    Raises:
        ValueError: If `video` has another shape or dtype, `box` exceeds the
            frames, or `image_size` is not positive.
    """
    video = check_video(video)
    image_size = check_integer("image_size", image_size, 1)
    top, left, height, width = _check_box(box, *video.shape[1:3])
    video = video[:, top : top + height, left : left + width]
    return _resize(video, (image_size, image_size))


def preprocess_clip(
    video: np.ndarray,
    image_size: int,
    horizontal_flip: bool = False,
    crop_box: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Converts decoded frames to the input of the models.

    Resizes the shorter side and crops to the center square, or crops to
    `crop_box` and resizes the crop. Then flips the clip if requested and
    scales it to [0, 1].

    Args:
        video: uint8 array `(T, H, W, 3)`, or floats in [0, 1].
        image_size: Integer. Side of the output frames in pixels.
        horizontal_flip: Boolean. Whether to mirror the clip. Defaults to
            `False`.
        crop_box: Four integers: top, left, height and width, as returned by
            `random_crop_box`. `None` selects the center square. Defaults to
            `None`.

    Returns:
        float32 array `(T, image_size, image_size, 3)` in [0, 1].

    Raises:
        ValueError: If `video` has another shape or dtype, or `image_size` is
            not positive.

    Example:

    ```python
    clip = keras_larp.data.read_clip("archery.avi")
    clip = keras_larp.data.preprocess_clip(clip, image_size=128)
    clip.shape  # (16, 128, 128, 3)
    ```
    """
    check_boolean("horizontal_flip", horizontal_flip)
    return to_unit_range(fit_clip(video, image_size, horizontal_flip, crop_box))


def _check_box(box, height, width):
    """Returns a crop box as integers, or raises `ValueError`."""
    try:
        sizes = [operator.index(size) for size in box]
        top, left, rows, columns = sizes
        inside = (
            min(top, left) >= 0
            and min(rows, columns) >= 1
            and top + rows <= height
            and left + columns <= width
        )
    except (TypeError, ValueError):
        inside = False
    if not inside or any(isinstance(size, bool) for size in box):
        raise ValueError(
            "A crop box must be four integers, (top, left, height, width), "
            f"inside of the frames of {height} by {width} pixels. Received: "
            f"box={box!r}"
        )
    return sizes


def fit_clip(
    video: np.ndarray,
    image_size: int,
    flip: bool = False,
    crop_box: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Like `preprocess_clip`, but without scaling: uint8 stays uint8."""
    if crop_box is None:
        video = _resize_and_crop(check_video(video), image_size)
    else:
        video = resized_crop(video, crop_box, image_size)
    return horizontal_flip(video) if flip else video


def to_unit_range(video: np.ndarray) -> np.ndarray:
    """Converts uint8, or floats in [0, 1], to float32 in [0, 1]."""
    if video.dtype == np.uint8:
        return video.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(video, np.float32)


def stack_clips(videos: collections.abc.Sequence[np.ndarray]) -> np.ndarray:
    """Stacks clips, uint8 or floats in [0, 1], to float32 in [0, 1]."""
    batch = np.empty((len(videos), *videos[0].shape), np.float32)
    for row, video in zip(batch, videos, strict=True):
        if video.dtype == np.uint8:
            np.divide(video, np.float32(255), out=row)
        else:
            row[...] = video
    return batch


def check_video(video: np.ndarray) -> np.ndarray:
    """Returns `video` as an array, or raises `ValueError`."""
    video = to_array(video, "video")
    if (
        video.ndim != 4
        or video.shape[-1] != 3
        or not video.size
        or not (video.dtype == np.uint8 or video.dtype.kind == "f")
    ):
        raise ValueError(
            "A video must be a non-empty uint8 or float array of shape "
            f"(T, H, W, 3). Received: dtype={video.dtype}, shape={video.shape}"
        )
    if video.dtype.kind == "f":
        check_finite("video", video)
    return video


def _resize_and_crop(video, image_size):
    """Resizes the center square only, instead of resizing and then cropping.

    Equal to `center_crop(resize_shorter_side(...))` up to rounding.
    """
    image_size = check_integer("image_size", image_size, 1)
    height, width = video.shape[1:3]
    size = resized_size(height, width, image_size)
    if size == (height, width):
        return center_crop(video, image_size)
    top, left = _center_corner(*size, image_size)
    # Size of an output pixel in input pixels.
    pixel_height, pixel_width = height / size[0], width / size[1]
    box = (
        left * pixel_width,
        top * pixel_height,
        (left + image_size) * pixel_width,
        (top + image_size) * pixel_height,
    )
    return _resize(video, (image_size, image_size), box)


def resized_size(height: int, width: int, image_size: int) -> tuple[int, int]:
    """Returns height and width after resizing the shorter side."""
    if height <= width:
        return image_size, int(image_size * width / height)
    return int(image_size * height / width), image_size


def _center_corner(height, width, image_size):
    return round((height - image_size) / 2), round((width - image_size) / 2)


def _resize(video, size, box=None):
    if video.dtype != np.uint8:
        video = video.astype(np.float32)
    return np.stack([resize_frame(frame, size, box) for frame in video])


def resize_frame(
    frame: np.ndarray,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Resizes a frame, or a part of it, with Pillow.

    Args:
        frame: uint8 or float32 array `(H, W, 3)`.
        size: Pair of integers: height and width of the output.
        box: Four floats: left, top, right and bottom of the part to resize, in
            pixels. `None` selects the full frame. Defaults to `None`.

    Returns:
        Array `(*size, 3)` of the same dtype.
    """
    image = require("PIL.Image")
    size = size[::-1]  # Pillow expects (width, height).
    planes = [frame]
    if frame.dtype != np.uint8:  # Pillow's float images have one channel.
        planes = np.ascontiguousarray(np.moveaxis(frame, -1, 0))
    resized = [
        np.asarray(
            image.fromarray(plane).resize(size, image.Resampling.BILINEAR, box)
        )
        for plane in planes
    ]
    return resized[0] if len(resized) == 1 else np.stack(resized, axis=-1)
