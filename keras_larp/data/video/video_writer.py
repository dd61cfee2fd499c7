"""Writing clips as video files, images, grids and film strips."""

import collections.abc
import contextlib
import fractions
import math
import os
import re
import typing

import numpy as np

from keras_larp.data.video.audio_copy import AudioCopy
from keras_larp.utils.checks import (
    check_integer,
    check_names,
    check_number,
    check_path,
)
from keras_larp.utils.files import atomic_write
from keras_larp.utils.input_checks import (
    check_floating_point,
    check_unit_range,
    to_array,
)
from keras_larp.utils.optional_imports import require

# Floats may exceed [0, 1] by this much, and are clipped.
CLIPPED = 0.5
_SUFFIX = re.compile(r"\.\w+")
# Smallest frame rate of `write_video`.
MIN_FPS = 0.01


def video_grid(
    videos: typing.Any,
    num_columns: int,
    padding: int = 2,
    row_names: collections.abc.Sequence[str] | None = None,
) -> np.ndarray:
    """Arranges clips in a grid, as one video.

    Args:
        videos: uint8, or floats in [0, 1], `(B, T, H, W, 3)`. Array or tensor
            of any backend. Slightly larger or smaller floats are clipped.
        num_columns: Integer. Number of clips per row.
        padding: Integer. Width in pixels of the white border around clips.
            Defaults to 2.
        row_names: List of strings. Labels to the left of the rows. `None`
            disables them. Defaults to `None`.

    Returns:
        uint8 array `(T, H', W', 3)`.

    Raises:
        ValueError: If `videos` has another shape, or if there is not one name
            per row.

    Example:

    ```python
    videos = np.random.rand(6, 16, 32, 32, 3)
    keras_larp.data.video_grid(videos, num_columns=3).shape
    # (16, 70, 104, 3)
    ```
    """
    videos = _to_uint8(videos, 5)
    num_columns = check_integer("num_columns", num_columns, 1)
    padding = check_integer("padding", padding, 0)
    count, frames, height, width, _ = videos.shape
    num_rows = -(-count // num_columns)
    row_step, column_step = height + padding, width + padding
    size = (
        num_rows * row_step + padding,
        num_columns * column_step + padding,
    )
    grid = np.full((frames, *size, 3), 255, np.uint8)
    for i, video in enumerate(videos):
        top = padding + i // num_columns * row_step
        left = padding + i % num_columns * column_step
        grid[:, top : top + height, left : left + width] = video
    if row_names is None:
        return grid
    row_names = check_names("row_names", row_names)
    if len(row_names) != num_rows:
        raise ValueError(
            f"Expected one name for each of {num_rows} rows. "
            f"Received: row_names={list(row_names)}"
        )
    labels = _render_labels(row_names, row_step, grid.shape[1])
    labels = np.broadcast_to(labels, (frames, *labels.shape))
    return np.concatenate([labels, grid], axis=2)


def _render_labels(names, row_step, height):
    """Returns an image `(height, W, 3)` of the names, `row_step` apart."""
    font = require("PIL.ImageFont", "viz").load_default(12)
    width = 8 + max(round(font.getlength(name)) for name in names)
    image = require("PIL.Image", "viz").new("RGB", (width, height), "white")
    draw = require("PIL.ImageDraw", "viz").Draw(image)
    for row, name in enumerate(names):
        position = (4, row * row_step + row_step // 2)
        draw.text(position, name, fill="black", font=font, anchor="lm")
    return np.asarray(image)


def film_strips(
    videos: typing.Any,
    num_frames: int = 4,
    padding: int = 2,
    num_columns: int = 1,
    row_names: collections.abc.Sequence[str] | None = None,
) -> np.ndarray:
    """Arranges clips in one image, each as a row of frames in display order.

    Args:
        videos: uint8, or floats in [0, 1], `(B, T, H, W, 3)`. Array or tensor
            of any backend. Slightly larger or smaller floats are clipped.
        num_frames: Integer. Number of frames per clip, evenly spaced from the
            first to the last. Defaults to 4.
        padding: Integer. Width in pixels of the white border around frames.
            Defaults to 2.
        num_columns: Integer. Number of clips per row. Defaults to 1.
        row_names: List of strings. Labels to the left of the rows. `None`
            disables them. Defaults to `None`.

    Returns:
        uint8 array `(H', W', 3)`.

    Raises:
        ValueError: If `videos` has another shape, or if there is not one name
            per row.

    Example:

    ```python
    videos = np.random.rand(6, 16, 32, 32, 3)
    keras_larp.data.film_strips(videos).shape  # (206, 138, 3)
    ```
    """
    videos = _to_uint8(videos, 5)
    num_frames = check_integer("num_frames", num_frames, 1)
    num_columns = check_integer("num_columns", num_columns, 1)
    indices = np.linspace(0, videos.shape[1] - 1, num_frames)
    indices = indices.round().astype(int)
    frames = videos[:, indices].reshape(-1, 1, *videos.shape[2:])
    return video_grid(frames, num_frames * num_columns, padding, row_names)[0]


def write_video(
    path: str | os.PathLike,
    video: typing.Any,
    fps: float | fractions.Fraction = 8,
    audio_from: str | os.PathLike | None = None,
) -> None:
    """Writes a video file atomically, in the format of its extension.

    Frames of an iterator are written one by one, in constant memory (except
    to GIF files).

    Args:
        path: String or path, ending in `.gif` or in the extension of a
            container that FFmpeg can write H.264 to, such as `.mp4`.
        video: uint8, or floats in [0, 1], `(T, H, W, 3)`. Array or tensor of
            any backend, or iterator of frames `(H, W, 3)`. Slightly larger or
            smaller floats are clipped. If height or width are odd, the last
            row or column is repeated.
        fps: Float or fraction. Frames per second, such as 29.97, which is
            written as 30000/1001; fractions are written exactly. GIF files
            round the duration of a frame to 10 ms, and store consecutive equal
            frames as one longer frame; use `.mp4` if the number of frames
            matters. Defaults to 8.
        audio_from: String or path of a video file whose first audio track is
            copied, without encoding it again. `None` disables it. Defaults to
            `None`.

    Raises:
        ValueError: If `video` has another shape, dtype or range, `fps` is not
            positive, the extension is unknown, or the file of `audio_from` has
            no audio track or one that the format cannot store.

    Example:

    ```python
    keras_larp.data.write_video("noise.gif", np.random.rand(16, 32, 32, 3))
    ```
    """
    is_iterator = isinstance(video, collections.abc.Iterator)
    frames = _checked(video) if is_iterator else iter(_to_uint8(video, 4))
    check_number("fps", fps, f"[{MIN_FPS}, inf)")
    path = check_path("path", path)
    if audio_from is not None:
        audio_from = check_path("audio_from", audio_from)
    is_gif = path.suffix.lower() == ".gif"
    if is_gif and audio_from is not None:
        raise ValueError(
            "GIF files have no sound. Leave out `audio_from`, or write an "
            f".mp4 file. Received: path={path}, audio_from={audio_from}"
        )
    with atomic_write(path) as temporary:
        if is_gif:
            _write_gif(temporary, frames, fps)
        else:
            _write_container(temporary, frames, fps, audio_from)


def _checked(frames):
    """Yields frames as uint8, after a comparison with the first one."""
    shape = None
    for i, frame in enumerate(frames):
        frame = _to_uint8(frame, 3)
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(
                "All frames of a video must have the shape of the first one, "
                f"{shape}. Received: shape={frame.shape} for frame {i}"
            )
        yield frame
    if shape is None:
        raise ValueError(
            "`video` must have at least one frame. Received: an iterator "
            "without any"
        )


def write_image(path: str | os.PathLike, image: typing.Any) -> None:
    """Writes an image file atomically, in the format of its extension.

    Args:
        path: String or path, ending in `.png`, `.jpg` or another extension
            that Pillow knows.
        image: uint8, or floats in [0, 1], `(H, W, 3)`. Array or tensor of any
            backend. Floats are clipped.

    Raises:
        ValueError: If `image` has another shape, or if the extension is
            unknown.

    Example:

    ```python
    keras_larp.data.write_image("noise.png", np.random.rand(32, 32, 3))
    ```
    """
    path = check_path("path", path)
    pil_image = require("PIL.Image", "viz").fromarray(_to_uint8(image, 3))
    with atomic_write(path) as temporary:
        pil_image.save(temporary)


def check_suffix(suffix: str) -> str:
    """Checks the extension of video files and returns it.

    Raises:
        ValueError: If it does not begin with a dot.
    """
    if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
        raise ValueError(
            "`suffix` must be the extension of video files, such as '.mp4' or "
            f"'.gif'. Received: suffix={suffix!r}"
        )
    return suffix


def _to_uint8(pixels, rank):
    pixels = to_array(pixels, "video")
    if pixels.ndim != rank or pixels.shape[-1] != 3 or not pixels.size:
        raise ValueError(
            f"Expected a non-empty array with {rank} axes, the last one of "
            f"size 3 (RGB). Received: shape={pixels.shape}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    check_floating_point(pixels, "video")
    check_unit_range(pixels, "write_video", "video", tolerance=CLIPPED)
    return np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def _write_gif(path, frames, fps):
    image = require("PIL.Image", "viz")
    first, *others = [image.fromarray(frame) for frame in frames]
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        loop=0,
    )


def _write_container(path, frames, fps, audio_from):
    av = require("av", "viz")
    rate = fps
    if not isinstance(fps, fractions.Fraction):
        # The largest denominator of common rates: 30000 / 1001 is 29.97.
        rate = fractions.Fraction(float(fps)).limit_denominator(1001)
    with contextlib.ExitStack() as stack:
        container, stream = _open_container(av, path, rate, stack)
        audio = None
        if audio_from is not None:
            audio = AudioCopy(audio_from, container)
        for i, pixels in enumerate(frames):
            pixels = _pad_to_even(pixels)
            if not i:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
            if audio is not None:
                audio.copy(until=(i + 1) / rate)
        container.mux(stream.encode())
        if audio is not None:
            audio.copy(until=math.inf)


def _open_container(av, path, rate, stack):
    try:
        # FFmpeg would take the part of a relative path before a colon for a
        # protocol.
        container = stack.enter_context(av.open(path.absolute(), "w"))
        stream = container.add_stream("libx264", rate=rate)
    except ValueError as error:
        raise ValueError(
            "The extension of a video file must be .gif, .mp4 or that of "
            "another container that FFmpeg can write H.264 to. Received: "
            f"{path.suffix!r} ({error})"
        ) from error
    stream.pix_fmt = "yuv420p"
    # The rate control of "mbtree" reads uninitialized memory if frames are
    # small, so that equal clips would give different bytes.
    stream.options = {"crf": "12", "mbtree": "0"}
    stream.codec_context.thread_count = 1
    return container, stream


def _pad_to_even(pixels):
    """H.264 with 4:2:0 chroma subsampling needs an even height and width."""
    below, right = pixels.shape[0] % 2, pixels.shape[1] % 2
    if not below and not right:
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), "edge")
