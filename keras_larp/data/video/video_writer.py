import os
import pathlib
import tempfile

import numpy as np

from keras_larp.utils.checks import check_integer
from keras_larp.utils.optional_imports import require


def video_grid(videos, num_columns, padding=2, row_names=None):
    """Lays clips out side by side, as one video.

    Args:
        videos: Floats in [0, 1] `(B, T, H, W, 3)`; others are clipped.
        num_columns: Integer, clips in a row.
        padding: Integer, white pixels between clips.
        row_names: Optional list of strings, written left of the rows.

    Returns:
        uint8 array `(T, H', W', 3)`.

    Raises:
        ValueError: If the clips are not as said.

    Example:

    ```python
    videos = np.random.rand(6, 16, 32, 32, 3)
    keras_larp.data.video_grid(videos, num_columns=3).shape
    # (16, 70, 104, 3)
    ```
    """
    videos = _to_bytes(videos, 5)
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
    if len(row_names) != num_rows:
        raise ValueError(
            f"Expected a name for each of {num_rows} rows. "
            f"Received: row_names={list(row_names)}"
        )
    names = _written(row_names, row_step, grid.shape[1])
    names = np.broadcast_to(names, (frames, *names.shape))
    return np.concatenate([names, grid], axis=2)


def _written(names, step, height):
    """A picture `(height, W, 3)` with the names in black, one each `step`."""
    font = require("PIL.ImageFont", "viz").load_default(12)
    width = 8 + max(round(font.getlength(name)) for name in names)
    picture = require("PIL.Image", "viz").new("RGB", (width, height), "white")
    draw = require("PIL.ImageDraw", "viz").Draw(picture)
    for row, name in enumerate(names):
        middle = (4, row * step + step // 2)
        draw.text(middle, name, fill="black", font=font, anchor="lm")
    return np.asarray(picture)


def film_strips(videos, num_frames=4, padding=2, num_columns=1, row_names=None):
    """Lays clips out as a picture, each as a strip of frames in their order.

    Args:
        videos: Floats in [0, 1] `(B, T, H, W, 3)`; others are clipped.
        num_frames: Integer, how many frames of each clip are shown, spread
            from its first to its last.
        padding: Integer, white pixels between frames.
        num_columns: Integer, clips in a row.
        row_names: Optional list of strings, written left of the rows.

    Returns:
        uint8 array `(H', W', 3)`.

    Raises:
        ValueError: If the clips are not as said.
    """
    videos = _to_bytes(videos, 5)
    num_frames = check_integer("num_frames", num_frames, 1)
    chosen = np.linspace(0, videos.shape[1] - 1, num_frames).round().astype(int)
    frames = videos[:, chosen].reshape(-1, 1, *videos.shape[2:])
    return video_grid(frames, num_frames * num_columns, padding, row_names)[0]


def write_video(path, video, fps=8):
    """Writes a video file; the ending of its name tells the format.

    Args:
        path: String or path: `.gif`, or a container of FFmpeg such as `.mp4`.
            Nothing is left under this name if writing fails.
        video: uint8, or floats in [0, 1], `(T, H, W, 3)`.
        fps: Integer, frames a second.

    Raises:
        ValueError: If the video is not as said, or the ending is unknown.

    Example:

    ```python
    keras_larp.data.write_video("noise.gif", np.random.rand(16, 32, 32, 3))
    ```
    """
    video = _to_bytes(video, 4)
    fps = check_integer("fps", fps, 1)
    if pathlib.Path(path).suffix.lower() == ".gif":
        atomic_write(path, lambda name: _write_gif(name, video, fps))
    else:
        atomic_write(path, lambda name: _write_container(name, video, fps))


def write_image(path, image):
    """Writes a picture, uint8 or floats in [0, 1], `(H, W, 3)`, as PNG, JPEG
    or whatever the ending of the name says."""
    picture = require("PIL.Image", "viz").fromarray(_to_bytes(image, 3))
    atomic_write(path, picture.save)


def _to_bytes(pixels, rank):
    pixels = np.asarray(pixels)
    if pixels.ndim != rank or pixels.shape[-1] != 3 or not pixels.size:
        raise ValueError(
            f"Pixels must have {rank} axes, the last of 3 channels, and none "
            f"empty. Received: shape={pixels.shape}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    return np.round(np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def atomic_write(path, write):
    """Writes beside `path`, and takes its name only when all went well."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        write(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        pathlib.Path(name).unlink(missing_ok=True)


def _write_gif(path, video, fps):
    image = require("PIL.Image", "viz")
    frames = [image.fromarray(frame) for frame in video]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
    )


def _write_container(path, video, fps):
    av = require("av", "viz")
    # Most codecs need even sides.
    rows, columns = video.shape[1] % 2, video.shape[2] % 2
    edges = ((0, 0), (0, rows), (0, columns), (0, 0))
    video = np.pad(video, edges, mode="edge")
    try:
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.height, stream.width = video.shape[1:3]
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "12"}
            for pixels in video:
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except ValueError as error:
        suffix = pathlib.Path(path).suffix
        raise ValueError(
            "The ending of a video's name must be .gif, .mp4 or another that "
            f"FFmpeg can write H.264 to. Received: {suffix!r} ({error})"
        ) from error
