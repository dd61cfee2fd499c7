import math

import numpy as np

from keras_larp.utils.checks import check_integer
from keras_larp.utils.optional_imports import require


def resize_shorter_side(video, image_size):
    """Resizes frames so that their shorter side is `image_size`.

    Bilinear with antialiasing; the longer side becomes
    `int(image_size * longer / shorter)`.

    Args:
        video: uint8 or float array `(T, H, W, 3)`.
        image_size: Integer.

    Returns:
        Array `(T, H', W', 3)` of the dtype uint8, or float32 for floats.

    Raises:
        ValueError: If the video or the size is not as said.

    Example:

    ```python
    video = np.zeros((16, 240, 320, 3), "uint8")
    keras_larp.data.resize_shorter_side(video, 128).shape  # (16, 128, 170, 3)
    ```
    """
    video = check_video(video)
    image_size = check_integer("image_size", image_size, 1)
    size = resized_size(*video.shape[1:3], image_size)
    if size == video.shape[1:3]:
        return video if video.dtype == np.uint8 else video.astype(np.float32)
    return _resize(video, size)


def center_crop(video, image_size):
    """Cuts the middle square out of frames.

    Args:
        video: Array `(T, H, W, 3)`, of at least `image_size` on both sides.
        image_size: Integer.

    Returns:
        Array `(T, image_size, image_size, 3)`, a view.

    Raises:
        ValueError: If the frames are smaller than the square.

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
            f"Frames must be at least {image_size} pixels high and wide to "
            f"crop them; resize them first. Received: shape={video.shape}"
        )
    top, left = _center_corner(height, width, image_size)
    return video[:, top : top + image_size, left : left + image_size]


def horizontal_flip(video):
    """Mirrors a whole clip `(T, H, W, 3)`, left to right; gives a view."""
    return check_video(video)[:, :, ::-1]


def random_crop_box(height, width, scale, ratio, generator):
    """Draws a part of a frame, as torchvision's `RandomResizedCrop` does.

    Args:
        height: Integer, of the frame.
        width: Integer, of the frame.
        scale: Pair of floats, least and largest share of the frame's area.
        ratio: Pair of floats, least and largest width over height.
        generator: `np.random.Generator`.

    Returns:
        Four integers: top, left, height and width of the part. Where ten
        draws do not fit, the largest middle part of an allowed ratio.

    Example:

    ```python
    generator = np.random.default_rng(0)
    keras_larp.data.random_crop_box(240, 320, (0.5, 1.0), (1, 1), generator)
    ```
    """
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


def resized_crop(video, box, image_size):
    """Cuts a part out of all frames and resizes it to a square.

    Args:
        video: uint8 or float array `(T, H, W, 3)`.
        box: Four integers: top, left, height and width of the part.
        image_size: Integer.

    Returns:
        Array `(T, image_size, image_size, 3)` of the dtype uint8, or float32
        for floats; bilinear with antialiasing.
    """
    video = check_video(video)
    top, left, height, width = box
    video = video[:, top : top + height, left : left + width]
    return _resize(video, (image_size, image_size))


def preprocess_clip(video, image_size, horizontal_flip=False, crop_box=None):
    """Makes decoded frames what the models take.

    Resizes the shorter side and cuts out the middle square, or else cuts out
    `crop_box` and resizes it; mirrors where asked to, and scales to [0, 1].

    Args:
        video: uint8 array `(T, H, W, 3)`, or floats in [0, 1].
        image_size: Integer.
        horizontal_flip: Boolean, whether the clip is mirrored.
        crop_box: Optional four integers: top, left, height and width, such as
            `random_crop_box` gives.

    Returns:
        float32 array `(T, image_size, image_size, 3)` in [0, 1].

    Raises:
        ValueError: If the video or the size is not as said.

    Example:

    ```python
    clip = keras_larp.data.read_clip("archery.avi")
    clip = keras_larp.data.preprocess_clip(clip, image_size=128)
    clip.shape  # (16, 128, 128, 3)
    ```
    """
    return to_unit_range(fit_clip(video, image_size, horizontal_flip, crop_box))


def fit_clip(video, image_size, flip=False, crop_box=None):
    """`preprocess_clip` without the scaling to [0, 1]: bytes stay bytes."""
    if crop_box is None:
        video = _resize_and_crop(check_video(video), image_size)
    else:
        video = resized_crop(video, crop_box, image_size)
    return horizontal_flip(video) if flip else video


def to_unit_range(video):
    """float32 in [0, 1], of uint8 or of floats that are in it already."""
    if video.dtype == np.uint8:
        return video.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(video, np.float32)


def stack_clips(videos):
    """float32 `(B, T, H, W, 3)` in [0, 1], of clips each of which is uint8 or
    of floats in that range."""
    batch = np.empty((len(videos), *videos[0].shape), np.float32)
    for row, video in zip(batch, videos, strict=True):
        if video.dtype == np.uint8:
            np.divide(video, np.float32(255), out=row)
        else:
            row[...] = video
    return batch


def check_video(video):
    """Returns `video` as an array, or raises `ValueError`."""
    video = np.asarray(video)
    if (
        video.ndim != 4
        or video.shape[-1] != 3
        or not video.size
        or not (video.dtype == np.uint8 or video.dtype.kind == "f")
    ):
        raise ValueError(
            "A video must be uint8 or float of shape (T, H, W, 3), none of "
            f"them 0. Received: dtype={video.dtype}, shape={video.shape}"
        )
    return video


def _resize_and_crop(video, image_size):
    """The middle square of `resize_shorter_side`, but for rounding: what is
    cut off afterwards is not computed."""
    image_size = check_integer("image_size", image_size, 1)
    height, width = video.shape[1:3]
    size = resized_size(height, width, image_size)
    if size == (height, width):
        return center_crop(video, image_size)
    top, left = _center_corner(*size, image_size)
    rows, columns = height / size[0], width / size[1]  # a new pixel's size
    box = (
        left * columns,
        top * rows,
        (left + image_size) * columns,
        (top + image_size) * rows,
    )
    return _resize(video, (image_size, image_size), box)


def resized_size(height, width, image_size):
    """Height and width of frames whose shorter side becomes `image_size`."""
    if height <= width:
        return image_size, int(image_size * width / height)
    return int(image_size * height / width), image_size


def _center_corner(height, width, image_size):
    return round((height - image_size) / 2), round((width - image_size) / 2)


def _resize(video, size, box=None):
    if video.dtype != np.uint8:
        video = video.astype(np.float32)
    return np.stack([resize_frame(frame, size, box) for frame in video])


def resize_frame(frame, size, box=None):
    """`(H, W, 3)`, or the part in `box` (left, top, right, bottom, which may
    lie between pixels), to `(*size, 3)`."""
    image = require("PIL.Image")
    size = size[::-1]  # Pillow names the width first
    planes = [frame]
    if frame.dtype != np.uint8:  # Pillow's floats have one channel
        planes = np.ascontiguousarray(np.moveaxis(frame, -1, 0))
    resized = [
        np.asarray(
            image.fromarray(plane).resize(size, image.Resampling.BILINEAR, box)
        )
        for plane in planes
    ]
    return resized[0] if len(resized) == 1 else np.stack(resized, axis=-1)
